"""Volatility of the link: how far the logarithm of its rate wanders in the square root of a second.

The rate is averaged over seconds, so that the scatter of single messages hardly counts, and what it differs
by from one to the next, squared and over the time between, is what a random walk says of its own pace.
"""

import math

_BLOCK_S = 1.0
_MEMORY_S = 20.0
"""Seconds of changes that outweigh the prior."""
_LARGEST = 2.5
"""A change counts as a factor of e to this at most: a link that died tells of outages, not of wandering."""


class Volatility:
    """Follows the pace of a rate that wanders, from `prior`, between `least` and `most`."""

    def __init__(self, prior: float, least: float, most: float) -> None:
        self._least, self._most = least, most
        self._variance = prior * prior
        self._sum, self._noise, self._count, self._begun_at, self._last_at = 0.0, 0.0, 0, 0.0, 0.0
        self._before: tuple[float, float, float] | None = None

    @property
    def value(self) -> float:
        """Deviation of the logarithm of the rate after a second."""
        return min(self._most, max(self._least, math.sqrt(self._variance)))

    def add(self, log_rate: float, variance: float, at: float) -> None:
        """Learn from one reading of the rate, whose logarithm scatters by `variance`."""
        if self._count and at - self._begun_at >= _BLOCK_S:
            self._close()
        if not self._count:
            self._begun_at = at
        self._sum, self._noise, self._count = (
            self._sum + log_rate,
            self._noise + variance,
            self._count + 1,
        )
        self._last_at = at

    def forget(self) -> None:
        """Compare nothing that comes with what was: the link is another one."""
        self._before, self._count, self._sum, self._noise = None, 0, 0.0, 0.0

    def _close(self) -> None:
        mean, at = self._sum / self._count, (self._begun_at + self._last_at) / 2
        scatter = self._noise / self._count**2
        if self._before is not None:
            was, was_at, was_scatter = self._before
            span_s = max(at - was_at, _BLOCK_S / 2)
            change = min(_LARGEST, abs(mean - was))
            found = max(0.0, change * change - scatter - was_scatter) / span_s
            weight = span_s / (span_s + _MEMORY_S)
            self._variance += weight * (found - self._variance)
        self._before = (mean, at, scatter)
        self._sum, self._noise, self._count = 0.0, 0.0, 0
