"""Outages of the link: how often they begin and how long they last, from messages that were far too late.

A chain of two states (Gilbert 1960): the link is up, and goes down so many times a second; it is down, and
comes up again after `lasts_s` on average. Both are means over a fading past, from a prior of few outages.
"""

import math

from partitioner.estimators.link_estimate import Outage

_MEMORY_S = 60.0
_PRIOR_COUNT, _PRIOR_S = 1 / 12, 20.0
"""What is believed before anything is seen: one in four minutes, with the weight of twenty seconds."""
_PRIOR_LASTS_S, _PRIOR_LASTS = 1.0, 1.0
"""And that it lasts a second, with the weight of one outage."""
_STEEP = 1.7
"""The logistic distribution with this slope is the normal one within 0.01."""


class Outages:
    """Learns from messages, and from silence. Moments are seconds of one clock."""

    def __init__(self) -> None:
        self._count, self._watched_s = 0.0, 0.0
        self._lasted_s, self._ended = 0.0, 0.0
        self._seen_at = -math.inf

    def passed(self, at: float, late_s: float) -> None:
        """Learn of a message that came through: an outage delayed it by `late_s`, or none did (0)."""
        if self._seen_at > -math.inf:
            span_s = max(0.0, at - self._seen_at)
            keep = math.exp(-span_s / _MEMORY_S)
            self._count, self._watched_s = keep * self._count, keep * self._watched_s + span_s
        if late_s > 0:
            self._count += 1
            self._lasted_s, self._ended = self._lasted_s + late_s, self._ended + 1
            if self._ended > 8:
                self._lasted_s, self._ended = self._lasted_s / 2, self._ended / 2
        self._seen_at = max(self._seen_at, at)

    @property
    def rate(self) -> float:
        """Outages that begin in a second."""
        return (self._count + _PRIOR_COUNT) / (self._watched_s + _PRIOR_S)

    @property
    def lasts_s(self) -> float:
        """Mean seconds of one, also of what is left of one that lasts: the chain forgets."""
        return (self._lasted_s + _PRIOR_LASTS * _PRIOR_LASTS_S) / (self._ended + _PRIOR_LASTS)

    def outage(
        self, now_s: float, waited_s: float | None, usual_s: float, scatter_s: float
    ) -> Outage:
        """Return what is believed now.

        `waited_s`: how long the oldest message has been under way, None where none is; it usually takes
        `usual_s`, and scatters by `scatter_s`.
        """
        rate, lasts_s = self.rate, self.lasts_s
        idle_s = max(0.0, now_s - self._seen_at) if self._seen_at > -math.inf else 0.0
        settles = rate + 1 / lasts_s
        down = rate / settles * (1 - math.exp(-settles * idle_s))
        if waited_s is not None and waited_s > usual_s / 2:
            up = 1 / (1 + math.exp(min(50.0, _STEEP * (waited_s - usual_s) / max(scatter_s, 1e-4))))
            met = 1 - math.exp(-rate * waited_s)
            down = met / (met + (1 - met) * up)
            lasts_s = max(lasts_s, 0.5 * (waited_s - usual_s))
        return Outage(rate, lasts_s, down)
