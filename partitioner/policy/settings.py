"""Settings of the policy: what is minimised, within what limits, and how readily the cut moves."""

import math
from dataclasses import dataclass, field, replace
from typing import Self

from partitioner.common.units import format_duration
from partitioner.planning.metrics import FrameTimes
from partitioner.planning.objective import LATENCY, Objective
from partitioner.planning.option import Option, OptionColumns
from partitioner.planning.plan import Plan
from partitioner.planning.terms import NO_TERMS, Terms
from partitioner.policy.conditions import Conditions
from partitioner.policy.expected_latency import Expectation, expect, expect_all
from partitioner.policy.exploration import LookSettings
from partitioner.policy.hedges import Hedging
from partitioner.policy.hysteresis import Hysteresis
from partitioner.policy.power_rules import PowerDemand
from partitioner.policy.score import Scorer, scorer_of


@dataclass(frozen=True, slots=True)
class PolicySettings:
    """What is minimised, what moves the cut, and what does not.

    Raises UsageError if the terms lack what the objective needs.
    """

    objective: Objective = LATENCY
    terms: Terms = NO_TERMS
    """The device and the prices, where the objective asks for joules or money."""
    deadline_s: float | None = None
    """From a frame's arrival to its result."""
    latency_s: float | None = None
    """What a frame may be expected to take, the mean of all; a frame that takes longer is not late for it."""
    window: int = 4
    """Frames at work at once."""
    caution: float = 0.25
    """Deviations of a frame's latency that are added to what is expected: what is steady is worth that."""
    hysteresis: Hysteresis = field(default_factory=Hysteresis)
    hedging: Hedging = field(default_factory=Hedging)
    looks: LookSettings = field(default_factory=LookSettings)
    raise_room: float = 0.1
    """Thresholds of exits rise again where this share of the deadline is left,"""
    raise_after_s: float = 1.0
    """and has been for so long; see exit_thresholds.py."""

    def __post_init__(self) -> None:
        self.objective.check(self.terms)

    @property
    def limit_s(self) -> float | None:
        """What an option is to be expected within: the latency if one is given, else the deadline."""
        return self.deadline_s if self.latency_s is None else self.latency_s

    @property
    def limit(self) -> str:
        """The same in words."""
        what = "the deadline" if self.latency_s is None else "a latency"
        return f"{what} of {format_duration(math.inf if self.limit_s is None else self.limit_s)}"

    def under(self, power_demand: PowerDemand) -> Self:
        """Return these settings with the weight of energy that battery and heat ask for."""
        if not self.terms.knows_energy:
            return self
        return replace(self, objective=power_demand.shifts(self.objective))

    def expect(self, option: Option, seen: Conditions) -> FrameTimes:
        """Return what a frame of an option is expected to take under `seen`."""
        return expect(option, seen, self.window, self.caution, self.hedged_share)

    def expect_all(self, plan: Plan, seen: Conditions) -> Expectation:
        """Return what a frame of each of the plan's options is expected to take under `seen`."""
        return self.expect_columns(plan.columns, seen)

    def expect_columns(self, columns: OptionColumns, seen: Conditions) -> Expectation:
        """Return the same of options in columns."""
        return expect_all(columns, seen, self.window, self.caution, self.hedged_share)

    @property
    def hedged_share(self) -> float:
        """The share of frames that may be hedged."""
        return 0.0 if self.hedging.after == "off" else self.hedging.most_share

    def scorer(self, plan: Plan, seen: Conditions, *, meets: bool) -> Scorer:
        """Return what options are weighed by: by lateness alone when none `meets` the deadline."""
        if not meets:
            return scorer_of(plan, seen, LATENCY, NO_TERMS)
        return scorer_of(plan, seen, self.objective, self.terms)
