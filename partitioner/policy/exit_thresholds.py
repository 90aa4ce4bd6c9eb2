"""Exit thresholds at run time: the highest agreement whose latency stays within the limit.

SPINN (Laskaridis et al., MobiCom 2020) chooses the split and the threshold together; so does this: a
rung of the ladder is affordable if some option, with the chance to exit there, is expected in time.
The highest that is affordable is taken, and within it the option that `decide` prefers.
"""

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import NamedTuple

from partitioner.common.units import format_duration
from partitioner.exits.ladder import Rung
from partitioner.planning.option import OptionColumns
from partitioner.planning.plan import Plan
from partitioner.policy.conditions import Conditions
from partitioner.policy.decision import Decision
from partitioner.policy.policy import decide
from partitioner.policy.settings import PolicySettings
from partitioner.policy.wording.causes import name_cause


@dataclass(frozen=True)
class RungPlan:
    """A rung, and the plan that counts on its thresholds."""

    rung: Rung
    plan: Plan

    @cached_property
    def answering(self) -> OptionColumns:
        """The options whose exits answer early: the others cost the same on every rung."""
        return OptionColumns.of([option for option in self.plan.options if option.exit_rate])


@dataclass(frozen=True, slots=True)
class RungDecision:
    """A decision, and the rung whose thresholds it counts on."""

    decision: Decision
    place: int = 0
    """Of the rung in the ladder."""
    rung: Rung = field(default_factory=Rung)
    seen: Conditions | None = None
    """What this rung was taken on; None at the beginning."""
    rising_to: int | None = None
    """The rung that has been affordable since `rising_since_s`, with room to spare."""
    rising_since_s: float = 0.0


def decide_bounded(
    rungs: Sequence[RungPlan],
    seen: Conditions,
    current: RungDecision | None,
    now_s: float,
    settings: PolicySettings | None = None,
) -> RungDecision:
    """Return rung and option for the next frame.

    Thresholds fall at once when the limit asks for it (`settings.limit_s`), and no lower than the last
    rung. They rise to what has been affordable for `settings.raise_after_s`, with `settings.raise_room` of
    the limit to spare. Without a limit, or with one rung, this is `decide`.
    """
    settings = settings or PolicySettings()
    before = current.decision if current else None
    if len(rungs) == 1 or settings.limit_s is None:
        decision = decide(rungs[0].plan, seen, before, now_s, settings)
        return RungDecision(decision, rung=rungs[0].rung)
    place, rising_to, since_s = _place(rungs, seen, current, now_s, settings, settings.limit_s)
    decision = decide(rungs[place].plan, seen, before, now_s, settings)
    if current is not None and place == current.place:
        began = current.seen or seen
        return RungDecision(decision, place, rungs[place].rung, began, rising_to, since_s)
    reason = _reason(rungs, place, decision, seen, current, settings)
    return RungDecision(replace(decision, said=reason), place, rungs[place].rung, seen)


class _Least(NamedTuple):
    """What the fastest option of a rung takes."""

    risked_s: float
    mean_s: float


_NEVER = _Least(math.inf, math.inf)


def _place(
    rungs: Sequence[RungPlan],
    seen: Conditions,
    current: RungDecision | None,
    now_s: float,
    settings: PolicySettings,
    limit_s: float,
) -> tuple[int, int | None, float]:
    """Return the rung to take, the one to rise to later, and since when that is affordable."""
    if not seen.cloud_reachable:  # nothing crosses, whatever the thresholds
        return current.place if current else 0, None, now_s
    least = _Leasts(rungs, seen, settings)
    needed = least.affordable(limit_s)
    if needed is None:
        return len(rungs) - 1, None, now_s
    if current is None or needed >= current.place:
        return needed, None, now_s
    target = least.affordable((1 - settings.raise_room) * limit_s)
    if target is None or target >= current.place:
        return current.place, None, now_s
    if current.rising_to is None:
        return current.place, target, now_s
    target = max(target, current.rising_to)
    if now_s - current.rising_since_s >= settings.raise_after_s:
        return target, None, now_s
    return current.place, target, current.rising_since_s


class _Leasts:
    """What the fastest option of each rung takes, computed once and only where it is asked for."""

    def __init__(
        self, rungs: Sequence[RungPlan], seen: Conditions, settings: PolicySettings
    ) -> None:
        self._rungs, self._seen, self._settings = rungs, seen, settings
        self._first = self._least(rungs[0].plan.columns)
        self._known = {0: self._first}

    def affordable(self, limit_s: float) -> int | None:
        """Return the first rung in time with the margin for what is not known, else without; None: none.

        A lower rung never takes longer, as more frames exit there, so that bisection finds it.
        """
        for by in (0, 1):
            if self._first[by] <= limit_s:
                return 0
            place = bisect_left(
                range(1, len(self._rungs)), True, key=lambda at: self.at(at)[by] <= limit_s
            )
            if place + 1 < len(self._rungs):
                return place + 1
        return None

    def at(self, place: int) -> _Least:
        """Return what the fastest option of a rung takes; those without early answers are as on the first."""
        if place not in self._known:
            self._known[place] = self._least(self._rungs[place].answering, self._first)
        return self._known[place]

    def _least(self, columns: OptionColumns, others: _Least = _NEVER) -> _Least:
        if not columns.options:
            return others
        expected = self._settings.expect_columns(columns, self._seen)
        risked_s, mean_s = float(expected.risked_s.min()), float(expected.mean_s.min())
        return _Least(min(risked_s, others.risked_s), min(mean_s, others.mean_s))


def _reason(
    rungs: Sequence[RungPlan],
    place: int,
    decision: Decision,
    seen: Conditions,
    current: RungDecision | None,
    settings: PolicySettings,
) -> str:
    limit_s = settings.limit_s or math.inf
    limit, option = settings.limit, decision.option
    answers = rungs[place].rung.words(option.cut)
    if current is None or current.seen is None:
        takes = f"is expected in {format_duration(decision.expected_s)}"
        return f"{option.label} {takes} with {answers}" if place else decision.reason
    fell = place > current.place
    weighed = current.decision.option if fell else option

    def gain(under: Conditions) -> float:
        """Return how late the old thresholds would be, or how early the new ones are."""
        late_s = settings.expect(weighed, under).risked_s - limit_s
        return late_s if fell else -late_s

    cause = name_cause(gain, seen, current.seen)
    if decision.expected_s > limit_s:
        takes = f"{option.label} is expected in {format_duration(decision.expected_s)}"
        allowed = f"; the lowest allowed: {answers}" if option.exit_rate else ""
        return f"{cause}; no option meets {limit}; {takes}{allowed}"
    if fell:
        return f"{cause}; {answers} meet {limit} at {option.label}"
    return f"{cause}; {limit} allows {option.label} with {answers}"
