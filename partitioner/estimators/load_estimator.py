"""Estimates of load and arrivals: how much slower than profiled a machine is, and how often frames come."""

import math
from dataclasses import dataclass

_LATEST = 0.2
"""Weight of the newest frame in an average of what varies from frame to frame."""
_OFFSET_S, _LOAD, _LEAST = 5e-4, 0.5, 0.05
"""How far a stage's offset is from 0 and a load from 1, more or less; and the least load believed."""
_ENOUGH = 3.0
"""Frames, the older ones counting for less, that are no single ones any more."""
_STEADIER = 0.7
"""Times what the other gap differs, that a beat differs at most."""
_AT_ONCE_S = 5e-4
"""A frame that comes so soon after it was asked for has come at once."""
_SCATTER_S, _SCATTER = 1e-4, 0.1
"""How much a stage's time varies from frame to frame: so many seconds, and this share of it."""


class LoadEstimator:
    """How many times as long as profiled a machine takes, from ordinary stages.

    A stage is taken to last offset + load · profiled. The offset is what each stage costs that no profile
    holds, or holds too much of (waking, caches); it is of the order of a fraction of a millisecond, and
    would make a stage of 0.2 ms tell nonsense of one of 10 ms. Offset and load minus 1 are found by ridge
    regression (Hoerl and Kennard, Technometrics 1970): least squares over faded sums, towards 0 with
    `_OFFSET_S` and `_LOAD` as the deviations that are likely. So who is not asked for a while is believed
    to be as fast as profiled again. Where one frame differs much from the next, more of them are averaged; a
    step is one difference, and makes no estimate slower.
    """

    def __init__(self, keep: float = 0.7, half_life_s: float = 10.0) -> None:
        self._keep, self._half_life_s = keep, half_life_s
        self._restless, self._ratio, self._frames = 0.0, 0.0, 0.0
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
        keep = self._kept(measured_s / profiled_s) * self._faded(now_s)
        self._sums = tuple(
            keep * total + weight * moment
            for total, moment in zip(self._sums, moments, strict=True)
        )
        self._frames = keep * self._frames + 1
        self._seen_at = now_s

    def load(self, now_s: float) -> float:
        """Return the factor on profiled times: 1 as profiled, 2 half as fast."""
        weight, p, pp, more, p_more = self._ridge(now_s)
        slope = (weight * p_more - p * more) / (weight * pp - p * p)
        return max(_LEAST, 1 + slope)

    def _kept(self, ratio: float) -> float:
        """Return what is kept of what was seen, by how much measured over profiled differs frame by frame."""
        before, self._ratio = self._ratio, ratio
        if before > 0:
            differs = abs(math.log(ratio / before)) / 1.13  # its mean is 2 / sqrt(pi) deviations
            self._restless += 0.1 * (min(differs, 4 * self._restless + 0.1) - self._restless)
        excess = max(0.0, self._restless - _SCATTER) / _SCATTER
        return 1 - (1 - self._keep) / (1 + excess * excess)

    def told(self, now_s: float) -> tuple[float, float]:
        """Return the load, and the share of what is not known of it that frames have told: 0 to 1.

        Stages that are short beside the offset tell next to nothing, and so does a single one, which may be
        slow by chance; all is forgotten with time.
        """
        weight, p, pp, more, p_more = self._ridge(now_s)
        area = weight * pp - p * p
        certain = min(1.0, self._faded(now_s) * self._frames / _ENOUGH)
        load = max(_LEAST, 1 + (weight * p_more - p * more) / area)
        return load, certain * (1 - weight / area / _LOAD**2)

    def _ridge(self, now_s: float) -> tuple[float, ...]:
        """Return the faded sums with what is likely of offset and load."""
        faded = self._faded(now_s)
        weight, p, pp, more, p_more = (faded * total for total in self._sums)
        return weight + _OFFSET_S**-2, p, pp + _LOAD**-2, more, p_more

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


@dataclass(slots=True)
class _Gap:
    """A gap that follows what is seen of it, and how far it differs from frame to frame."""

    mean_s: float | None = None
    deviation_s: float = 0.0

    def add(self, gap_s: float) -> None:
        before = gap_s if self.mean_s is None else self.mean_s
        off_s = min(gap_s, 4 * before + 1e-3) - before
        self.mean_s = before + _LATEST * off_s
        self.deviation_s += _LATEST * (abs(off_s) - self.deviation_s)


class ArrivalRate:
    """Seconds between frames, as they would come if each were taken at once.

    A source that has a beat brings a frame at each, whenever it is asked; one without takes its time from
    when it is asked, whatever the option before took. Which it is shows in what is the steadier: the gaps
    between frames, or those since they were asked for. `period_s` is None before two frames were seen, and
    0 where the source takes next to nothing.
    """

    def __init__(self) -> None:
        self._last_at = -math.inf
        self._beat, self._source = _Gap(), _Gap()

    def add(self, arrived_at: float, asked_at: float = -math.inf) -> None:
        """Note a frame that was asked for at `asked_at`, when there was room for it."""
        last_at, self._last_at = self._last_at, arrived_at
        gap_s = arrived_at - last_at
        if 0 <= gap_s < math.inf:
            self._beat.add(gap_s)
            self._source.add(arrived_at - max(last_at, asked_at))

    @property
    def next_at(self) -> float:
        """When the next frame is expected, if they go on as they have come."""
        return self._last_at + (self._beat.mean_s or 0.0)

    @property
    def period_s(self) -> float | None:
        """Seconds between two frames; see above for None and 0."""
        beat, source = self._beat, self._source
        if source.mean_s is None or source.mean_s < _AT_ONCE_S:
            return None if source.mean_s is None else 0.0
        return beat.mean_s if beat.deviation_s < _STEADIER * source.deviation_s else source.mean_s
