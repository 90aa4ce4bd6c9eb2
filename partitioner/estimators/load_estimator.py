"""Estimates of load and arrivals: how much slower than profiled a machine is, and how often frames come."""

import math
from dataclasses import dataclass

_LATEST = 0.2
"""Weight of the newest frame in an average of what varies from frame to frame."""
_OFFSET_S, _LOAD, _LEAST = 5e-4, 0.5, 0.05
"""How far a stage's offset is from 0 and a load from 1, more or less; and the least load believed."""
_SCATTER_S, _SCATTER = 1e-4, 0.1
"""How much a stage's time varies from frame to frame: so many seconds, and this share of it."""


class LoadEstimator:
    """How many times as long as profiled a machine takes, from ordinary stages.

    A stage is taken to last offset + load · profiled. The offset is what each stage costs that no profile
    holds, or holds too much of (waking, caches); it is of the order of a fraction of a millisecond, and
    would make a stage of 0.2 ms tell nonsense of one of 10 ms. Offset and load minus 1 are found by ridge
    regression (Hoerl and Kennard, Technometrics 1970): least squares over faded sums, towards 0 with
    `_OFFSET_S` and `_LOAD` as the deviations that are likely. So who is not asked for a while is believed
    to be as fast as profiled again.
    """

    def __init__(self, keep: float = 0.7, half_life_s: float = 10.0) -> None:
        self._keep, self._half_life_s = keep, half_life_s
        self._sums: tuple[float, ...] = (0.0,) * 5
        self._seen_at = -math.inf

    def add(self, measured_s: float, profiled_s: float, now_s: float) -> None:
        """Learn from one stage; a stage without a profile (0 s) teaches nothing.

        One run that was interrupted for long counts at most as four times what was expected.
        """
        if profiled_s <= 0:
            return
        usual_s = 4 * self.load(now_s) * profiled_s
        more_s = min(measured_s, max(usual_s, 1e-3)) - profiled_s
        weight = 1 / (_SCATTER_S + _SCATTER * profiled_s) ** 2
        moments = (1.0, profiled_s, profiled_s**2, more_s, profiled_s * more_s)
        keep = self._keep * self._faded(now_s)
        self._sums = tuple(
            keep * total + weight * moment
            for total, moment in zip(self._sums, moments, strict=True)
        )
        self._seen_at = now_s

    def load(self, now_s: float) -> float:
        """Return the factor on profiled times: 1 as profiled, 2 half as fast."""
        faded = self._faded(now_s)
        weight, p, pp, more, p_more = (faded * total for total in self._sums)
        weight, pp = weight + _OFFSET_S**-2, pp + _LOAD**-2
        slope = (weight * p_more - p * more) / (weight * pp - p * p)
        return max(_LEAST, 1 + slope)

    def _faded(self, now_s: float) -> float:
        return math.exp2(min(0.0, self._seen_at - now_s) / self._half_life_s)


class FadingMean:
    """An average that follows, and fades to 0 while nothing is seen; for the seconds in a queue."""

    def __init__(self, half_life_s: float = 5.0) -> None:
        self._half_life_s = half_life_s
        self._mean = 0.0
        self._seen_at = -math.inf

    def add(self, value: float, now_s: float) -> None:
        """Learn one value."""
        self._mean = self.value(now_s) + _LATEST * (value - self.value(now_s))
        self._seen_at = now_s

    def value(self, now_s: float) -> float:
        """Return the average as of now."""
        return self._mean * math.exp2(min(0.0, self._seen_at - now_s) / self._half_life_s)


@dataclass
class ArrivalRate:
    """Seconds between frames, as they come.

    `period_s` is None before two frames were seen, and 0 while most had to wait until they were taken: how
    fast they would come cannot be seen then.
    """

    _last_at: float = -math.inf
    _gap_s: float | None = None
    _held: float = 0.0

    def add(self, arrived_at: float, *, held: bool) -> None:
        """Note a frame; `held`: it might have come sooner, had the window or the device been free."""
        gap_s, self._last_at = arrived_at - self._last_at, arrived_at
        self._held += _LATEST * (float(held) - self._held)
        if 0 <= gap_s < math.inf:
            before = gap_s if self._gap_s is None else self._gap_s
            self._gap_s = before + _LATEST * (min(gap_s, 4 * before + 1e-3) - before)

    @property
    def period_s(self) -> float | None:
        """Seconds between two frames; see above for None and 0."""
        return 0.0 if self._held > 0.5 else self._gap_s
