"""What one frame of an option asks of every stage, in plain numbers."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from partitioner.pareto import undominated
from partitioner.planning import Option, Plan
from partitioner.profiles import StageProfile
from protos.errors import UnknownNameError

_Z90 = 1.2816


@dataclass(frozen=True, slots=True)
class Demand:
    """Seconds and bytes of one frame; after a lost call the tail takes `finish_s` on the device.

    Where there is no tail that is the exit's. The spreads are those of the logarithm of `edge_s` and
    `cloud_s`, for runs in which times vary.
    """

    label: str
    edge_s: float
    upload_bytes: float
    cloud_s: float
    download_bytes: float
    finish_s: float = 0.0
    edge_spread: float = 0.0
    cloud_spread: float = 0.0
    exits_from: float | None = None
    """Confidence from which an exit would answer this frame; None: none would."""
    by_exit: bool = False
    """It has, so that nothing crosses."""
    agrees: bool | None = None
    """The exit at its cut, sure or the last resort, names the whole model's class; None: unknown."""
    fallback: str = "edge"
    """Who answers after a lost call: `edge`, or where a device has no tails `exit` or `none`."""

    @property
    def crosses(self) -> bool:
        """False: the device does it all."""
        return self.upload_bytes > 0

    def scaled(self, edge_load: float, cloud_load: float) -> "Demand":
        """Return the demand on machines that take so many times as long."""
        return Demand(
            self.label,
            self.edge_s * edge_load,
            self.upload_bytes,
            self.cloud_s * cloud_load,
            self.download_bytes,
            self.finish_s * edge_load,
            self.edge_spread,
            self.cloud_spread,
            fallback=self.fallback,
        )


def demands_of(plan: Plan) -> dict[str, Demand]:
    """Return the demand of every option of a plan, by its label."""
    return {option.label: demand_of(option, plan) for option in plan.options}


def demand_of(option: Option, plan: Plan) -> Demand:
    """Return what a frame of one option asks."""
    here, there = plan.edge.cuts[option.cut], plan.cloud.cuts[option.cut]
    finish_s, fallback = here.tail.timing.median_s if here.tail else 0.0, "edge"
    if plan.heads_only:
        to_ask = option.last_resort if not option.exit_s else None
        finish_s = to_ask.exit_s if to_ask else 0.0
        fallback = "exit" if option.last_resort else "none"
    return Demand(
        option.label,
        option.edge_s + option.exit_s,
        option.upload_bytes,
        option.cloud_s,
        option.download_bytes,
        finish_s,
        _spread(here.head),
        _spread(there.tail),
        fallback=fallback,
    )


def pick(demands: dict[str, Demand], labels: Iterable[str]) -> list[Demand]:
    """Return the demands with these labels; UnknownNameError lists those that exist."""
    chosen = []
    for label in labels:
        if label not in demands:
            raise UnknownNameError(
                f"the plan has no option {label!r}. It has: {', '.join(demands)}. Use one of these."
            )
        chosen.append(demands[label])
    return chosen


def contending(demands: Iterable[Demand]) -> list[Demand]:
    """Return the demands that no other beats on every stage: no link or load favours the rest."""
    return undominated(
        demands, lambda one: (one.edge_s, one.upload_bytes, one.cloud_s, one.download_bytes)
    )


def _spread(stage: StageProfile | None) -> float:
    """Return the spread of a stage's lognormal time: its 90th percentile is 1.2816 spreads up."""
    if stage is None or stage.timing.median_s == 0:
        return 0.0
    return math.log(max(1.0, stage.timing.p90_s / stage.timing.median_s)) / _Z90
