"""The demand of a frame: seconds and bytes that one option asks of every stage, in plain numbers."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from difflib import get_close_matches

from partitioner.planning.option import Option
from partitioner.planning.pareto import undominated
from partitioner.planning.plan import Plan
from partitioner.profiles.variation import STEADY, Variation, variation_of
from protos.errors import UnknownNameError

_NEAREST = 5
"""Options that an error names, the nearest first."""


@dataclass(frozen=True, slots=True)
class Demand:
    """Seconds and bytes of one frame; after a lost call the tail takes `finish_s` on the device.

    Where there is no tail that is the exit's. The times are medians; the variations say how much those
    of single frames differ from them.
    """

    label: str
    edge_s: float
    upload_bytes: float
    cloud_s: float
    download_bytes: float
    finish_s: float = 0.0
    edge_variation: Variation = field(default=STEADY, repr=False)
    cloud_variation: Variation = field(default=STEADY, repr=False)
    exits_from: float | None = None
    """Confidence from which an exit would answer this frame; None: none would."""
    by_exit: bool = False
    """It has, so that nothing crosses."""
    agrees: bool | None = None
    """The exit at its cut, sure or the last resort, names the whole model's class; None: unknown."""
    fallback: str = "edge"
    """Who answers after a lost call: `edge`, or where a device has no tails `exit` or `none`."""
    hedge_after_s: float | None = None
    """Seconds from the head's end after which the device finishes the frame too, as soon as it has a pause.

    Infinite: only once its call has failed, at a moment that is not known before. None: only when its time is
    up, for which the device is kept free.
    """

    look_bytes: float = 0.0
    """Of its bytes up, those beyond the option in use, where it tries another one for a look at the link."""

    @property
    def crosses(self) -> bool:
        """False: the device does it all."""
        return self.upload_bytes > 0

    @property
    def races(self) -> bool:
        """Who finishes the frame is not known when it is sent."""
        return self.hedge_after_s is not None and self.crosses

    def scaled(self, edge_load: float, cloud_load: float) -> "Demand":
        """Return the demand on machines that take so many times as long."""
        return replace(
            self,
            edge_s=self.edge_s * edge_load,
            cloud_s=self.cloud_s * cloud_load,
            finish_s=self.finish_s * edge_load,
        )


def demands_of(plan: Plan) -> dict[str, Demand]:
    """Return the demand of every option of a plan, by its label."""
    return {option.label: demand_of(option, plan) for option in plan.options}


def demand_of(option: Option, plan: Plan) -> Demand:
    """Return what a frame of one option asks."""
    here, there = plan.edge.cuts[option.cut], plan.cloud.cuts[option.cut]
    finish_s, fallback = here.tail.frame_s if here.tail else 0.0, "edge"
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
        variation_of(plan.edge, here.head),
        variation_of(plan.cloud, there.tail) if option.upload_bytes else STEADY,
        fallback=fallback,
    )


def pick(demands: dict[str, Demand], labels: Iterable[str]) -> list[Demand]:
    """Return the demands with these labels; UnknownNameError names the nearest."""
    chosen = []
    for label in labels:
        if label not in demands:
            near = get_close_matches(label, demands, n=_NEAREST, cutoff=0.0)
            more = f" and {len(demands) - len(near)} more" if len(demands) > len(near) else ""
            raise UnknownNameError(
                f"the plan has no option {label!r}. It has: {', '.join(near)}{more}. Use one of these."
            )
        chosen.append(demands[label])
    return chosen


def contending(demands: Iterable[Demand]) -> list[Demand]:
    """Return the demands that no other beats on every stage: no link or load favours the rest."""
    return undominated(
        demands, lambda one: (one.edge_s, one.upload_bytes, one.cloud_s, one.download_bytes)
    )
