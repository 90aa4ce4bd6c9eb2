"""Experience: what frames of each option really took against what was expected, and what moves brought.

Estimates of link and loads say what an option should take. What they do not know shows in the frames that
are served by it: two machines that share their cores, say, or a device that waits for itself. So for each
option the logarithm of what a frame took over what was expected for it, by all that is known once it is
done, is kept as a fading mean. An option that was never used is taken to be as the other ones that cross.

A move is judged by its first settled frames: those that arrived when the first of the new option was done,
so that none waits behind frames of the old one. One that brought less than half of what it promised
doubles what the next has to gain, and how long its option is believed to disappoint; one that kept its
promise halves both. All of it fades, so that nothing is given up for good.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from statistics import fmean
from types import MappingProxyType

from protos.names import EDGE

_BOUNDS = (0.7, 2.5)
"""Of what experience makes of an expectation."""
_UNSAID = 0.1
"""In logarithms: less than this is what estimates are good for, and no experience."""
_MOST_FRAMES = 8.0
"""The newest frame weighs one in so many, once there were as many."""
_ALIKE = 4.0
"""Frames that what holds for all options that cross counts for."""
_HALF_LIFE_S, _LONGEST_S = 60.0, 960.0
"""How fast experience fades, and how slowly at most."""
_MOST_RELUCTANCE = 8.0
_JUDGED = 4
"""Settled frames by which a move is judged."""
_SCATTERS = 0.1
"""Weight of the newest frame in how far frames scatter. 1.25: from the mean deviation to the standard one."""
_LATEST = 0.3
"""Weight of the newest frame in what frames take now."""


@dataclass(frozen=True, slots=True)
class Lessons:
    """What experience says of options, and of moves, at one moment."""

    factors: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}), hash=False)
    """Real over expected seconds, by the labels of options that were used."""
    crossing: float = 1.0
    """The same of options that cross and were not used."""
    reluctance: float = 1.0
    """So many times what the settings ask for must a move promise to gain."""
    fruitless: int = 0
    """Moves in a row that brought less than half of what they promised."""
    scatter: float = 0.0
    """How far frames are off by chance alone, as a share of what machines take for them."""
    settles: bool = False
    """The option is new, and frames of the one before it are still in the way."""

    def factor(self, label: str, cut: str) -> float:
        """Return what to multiply the expected seconds of an option with."""
        return self.factors.get(label, 1.0 if cut == EDGE else self.crossing)


NO_LESSONS = Lessons()


@dataclass(slots=True)
class _Memory:
    """Of one option: the mean logarithm of real over expected, and the frames that it rests on."""

    mean: float = 0.0
    frames: float = 0.0
    seen_at: float = -math.inf
    half_life_s: float = _HALF_LIFE_S

    def weight(self, now_s: float) -> float:
        return self.frames * math.exp2(min(0.0, self.seen_at - now_s) / self.half_life_s)

    def add(self, value: float, now_s: float) -> None:
        kept = self.weight(now_s)
        self.mean += (value - self.mean) / (kept + 1)
        self.frames, self.seen_at = min(_MOST_FRAMES, kept + 1), max(self.seen_at, now_s)


@dataclass(frozen=True, slots=True)
class Promise:
    """What a move was to bring: seconds of a frame, and what of them the link was to take."""

    staying_s: float
    takes_s: float
    staying_link_s: float = 0.0
    link_s: float = 0.0

    @property
    def is_of_the_link(self) -> bool:
        """True where the link makes the most of the gain."""
        return self.staying_link_s - self.link_s > (self.staying_s - self.takes_s) / 2


@dataclass(slots=True)
class _Trial:
    """A move, and what it promised; None: nothing, or it is judged."""

    moved_at: float = -math.inf
    promise: Promise | None = None
    settled_at: float | None = None
    """When the first frame that arrived after the move was done."""
    took_s: list[float] = field(default_factory=list)

    def settles(self, arrived_at: float, done_at: float) -> bool:
        """Tell whether a frame is settled: not first, and behind none of another option."""
        if self.settled_at is None and arrived_at >= self.moved_at:
            self.settled_at = done_at
            return False
        return self.settled_at is not None and arrived_at >= self.settled_at


class Experience:
    """Learns from settled frames and from moves. Time is a parameter."""

    def __init__(self) -> None:
        self.count = 0
        """Grows with what is learnt."""
        self._memories: dict[str, _Memory] = {}
        self._label: str | None = None
        self._from: str | None = None
        self._disappointed: str | None = None
        self._trial = _Trial()
        self._latest_s: float | None = None
        self._reluctance, self._judged_at, self._fruitless = 1.0, -math.inf, 0
        self._scatter, self._settled = 0.0, False
        self._lessons, self._lessons_of = NO_LESSONS, (-1, -math.inf)

    def moved(self, label: str, now_s: float, promise: Promise | None = None) -> None:
        """Note a move to an option. It is not held against what the link does after it.

        Else moves on a link that changes would be made rare, on which they are needed.
        """
        if label == self._label:
            return
        if self._trial.promise is not None and not (promise and promise.is_of_the_link):
            self._judge(self._trial, now_s)  # it lasted too short a time to bring anything
        if promise is not None and self._latest_s is not None:
            staying_s = min(promise.staying_s, self._latest_s + promise.staying_link_s)
            promise = replace(promise, staying_s=staying_s)
        if label == self._from and self._label == self._disappointed:
            promise = None  # to undo a move that brought nothing is no merit
        self._from, self._label, self._latest_s = self._label, label, None
        self._trial, self._settled = _Trial(now_s, promise), False
        self.count += 1

    def done(
        self, label: str, arrived_at: float, done_at: float, expected_s: float, computing_s: float
    ) -> None:
        """Learn from a frame that was served as planned.

        `expected_s` is what it should have taken by all that is known now, of which `computing_s` is the
        machines' part.
        """
        trial = self._trial
        if label != self._label or not trial.settles(arrived_at, done_at):
            return
        took_s, self._settled = done_at - arrived_at, True
        machines_s = max(0.0, took_s - (expected_s - computing_s))
        before_s = machines_s if self._latest_s is None else self._latest_s
        self._latest_s = before_s + _LATEST * (machines_s - before_s)
        self._compare(label, done_at, took_s, expected_s, computing_s)
        if trial.promise is not None:
            trial.took_s.append(machines_s + trial.promise.link_s)
            if len(trial.took_s) == _JUDGED:
                self._judge(trial, done_at)
        self.count += 1

    def _compare(
        self, label: str, now_s: float, took_s: float, expected_s: float, computing_s: float
    ) -> None:
        """Keep by how much a frame is off, and how much of that is chance."""
        if min(took_s, expected_s, computing_s) <= 0:
            return
        memory, bound = self._memories.setdefault(label, _Memory()), math.log(_BOUNDS[1])
        memory.add(max(-bound, min(bound, math.log(took_s / expected_s))), now_s)
        off = abs(took_s - expected_s * math.exp(memory.mean)) / computing_s
        self._scatter += _SCATTERS * (1.25 * min(1.0, off) - self._scatter)

    def lessons(self, now_s: float) -> Lessons:
        """Return what is to be made of it at `now_s`."""
        if self.count == self._lessons_of[0] and now_s - self._lessons_of[1] < 0.25:
            return self._lessons
        known = [(label, one, one.weight(now_s)) for label, one in list(self._memories.items())]
        crossing = [(one.mean, weight) for label, one, weight in known if label != EDGE]
        common = sum(mean * weight for mean, weight in crossing) / (
            _ALIKE + sum(weight for _, weight in crossing)
        )
        factors = {}
        for label, one, weight in known:
            alike, before = (_ALIKE, common) if label != EDGE else (1.0, 0.0)
            factors[label] = _factor((weight * one.mean + alike * before) / (weight + alike))
        reluctance = self._reluctance_at(now_s)
        fruitless = self._fruitless_at(reluctance)
        settles = not self._settled
        self._lessons = Lessons(
            factors, _factor(common), reluctance, fruitless, self._scatter, settles
        )
        self._lessons_of = (self.count, now_s)
        return self._lessons

    def _judge(self, trial: _Trial, now_s: float) -> None:
        """Compare what a move brought with what it promised, and heed it."""
        promise, trial.promise = trial.promise, None
        if promise is None:
            return
        memory = self._memories.setdefault(self._label or "", _Memory())
        half_s = (promise.staying_s + promise.takes_s) / 2
        if trial.took_s and fmean(trial.took_s) <= half_s:
            reluctance, self._fruitless = self._reluctance_at(now_s) / 2, 0
            self._disappointed = None
            memory.half_life_s = max(_HALF_LIFE_S, memory.half_life_s / 2)
        else:
            reluctance, self._fruitless = 2 * self._reluctance_at(now_s), self._fruitless + 1
            self._disappointed = self._label
            memory.half_life_s = min(_LONGEST_S, 2 * memory.half_life_s)
        self._reluctance = min(_MOST_RELUCTANCE, max(1.0, reluctance))
        self._judged_at = now_s
        self.count += 1

    def _reluctance_at(self, now_s: float) -> float:
        faded = math.exp2(min(0.0, self._judged_at - now_s) / _HALF_LIFE_S)
        return 1 + (self._reluctance - 1) * faded

    def _fruitless_at(self, reluctance: float) -> int:
        return self._fruitless if reluctance > 1.1 else 0


def _factor(mean: float) -> float:
    """Return the factor of a mean logarithm; what is no more than estimates are good for says nothing."""
    said = math.copysign(max(0.0, abs(mean) - _UNSAID), mean)
    return min(_BOUNDS[1], max(_BOUNDS[0], math.exp(said)))
