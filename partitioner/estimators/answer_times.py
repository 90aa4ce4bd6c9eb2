"""What answers of the cloud take where no plan tells their parts: a mean, and how far they are from it."""

import math

_MEAN, _DEVIATION = 1 / 8, 1 / 4
"""Weights of the newest answer (Jacobson, Congestion Avoidance and Control, SIGCOMM 1988)."""
_FIRST = 5
"""Answers until the mean means something."""
_LEAST_S = 0.001
_OUTAGE = 0.001
"""The chance that an answer comes in no time that counts."""


class AnswerTimes:
    """Follows the seconds from handing a message over to its answer, of messages that are alike."""

    def __init__(self) -> None:
        self._count = 0
        self._mean_s = self._deviation_s = 0.0

    @property
    def mean_s(self) -> float | None:
        """What an answer is expected to take; None before the first few."""
        return self._mean_s if self._count >= _FIRST else None

    def add(self, seconds: float) -> None:
        """Learn from one answer."""
        self._count += 1
        if self._count == 1:
            self._mean_s, self._deviation_s = seconds, seconds / 2
            return
        error_s = seconds - self._mean_s
        self._mean_s += _MEAN * error_s
        self._deviation_s += _DEVIATION * (abs(error_s) - self._deviation_s)

    def chance_later(self, seconds: float) -> float:
        """Return the chance that an answer takes longer than that: logistic, with that of an outage."""
        if seconds <= 0:
            return 1.0
        # 1.25: from the mean deviation to the standard one of what is normally distributed.
        deviation_s = max(_LEAST_S, 1.25 * self._deviation_s)
        scaled = (seconds - self._mean_s) / deviation_s * math.pi / math.sqrt(3)
        return _OUTAGE + (1 - _OUTAGE) * 0.5 * (1 - math.tanh(scaled / 2))
