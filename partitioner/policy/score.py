"""What an option scores under the conditions that were seen: the objective's weighted sum, as of now.

The metrics are those of `objectives.price`, with the seconds that are expected now instead of the profiled
ones: loads, the cloud's queue, waiting for other frames, and the margin for what is not known of the link.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

from partitioner.planning.costs import frame_money
from partitioner.planning.energy import frame_energy
from partitioner.planning.objective import LATENCY, Objective
from partitioner.planning.option import Option
from partitioner.planning.plan import Plan
from partitioner.planning.terms import Terms
from partitioner.policy.conditions import Conditions
from partitioner.policy.expected_latency import Expected
from partitioner.profiles.variation import Variation, quantile_of_sum, variation_of


@dataclass(frozen=True, slots=True)
class Scorer:
    """Weighs options under one set of conditions."""

    plan: Plan
    seen: Conditions
    objective: Objective
    terms: Terms

    def score(self, cost: Expected) -> float:
        """Return what is to be as small as possible."""
        total = 0.0
        for name, weight in self.objective.weights.items():
            total += weight * _METRICS[name](cost, self)
        return total

    def amount(self, name: str, cost: Expected) -> float:
        """Return one metric in its unit."""
        return _METRICS[name](cost, self)


def scorer_of(plan: Plan, seen: Conditions, objective: Objective, terms: Terms) -> Scorer:
    """Return the scale under `seen`, with the weight of energy that battery and heat ask for."""
    if terms.knows_energy:
        objective = seen.power_demand.shifts(objective)
    return Scorer(plan, seen, objective, terms)


def further_axes(plan: Plan, objective: Objective) -> Callable[[Option], tuple[float, ...]]:
    """Return on what options differ for this objective beside mean seconds and bytes.

    That is for p95 their spread, and what a frame that crosses takes beyond the mean where an exit answers.
    """
    if not objective.weights.get("p95"):
        return lambda _option: ()

    def of_p95(option: Option) -> tuple[float, ...]:
        crossing = (1.0, option.upload_bytes, option.cloud_s, option.download_bytes)
        beyond = (option.exit_rate * each for each in crossing)
        varying = (axis for one in _variations(plan, option) for axis in (one.slower, -one.faster))
        return (*varying, *beyond)

    return of_p95


def weighs_latency_alone(objective: Objective) -> bool:
    return weighed_metrics(objective).keys() == LATENCY.weights.keys()


def weighed_metrics(objective: Objective) -> dict[str, float]:
    return {name: weight for name, weight in objective.weights.items() if weight}


def _latency_s(cost: Expected, _scale: Scorer) -> float:
    return cost.risked_s


def _p95_s(cost: Expected, scale: Scorer) -> float:
    """Return that of a frame that crosses: where an exit may answer, the mean is over both kinds."""
    option, seen = cost.option, scale.seen
    here, there = _variations(scale.plan, option)
    cloud_s = option.cloud_s * seen.cloud_load
    late_s = quantile_of_sum((cost.edge_s, here), (cloud_s, there), 0.95) - cost.edge_s - cloud_s
    more_s = 0.0
    if option.exit_rate:
        link = seen.link.link
        crossing_s = link.predict_s(option.upload_bytes, option.download_bytes)
        crossing_s += seen.cloud_queue_s + cloud_s
        more_s = option.exit_rate * crossing_s
    return cost.risked_s + more_s + late_s


def _slowest_s(cost: Expected, scale: Scorer) -> float:
    option, link, share = cost.option, scale.seen.link.link, 1 - cost.option.exit_rate
    return max(
        cost.edge_s,
        share * 8 * option.upload_bytes / link.uplink_bps,
        share * 8 * option.download_bytes / link.downlink_bps,
        share * option.cloud_s * scale.seen.cloud_load / scale.terms.workers,
    )


def _energy_j(cost: Expected, scale: Scorer) -> float:
    device, radio = scale.terms.device, scale.terms.radio
    if device is None or radio is None:
        return 0.0  # settings that weigh it have been checked
    option, share = cost.option, 1 - cost.option.exit_rate
    return frame_energy(
        device,
        radio,
        edge_s=cost.edge_s,
        network_s=cost.network_s + cost.risked_s - cost.mean_s,
        cloud_s=cost.cloud_s,
        upload_bytes=share * option.upload_bytes,
        download_bytes=share * option.download_bytes,
        fps=_fps(scale.seen.frame_period_s),
    ).total_j


def _bytes(cost: Expected, _scale: Scorer) -> float:
    option = cost.option
    return (1 - option.exit_rate) * (option.upload_bytes + option.download_bytes)


def _money(cost: Expected, scale: Scorer) -> float:
    option = cost.option
    cloud_s = (1 - option.exit_rate) * option.cloud_s * scale.seen.cloud_load
    return frame_money(cloud_s, _bytes(cost, scale), scale.terms.prices) or 0.0


def _fps(period_s: float | None) -> float | None:
    if period_s is None:
        return None
    return 1 / period_s if period_s else math.inf


def _variations(plan: Plan, option: Option) -> tuple[Variation, Variation]:
    here, there = plan.edge.cuts[option.cut], plan.cloud.cuts[option.cut]
    return variation_of(plan.edge, here.head), variation_of(plan.cloud, there.tail)


_METRICS: dict[str, Callable[[Expected, Scorer], float]] = {
    "latency": _latency_s,
    "p95": _p95_s,
    "throughput": _slowest_s,
    "energy": _energy_j,
    "bytes": _bytes,
    "cost": _money,
}
