"""Waiting for one of several workers, by the formulas of queueing theory.

Erlang's C for Poisson arrivals and exponential service (A. K. Erlang, 1917); for other service and arrivals
the approximation of Allen and Cunneen, which multiplies the mean wait by half the sum of both squared
coefficients of variation (A. O. Allen, Probability, Statistics, and Queueing Theory, 2nd ed. 1990, section
5.3; exact for M/M/c and M/G/1, where it is the formula of Pollaczek and Khinchine; for one worker it is
Kingman's bound of 1961 in heavy traffic). Those who wait, wait for a time that is taken as exponential
(W. Whitt, "Approximations for the GI/G/m queue", Production and Operations Management 2(2), 1993).
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Waiting:
    """How long requests wait: a share does, for an exponential time of this mean."""

    share: float
    mean_s: float

    def beyond(self, time_s: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return the shares that wait longer than these times."""
        if not self.mean_s:
            return np.where(time_s < 0, 1.0, 0.0)
        if self.mean_s == math.inf:
            return np.ones_like(time_s)
        later = np.minimum(self.share, self.share * np.exp(-np.maximum(time_s, 0.0) / self.mean_s))
        return np.where(time_s < 0, 1.0, later)

    def percentile_s(self, percent: float, unqueued_s: npt.NDArray[np.float64]) -> float:
        """Return a percentile of latencies without any wait, each with an independent wait on top."""
        if self.mean_s == math.inf:
            return math.inf
        beyond = 1 - percent / 100
        low, high = 0.0, float(unqueued_s.max()) + self.mean_s * math.log(1e9)
        for _ in range(60):
            middle = (low + high) / 2
            if float(self.beyond(middle - unqueued_s).mean()) > beyond:
                low = middle
            else:
                high = middle
        return high


def waiting(
    workers: int, rate: float, service_s: float, service_cv2: float = 1.0, arrival_cv2: float = 1.0
) -> Waiting:
    """Return the wait for `workers` that take `service_s` on average, at `rate` requests a second.

    `…_cv2`: squared coefficients of variation. Infinite where the workers do not keep up.
    """
    load = rate * service_s
    if load >= workers:
        return Waiting(1.0, math.inf)
    share = erlang_c(workers, load)
    return Waiting(share, service_s / (workers - load) * (arrival_cv2 + service_cv2) / 2)


def erlang_c(workers: int, load: float) -> float:
    """Return the share of requests that wait, at a `load` in Erlangs below the number of workers.

    By the recursion of Erlang's B, which overflows nowhere.
    """
    blocked = 1.0
    for number in range(1, workers + 1):
        blocked = load * blocked / (number + load * blocked)
    return workers * blocked / (workers - load * (1 - blocked))
