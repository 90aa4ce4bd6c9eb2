"""Looks at the link: a frame that tries another option, where what it tells is worth more than it costs.

What is not known of the link has a value. The link may be in one of several ways (`LinkEstimate.cases`); a
message tells them apart as far as its time differs between them by more than messages scatter. Told which
way it is, the policy would take the best option for it. What this saves on average is the value of sample
information (H. Raiffa and R. Schlaifer, "Applied Statistical Decision Theory", 1961); it holds for as many
frames as come before the link has wandered on, so one frame of an option may be tried if

    frames · (value of its message − value of the present option's own) > what trying it costs

which is the knowledge gradient (P. Frazier, W. Powell and S. Dayanik, SIAM J. Control Optim. 47, 2008).
A frame that tries is hedged like any other, so that a bad link costs it little. Looks have a budget.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import numpy.typing as npt

from partitioner.estimators.link_estimate import LinkEstimate
from partitioner.planning.metrics import FrameTimes
from partitioner.policy.conditions import Conditions
from partitioner.policy.score import Scorer

_APART = 2.0
"""Times their scatter, that two cases must differ by to be told apart."""
_SCATTER_S = 0.001
_WANDERED = 0.5
"""What was seen of a link holds until the logarithm of its rate has wandered by this,"""
_HOLDS_S = (1.0, 20.0)
"""at least and at most so long."""
_OF_THE_LINK = ("latency", "p95")
"""Metrics whose seconds are what a frame takes, of which a look tells."""
_PROBE_BYTES = np.array([2e3, 4e3, 8e3, 16e3, 32e3])
_MOST_OF = 0.8
"""Of what a larger probe would tell a smaller one must tell."""
_MEMORY_S = 60.0
"""Spendings count for so long."""


@dataclass(frozen=True, slots=True)
class LookSettings:
    """The budget of looks; a share of 0 forbids them."""

    byte_share: float = 0.02
    """Of the bytes that frames send anyway, that looks may send beyond those."""
    free_bytes: float = 40e3
    """Bytes a minute that they may send besides, as a device that sends nothing could never look."""
    time_share: float = 0.02
    """Of the seconds that frames take, that looks may be expected to cost."""


@dataclass(frozen=True, slots=True)
class Spending:
    """What frames and looks have spent in the last minute or so, fading."""

    at_s: float = 0.0
    sent_bytes: float = 0.0
    look_bytes: float = 0.0
    frame_s: float = 0.0
    look_s: float = 0.0

    def faded(self, now_s: float) -> "Spending":
        """Return it as of a later moment."""
        keep = math.exp(min(0.0, self.at_s - now_s) / _MEMORY_S)
        return Spending(
            max(now_s, self.at_s),
            keep * self.sent_bytes,
            keep * self.look_bytes,
            keep * self.frame_s,
            keep * self.look_s,
        )

    def after(
        self, habit: FrameTimes, now_s: float, more_bytes: float = 0.0, more_s: float = 0.0
    ) -> "Spending":
        """Return it after a frame, and after a look that sends more bytes and costs so many seconds."""
        now = self.faded(now_s)
        return replace(
            now,
            sent_bytes=now.sent_bytes + habit.option.upload_bytes,
            frame_s=now.frame_s + habit.mean_s,
            look_bytes=now.look_bytes + more_bytes,
            look_s=now.look_s + more_s,
        )

    def allows(
        self, more_bytes: float, more_s: float, settings: LookSettings, now_s: float
    ) -> bool:
        """Tell whether one more look stays within the budget."""
        now = self.faded(now_s)
        most_bytes = settings.byte_share * now.sent_bytes + settings.free_bytes
        return (
            now.look_bytes + more_bytes <= most_bytes
            and now.look_s + more_s <= settings.time_share * now.frame_s
        )


NOTHING_SPENT = Spending()


@dataclass(frozen=True, slots=True)
class Outlook:
    """What frames of each option come to in each way that the link may be, and of the option in use."""

    costs: Sequence[FrameTimes]
    habit: int
    """Which of `costs` frames take now."""
    weighted: npt.NDArray[np.float64]
    """Scores times the chance of the case: [option, case]."""
    lost: npt.NDArray[np.float64]
    """What one frame that tries an option is expected to lose."""
    frames: float
    """The number of frames for which it holds what a look tells."""
    least_gain: float
    link: LinkEstimate

    @classmethod
    def of(
        cls,
        habit: FrameTimes,
        costs: Sequence[FrameTimes],
        scorer: Scorer,
        seen: Conditions,
        least_gain: float,
    ) -> Self | None:
        """Return it where a look could be worth anything; `least_gain`: what makes a move worth it."""
        second = sum(scorer.objective.weights.get(name, 0.0) for name in _OF_THE_LINK)
        weights = seen.link.cases_as_arrays[0]
        if not second or len(weights) == 1 or seen.message_under_way or len(costs) == 1:
            return None
        at = next(place for place, cost in enumerate(costs) if cost is habit)
        rest = np.array([scorer.score(cost) - second * cost.risked_s for cost in costs])
        by_case = np.array([cost.by_case_s for cost in costs])
        tried = rest + second * np.array([cost.tried_s for cost in costs])
        lost = tried - (rest[at] + second * habit.mean_s)
        weighted = (rest[:, None] + second * by_case) * weights
        outlook = cls(costs, at, weighted, lost, _frames(seen, habit), least_gain, seen.link)
        perfect = outlook.values(np.eye(len(weights))[None])[0]
        return outlook if outlook.frames * perfect > least_gain else None

    def values(self, groups: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return what a frame gains on average if it is known in which group of cases the link is.

        `groups` [message, group, case] is 1 where a case lies in a group.
        """
        scores = groups @ self.weighted.T
        chances = groups @ self.link.cases_as_arrays[0]
        gained = scores[:, :, self.habit] - scores.min(axis=2) - self.least_gain * chances
        return np.asarray(np.maximum(0.0, gained).sum(axis=1))

    def told(self, sizes: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return which cases messages of these sizes tell apart, as groups [message, group, case]."""
        noise, (_, rtt_s, byte_s) = self.link.noise, self.link.cases_as_arrays
        times = rtt_s + np.outer(sizes, byte_s)
        group = np.zeros(times.shape, np.intp)
        first = times[:, 0]
        for place in range(1, len(byte_s)):
            apart = (sizes > 0) & (times[:, place] - first > _APART * (noise * first + _SCATTER_S))
            group[:, place] = group[:, place - 1] + apart
            first = np.where(apart, times[:, place], first)
        return np.swapaxes(np.eye(len(byte_s))[group], 1, 2)


def more_than(habit: FrameTimes, tried: FrameTimes) -> tuple[float, float]:
    """Return the bytes and the seconds that a frame which tries an option is to cost beyond the usual one."""
    more_bytes = tried.option.upload_bytes - habit.option.upload_bytes
    return max(0.0, more_bytes), max(0.0, tried.tried_s - habit.mean_s)


def options_to_try(
    outlook: Outlook, allows: Callable[[FrameTimes], bool] = lambda _cost: True
) -> list[FrameTimes]:
    """Return the options that are worth one frame that tries them, the best for its bytes first.

    Only those are weighed that the budget `allows`, and that are the best in some case.
    """
    costs, habit = outlook.costs, outlook.habit
    best = set(outlook.weighted.argmin(axis=0).tolist()) - {habit}
    places = [place for place in sorted(best) if allows(costs[place])]
    if not places:
        return []
    sizes = np.array([costs[place].option.upload_bytes for place in (*places, habit)])
    values = outlook.values(outlook.told(sizes))
    more = outlook.frames * (values[:-1] - values[-1])
    net = np.where(more > outlook.least_gain, more - outlook.lost[places], -math.inf)
    order = np.argsort(-net / np.maximum(sizes[:-1], 1.0))
    return [costs[places[at]] for at in order if net[at] > 0]


def probe_worth(outlook: Outlook) -> float:
    """Return the bytes of a probe that is worth sending: the fewest that tell nearly all; 0 for none."""
    habit_bytes = outlook.costs[outlook.habit].option.upload_bytes
    largest = max(cost.option.upload_bytes for cost in outlook.costs)
    sizes = np.minimum(_PROBE_BYTES, largest)
    values = outlook.values(outlook.told(np.append(sizes, habit_bytes)))
    more = outlook.frames * (values[:-1] - values[-1])
    if more.max() <= outlook.least_gain:
        return 0.0
    return float(sizes[int((more >= _MOST_OF * more.max()).argmax())])


def _frames(seen: Conditions, habit: FrameTimes) -> float:
    """Return for how many frames that will hold which a look tells."""
    pace = seen.link.volatility
    holds_s = min(_HOLDS_S[1], max(_HOLDS_S[0], (_WANDERED / pace) ** 2 if pace else math.inf))
    return holds_s / max(seen.frame_period_s or 0.0, habit.mean_s, 1e-3)
