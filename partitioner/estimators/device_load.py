"""The device's load, told apart: what others cause, and what frames of its own cause that are under way.

A server on the same cores, or this program's own sending and receiving, slows a head down only while other
frames are beyond the device. The cut `edge` would not suffer from that. So heads that ran alone and heads
that ran beside frames under way teach two estimates, and the ratio of both is remembered for longer. Where
only heads beside others were seen, most of their load is put down to own frames: that is found out by a few
frames at the cut `edge`, while the other error would never be.
"""

import math

from partitioner.estimators.load_estimator import LoadEstimator

_TOGETHER_S = 3.0
"""Heads alone and beside others tell what own frames cause, where both were seen within so long"""
_CERTAIN = 0.5
"""and each tells so much."""
_OWN_HALF_LIFE_S = 120.0
_LATEST = 0.2
_UNKNOWN = 0.75
"""Of what heads beside others show, this share of its logarithm is own load until heads alone were seen."""


class DeviceLoad:
    """How many times as long as profiled heads take: alone, and beside own frames. Time is a parameter."""

    def __init__(self) -> None:
        self._alone, self._beside = LoadEstimator(), LoadEstimator()
        self._alone_at = self._beside_at = self._own_at = -math.inf
        self._own = 0.0

    def add(self, measured_s: float, profiled_s: float, now_s: float, *, beside: bool) -> None:
        """Learn from one head; `beside`: while it began, other frames were beyond the device."""
        if beside:
            self._beside.add(measured_s, profiled_s, now_s)
            self._beside_at = now_s
        else:
            self._alone.add(measured_s, profiled_s, now_s)
            self._alone_at = now_s
        certain = min(self._alone.certainty(now_s), self._beside.certainty(now_s)) > _CERTAIN
        if not certain or abs(self._alone_at - self._beside_at) > _TOGETHER_S:
            return
        ratio = max(0.0, math.log(self._beside.load(now_s) / self._alone.load(now_s)))
        before = self._own if self._own_at > -math.inf else ratio
        self._own, self._own_at = before + _LATEST * (ratio - before), now_s

    def others(self, now_s: float) -> float:
        """Return the load that others cause: that of a head which runs alone."""
        beside, known = math.log(self._beside.load(now_s)), self._known(now_s)
        own = known * self._own + (1 - known) * _UNKNOWN * beside
        own = max(min(0.0, beside), min(max(0.0, beside), own))
        untold = 1 - self._alone.certainty(now_s)
        alone = self._alone.load(now_s) * math.exp(untold * (beside - own))
        # Own frames make nothing faster, so that heads beside them show the most that others cause.
        told = self._beside.certainty(now_s) > _CERTAIN
        return min(alone, self._beside.load(now_s)) if told else alone

    def own(self, now_s: float) -> float:
        """Return how many times as long again a head takes beside frames of its own that are under way."""
        before = math.log(self._alone.load(now_s)) + self._known(now_s) * self._own
        untold = 1 - self._beside.certainty(now_s)
        return self._beside.load(now_s) * math.exp(untold * before) / self.others(now_s)

    def _known(self, now_s: float) -> float:
        return math.exp2(min(0.0, self._own_at - now_s) / _OWN_HALF_LIFE_S)
