"""A rehearsal of a slower device: what was computed here is waited for, until it took as long as there."""

import time
from collections import deque
from collections.abc import Callable, Hashable
from statistics import median_low
from typing import TypeVar

R = TypeVar("R")

_REMEMBERED = 9
"""Runs of the same work, of which the median is what it usually takes."""


class Slowdown:
    """Makes work take `times` as long as it takes here, by sleeping after it, so that the core is free.

    The wait goes by what the same work has usually taken of late: what a single run takes longer, since it
    was the first or since others were computing beside it, is no property of the slower device and is not
    multiplied. With `times` 1 nothing waits; it is never less.
    """

    def __init__(
        self,
        times: float = 1.0,
        clock: Callable[[], float] = time.perf_counter,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.times = times
        self._clock, self._sleep = clock, sleep
        self._seconds: dict[Hashable, deque[float]] = {}

    def run(self, name: Hashable, work: Callable[[], R]) -> tuple[R, float]:
        """Return what `work` returns, and the seconds that it took, with the wait after it.

        Runs of the same `name` are of the same work.
        """
        begun = self._clock()
        made = work()
        if self.times > 1:
            self._wait(name, self._clock() - begun)
        return made, self._clock() - begun

    def _wait(self, name: Hashable, took_s: float) -> None:
        seconds = self._seconds.setdefault(name, deque(maxlen=_REMEMBERED))
        seconds.append(took_s)
        self._sleep((self.times - 1) * median_low(seconds))
