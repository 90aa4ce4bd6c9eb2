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
        (alone, told_alone), (loaded, told_loaded) = self._told(now_s)
        together = abs(self._alone_at - self._beside_at) <= _TOGETHER_S
        if not together or min(told_alone, told_loaded) <= _CERTAIN:
            return
        ratio = max(0.0, math.log(loaded / alone))
        before = self._own if self._own_at > -math.inf else ratio
        self._own, self._own_at = before + _LATEST * (ratio - before), now_s

    def factors(self, now_s: float) -> tuple[float, float]:
        """Return the load that others cause, and how many times as long again a head takes beside own frames.

        The first is that of a head which runs alone; own frames make nothing faster, so that heads beside
        them show the most that others cause.
        """
        (alone, told_alone), (beside, told_beside) = self._told(now_s)
        known = math.exp2(min(0.0, self._own_at - now_s) / _OWN_HALF_LIFE_S)
        said = math.log(beside)
        own = known * self._own + (1 - known) * _UNKNOWN * said
        own = max(min(0.0, said), min(max(0.0, said), own))
        others = alone * math.exp((1 - told_alone) * (said - own))
        if told_beside > _CERTAIN:
            others = min(others, beside)
        total = beside * math.exp((1 - told_beside) * (math.log(alone) + known * self._own))
        return others, total / others

    def _told(self, now_s: float) -> tuple[tuple[float, float], tuple[float, float]]:
        return self._alone.told(now_s), self._beside.told(now_s)
