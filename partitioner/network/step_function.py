"""A quantity that changes in steps, such as a bandwidth over time, and exact sums over it."""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from itertools import accumulate, count
from typing import Literal

AtEnd = Literal["loop", "hold"]

_ROUNDING = 1e-13
"""Of a sum: what ends with a step must not wait for the next one because of the last binary digit."""


class Steps:
    """Constant between its times: `values[i]` from `times[i]` to the next, the last to `duration`.

    Times are in seconds, ascend from 0, and end before `duration`. After that it begins again
    (`loop`) or stays at its last value (`hold`). Values are not negative; the caller has checked.
    """

    def __init__(
        self,
        times: Sequence[float],
        values: Sequence[float],
        duration: float,
        at_end: AtEnd = "loop",
    ) -> None:
        self.times = tuple(times)
        self.values = tuple(values)
        self.duration = duration
        self.at_end = at_end
        ends = [*self.times[1:], duration]
        sums = accumulate(
            value * (end - time)
            for time, end, value in zip(self.times, ends, self.values, strict=True)
        )
        self._sums = [0.0, *sums]
        self._knots = [*self.times, duration]

    def __repr__(self) -> str:
        low, high = min(self.values), max(self.values)
        return (
            f"<{len(self.values)} Steps from {low:g} to {high:g}, mean {self.mean:.4g}, over "
            f"{self.duration:g} s, then {self.at_end}>"
        )

    @property
    def mean(self) -> float:
        """The mean over the duration."""
        return self._sums[-1] / self.duration

    def at(self, time_s: float) -> float:
        """Return the value at a time of 0 or later."""
        if time_s >= self.duration:
            if self.at_end == "hold":
                return self.values[-1]
            time_s %= self.duration
        return self.values[bisect_right(self.times, time_s) - 1]

    def sum_to(self, time_s: float) -> float:
        """Return the integral from 0 to `time_s`."""
        rounds, rest = 0.0, time_s
        if time_s >= self.duration:
            if self.at_end == "hold":
                return self._sums[-1] + self.values[-1] * (time_s - self.duration)
            rounds, rest = divmod(time_s, self.duration)
        index = bisect_right(self.times, rest) - 1
        within = self._sums[index] + self.values[index] * (rest - self.times[index])
        return rounds * self._sums[-1] + within

    def reaches(self, amount: float, start_s: float) -> float:
        """Return the first time at which the integral from `start_s` on is `amount`; inf if never."""
        if amount <= 0:
            return start_s
        wanted = (self.sum_to(start_s) + amount) * (1 - _ROUNDING)
        whole = self._sums[-1]
        if self.at_end == "hold" and wanted > whole:
            rate = self.values[-1]
            return self.duration + (wanted - whole) / rate if rate > 0 else math.inf
        rounds = 0.0
        if wanted > whole:
            if whole == 0:
                return math.inf
            rounds = math.ceil(wanted / whole) - 1
            wanted -= rounds * whole
        # The first knot that is not below `wanted` ends the step within which it is reached.
        index = max(bisect_left(self._sums, wanted), 1) - 1
        within = (wanted - self._sums[index]) / self.values[index] if self.values[index] else 0.0
        # Rounding must not bring an end before its start.
        return max(start_s, rounds * self.duration + self._knots[index] + within)

    def next_change(self, time_s: float) -> float:
        """Return the first time after `time_s` at which a step begins; inf if none does."""
        rounds, rest = divmod(time_s, self.duration)
        for index in count(bisect_right(self.times, rest)):
            more, place = divmod(index, len(self.times))
            if self.at_end == "hold" and rounds + more > 0:
                break
            # Rounding may bring back the very step that has begun at `time_s`.
            if (begins := (rounds + more) * self.duration + self.times[place]) > time_s:
                return begins
        return math.inf

    def sum_within(self, start_s: float, end_s: float) -> float:
        """Return the integral between two times."""
        return self.sum_to(end_s) - self.sum_to(start_s)
