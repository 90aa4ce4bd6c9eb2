"""A rehearsal of a slower device: what is computed here is waited for, until it took as long as there."""

import time
from collections.abc import Callable, Hashable
from typing import TypeVar

from partitioner.profiles.profile import Profile

R = TypeVar("R")

_LOOKS = 5
"""Runs of new work, of which the fastest is what it usually takes, as in a profile."""


class Slowdown:
    """Makes work take `times` as long as it takes here, by sleeping before it, so that the core is free.

    Before, since what comes after a sleep is slower for a while: the work's result is handed on at once.
    The wait is the same for every run: what a single run takes longer here, after a pause or beside others,
    is no property of the slower device and is not multiplied. What frames cost a device beside its work is
    waited for too, once a profile tells it. With `times` 1 nothing waits; it is never less.
    """

    def __init__(
        self,
        times: float = 1.0,
        clock: Callable[[], float] = time.perf_counter,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.times = times
        self._clock, self._sleep = clock, sleep
        self._usual_s: dict[Hashable, float] = {}
        self._resume_s = self._crossing_s = 0.0

    def know(self, profile: Profile) -> None:
        """Take from the slower device's profile what waking up and handing over take it."""
        more = 1 - 1 / self.times
        self._resume_s, self._crossing_s = more * profile.resume_s, more * profile.crossing_s

    def run(self, name: Hashable, work: Callable[[], R]) -> tuple[R, float]:
        """Return what `work` returns, and the seconds that it took, with the wait before it.

        Runs of the same `name` are of the same work; before the first one it is run a few times more.
        """
        if self.times > 1 and name not in self._usual_s:
            self._usual_s[name] = min(self._timed(work) for _ in range(_LOOKS))
        begun = self._clock()
        if self.times > 1:
            self._sleep((self.times - 1) * self._usual_s[name])
        return work(), self._clock() - begun

    def wake(self) -> float:
        """Wait for what waking up takes the slower device longer; return those seconds."""
        return self._rest(self._resume_s)

    def hand_over(self) -> None:
        """Wait for what sending a frame, and reading its answer, take the slower device longer."""
        self._rest(self._crossing_s)

    def _rest(self, seconds: float) -> float:
        if seconds > 0:
            self._sleep(seconds)
        return seconds

    def _timed(self, work: Callable[[], object]) -> float:
        begun = self._clock()
        work()
        return self._clock() - begun
