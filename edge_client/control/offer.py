"""The options that are offered to the policy: within limits, and with the codecs that both sides share."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace

from partitioner.exits.ladder import Rung
from partitioner.network.link import Link
from partitioner.planning.objective import Objective
from partitioner.planning.option import Option
from partitioner.planning.plan import Plan
from partitioner.policy.conditions import Conditions
from partitioner.policy.exit_thresholds import RungPlan, decide_bounded
from partitioner.policy.policy import contenders
from partitioner.policy.score import further_axes
from partitioner.policy.settings import PolicySettings
from protos.codecs.registry import is_calibrated
from protos.errors import UsageError
from protos.names import EDGE

_LIKELY = (0.5, 2.0)
"""Heads that are best at these multiples of the rate are opened ahead."""


@dataclass(frozen=True)
class Limits:
    """The largest message that the server takes, and the memory that a head may take here."""

    message_bytes: int | None = None
    memory_bytes: int | None = None

    def allow(self, option: Option) -> bool:
        """Tell whether an option's messages and head stay within them."""
        fits = self.message_bytes is None or option.upload_bytes <= self.message_bytes
        return fits and (self.memory_bytes is None or option.edge_memory_bytes <= self.memory_bytes)


def without_calibrated(plan: Plan) -> Plan:
    """Return the plan without the options that need a calibration; as it is, if all do."""
    options = tuple(option for option in plan.options if not is_calibrated(option.codec))
    return replace(plan, options=options) if options else plan


def only_served(plan: Plan, labels: Collection[str]) -> Plan:
    """Return the plan with what a server serves, and what needs none; as it is, if that is nothing."""
    options = tuple(o for o in plan.options if o.cut == EDGE or o.label in labels)
    return replace(plan, options=options) if options else plan


def offer_at(rung: Rung, plan: Plan, limits: Limits, objective: Objective) -> RungPlan:
    """Return the plan's options that may be best at a rung's exit thresholds, and stay within the limits.

    Raises UsageError when none does.
    """
    within = filter(limits.allow, plan.with_exits(rung.costs).options)
    options = contenders(within, further_axes(plan, objective))
    if not options:
        raise UsageError(
            "no option of the plan stays within the memory budget, the server's message limit and "
            "its calibration. Allow more memory, raise the server's --max-message, or calibrate both "
            "sides alike."
        )
    return RungPlan(rung, replace(plan, options=options))


def likely_cuts(
    rung_plans: Sequence[RungPlan], seen: Conditions, now_s: float, settings: PolicySettings
) -> Iterator[str]:
    """Yield the cuts that are best without a cloud, and at other rates of the link than those seen."""
    away = replace(seen, cloud_reachable=False)
    link = seen.link.link
    others = (Link(f * link.uplink_bps, f * link.downlink_bps, link.rtt_s) for f in _LIKELY)
    shifted = (
        replace(seen, link=replace(seen.link, link=other), cloud_reachable=True) for other in others
    )
    for conditions in (away, *shifted):
        yield decide_bounded(rung_plans, conditions, None, now_s, settings).decision.option.cut
