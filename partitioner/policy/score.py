"""Scores of options under the conditions that were seen: the objective's weighted sum, as of now.

The metrics are the planner's (planning/metrics.py), over the seconds that are expected now.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

from partitioner.planning.metrics import METRICS, FrameTimes, Meter, variations
from partitioner.planning.objective import LATENCY, Objective
from partitioner.planning.option import Option
from partitioner.planning.plan import Plan
from partitioner.planning.terms import Terms
from partitioner.policy.conditions import Conditions


@dataclass(frozen=True, slots=True)
class Scorer:
    """Weighs options under one set of conditions."""

    meter: Meter
    seen: Conditions
    objective: Objective

    def score(self, times: FrameTimes) -> float:
        """Return what is to be as small as possible."""
        total = 0.0
        for name, weight in self.objective.weights.items():
            total += weight * self.amount(name, times)
        return total

    def amount(self, name: str, times: FrameTimes) -> float:
        """Return one metric in its unit; 0 where the terms do not say enough, as it weighs nothing then."""
        return METRICS[name].of(self.meter, times) or 0.0


def scorer_of(plan: Plan, seen: Conditions, objective: Objective, terms: Terms) -> Scorer:
    """Return the scorer under `seen`, with the weight of energy that battery and heat ask for."""
    if terms.knows_energy:
        objective = seen.power_demand.shifts(objective)
    period_s = seen.frame_period_s
    fps = None if period_s is None else 1 / period_s if period_s else math.inf
    return Scorer(Meter(plan, terms, fps), seen, objective)


def further_axes(plan: Plan, objective: Objective) -> Callable[[Option], tuple[float, ...]]:
    """Return on what options differ for this objective beside mean seconds and bytes.

    That is for p95 their spread, and what a frame that crosses takes beyond the mean where an exit answers.
    """
    if not objective.weights.get("p95"):
        return lambda _option: ()

    def of_p95(option: Option) -> tuple[float, ...]:
        crossing = (1.0, option.upload_bytes, option.cloud_s, option.download_bytes)
        beyond = (option.exit_rate * each for each in crossing)
        varying = (axis for one in variations(plan, option) for axis in (one.slower, -one.faster))
        return (*varying, *beyond)

    return of_p95


def weighs_latency_alone(objective: Objective) -> bool:
    return weighed_metrics(objective).keys() == LATENCY.weights.keys()


def weighed_metrics(objective: Objective) -> dict[str, float]:
    return {name: weight for name, weight in objective.weights.items() if weight}
