"""The link as believed at one moment: what a message of n bytes takes, as a distribution.

A message takes rtt + n · seconds a byte, of which both are uncertain, and now and then an outage delays it.
The seconds a byte are taken to be log-normal, as rates fall and rise by factors, with the mean and the
variance that the filter gives; the round trip follows by the covariance. Outages are a Markov chain of two
states (E. Gilbert, "Capacity of a burst-noise channel", Bell System Technical Journal 39, 1960).
"""

import math
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from partitioner.network.link import Link

Seconds = npt.NDArray[np.float64]

_STRATA = (
    (0.05, -2.063), (0.15, -1.179), (0.2, -0.532), (0.2, 0.0), (0.2, 0.532), (0.15, 1.179), (0.05, 2.063),
)  # fmt: skip
"""Parts of a normal distribution: how likely each is, and its mean."""
_KNOWN = 0.05
"""A rate whose spread is a smaller share of it is as good as known."""
_SLOPE = math.pi / math.sqrt(3) / 2
"""Of the logistic distribution whose deviation is 1."""
_FLOOR_S = 0.0002
"""Timers and schedulers do not tell less than this apart."""
_MOST_SURPRISE = 3.0
_LEAST_TRIP = 0.2
"""Of the expected round trip, that it may be."""


class LinkCase(NamedTuple):
    """One way that the link may be: so likely, with this round trip and these seconds for a byte up."""

    weight: float
    rtt_s: float
    byte_s: float

    def network_s(self, size_bytes: float) -> float:
        """Return the seconds of a message, its answer counted in `size_bytes` as the estimator does."""
        return self.rtt_s + size_bytes * self.byte_s


@dataclass(frozen=True, slots=True)
class Outage:
    """Black-outs: how many begin in a second, how long they last, and the chance of being in one."""

    rate: float = 0.0
    lasts_s: float = 1.0
    now: float = 0.0

    def chances(self, seconds: Seconds) -> Seconds:
        """Return `chance` of each."""
        if not self.rate and not self.now:
            return np.zeros_like(seconds)
        return 1 - (1 - self.now) * np.exp(-self.rate * seconds)

    def chance(self, seconds: float) -> float:
        """Return the chance that a message which is under way for so long meets one."""
        if not self.rate and not self.now:
            return 0.0
        return 1 - (1 - self.now) * math.exp(-self.rate * seconds)


NO_OUTAGE = Outage()


@dataclass(frozen=True, slots=True)
class LinkEstimate:
    """The link as believed now, and how far it may be off.

    The covariance is that of the round trip (s) and of the uplink's seconds a byte. `noise` is how much
    single frames scatter around the expectation, as a share of it, `volatility` how far the logarithm of
    the rate wanders in the square root of a second.
    """

    link: Link
    rtt_variance: float = 0.0
    byte_variance: float = 0.0
    covariance: float = 0.0
    noise: float = 0.0
    volatility: float = 0.0
    outage: Outage = NO_OUTAGE
    hints: tuple[tuple[float, float], ...] = ()
    """Sizes and seconds of the latest messages, where the filter could tell little of the rate from them."""
    cases: tuple[LinkCase, ...] = field(init=False, repr=False, compare=False)
    """How the link may be, the fastest first; the weights sum to 1."""
    cases_as_arrays: tuple[Seconds, Seconds, Seconds] = field(init=False, repr=False, compare=False)
    """The same as weights, round trips and seconds a byte."""

    def __post_init__(self) -> None:
        cases = self._cases()
        object.__setattr__(self, "cases", cases)
        columns = np.array([(case.weight, case.rtt_s, case.byte_s) for case in cases]).T
        object.__setattr__(self, "cases_as_arrays", tuple(columns))

    def __repr__(self) -> str:
        return (
            f"<LinkEstimate of {self.link}: the rate is known to {self.uplink_spread:.0%}, "
            f"and an outage lasts with a chance of {self.outage.now:.0%}>"
        )

    def deviation_s(self, upload_bytes: float) -> float:
        """Return the standard deviation of the expected network time of a message of that size."""
        variance = (
            self.rtt_variance
            + 2 * upload_bytes * self.covariance
            + upload_bytes * upload_bytes * self.byte_variance
        )
        return math.sqrt(max(0.0, variance))

    @property
    def uplink_spread(self) -> float:
        """The uplink's standard deviation, as a share of it."""
        return math.sqrt(self.byte_variance) * self.link.uplink_bps / 8

    @property
    def rtt_spread_s(self) -> float:
        """The round trip's standard deviation."""
        return math.sqrt(self.rtt_variance)

    def chance_later(self, upload_bytes: float, download_bytes: float, seconds: float) -> float:
        """Return the chance that a message and its answer spend more than `seconds` on the network.

        Of each case that is logistic with the scatter of single messages, and an outage adds what is left
        of it, which is exponential.
        """
        if seconds <= 0:
            return 1.0
        size, outage, later = self.size(upload_bytes, download_bytes), self.outage, 0.0
        for case in self.cases:
            usual_s = case.network_s(size)
            past = (seconds - usual_s) / (self.noise * usual_s + _FLOOR_S)
            in_time = 0.5 * (1 + math.tanh(_SLOPE * past))
            still_out = outage.chance(usual_s) * math.exp(
                min(0.0, usual_s - seconds) / outage.lasts_s
            )
            later += case.weight * (1 - in_time * (1 - still_out))
        return later

    def when_up(self) -> "LinkEstimate":
        """Return what is believed of the link for when no outage is on."""
        return replace(self, outage=replace(self.outage, now=0.0)) if self.outage.now else self

    def size(self, upload_bytes: float, download_bytes: float) -> float:
        """Return both as bytes of the uplink, to which the downlink keeps its ratio."""
        return upload_bytes + download_bytes * self.link.uplink_bps / self.link.downlink_bps

    def _cases(self) -> tuple[LinkCase, ...]:
        byte_s, rtt_s = 8 / self.link.uplink_bps, self.link.rtt_s
        spread = math.sqrt(math.log1p(self.byte_variance / (byte_s * byte_s)))
        if spread < _KNOWN:
            return (LinkCase(1.0, rtt_s, byte_s),)
        factors = [math.exp(spread * place) for _, place in _STRATA]
        mean = sum(chance * factor for (chance, _), factor in zip(_STRATA, factors, strict=True))
        slope = self.covariance / self.byte_variance
        found = [
            LinkCase(
                chance,
                max(_LEAST_TRIP * rtt_s, rtt_s + slope * byte_s * (factor / mean - 1)),
                byte_s * factor / mean,
            )
            for (chance, _), factor in zip(_STRATA, factors, strict=True)
        ]
        if not self.hints:
            return tuple(found)
        chances = [case.weight * self._likelihood(case) for case in found]
        whole = sum(chances)
        return tuple(
            case._replace(weight=chance / whole)
            for case, chance in zip(found, chances, strict=True)
        )

    def _likelihood(self, case: LinkCase) -> float:
        """Return how well a case explains the latest messages, as far as the round trip is known."""
        usual_s = [case.network_s(size) for size, _ in self.hints]
        late_s = sum(seconds for _, seconds in self.hints) - sum(usual_s)
        scatter_s = (self.noise * sum(usual_s)) ** 2 / len(usual_s) + _FLOOR_S**2
        trip_s = len(usual_s) ** 2 * self._trip_variance
        return math.exp(-min(_MOST_SURPRISE, late_s * late_s / 2 / (scatter_s + trip_s)))

    @property
    def _trip_variance(self) -> float:
        """That of the round trip where the rate is known."""
        if not self.byte_variance:
            return self.rtt_variance
        return max(0.0, self.rtt_variance - self.covariance**2 / self.byte_variance)
