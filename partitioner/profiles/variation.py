"""Variation of frames' times around their medians; simulations draw from it, and a p95 sums it up.

A profile holds how long frames took that came after a pause, as factors on their median. They vary since
single frames wake a core that sleeps, and since the machine is slower for a while; both are in them, and
are taken to be alike for all stages. In an older profile the spread of a stage's repeats stands in, as
two halves of lognormals which meet at the median and go through its 10th and its 90th percentile.
"""

import math
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from partitioner.common.units import plural
from partitioner.profiles.profile import Profile, StageProfile

_Z90 = 1.2816
"""The 90th percentile of the standard normal distribution."""
_POINTS = 128
"""Equally likely values that stand for a distribution."""
_MIXES = 32
"""How the parts of a sum may share it, in the table of its quantiles."""
_LEAST = 1e-9
"""The smallest share: no frame counts as faster."""
_NORMAL = NormalDist()


@dataclass(frozen=True, slots=True)
class Variation:
    """A distribution of factors on the median.

    `factors` are samples of it, sorted. Without them it is lognormal: `faster` and `slower` are deviations
    of the factor's logarithm below and above the median.
    """

    factors: tuple[float, ...] = ()
    faster: float = 0.0
    slower: float = 0.0

    def __repr__(self) -> str:
        known = plural(len(self.factors), "sample") if self.factors else "a lognormal distribution"
        return f"<Variation by {known}: median times {self.factor(0.05):.3g} to {self.factor(0.95):.3g}>"

    def __hash__(self) -> int:
        """Leave most samples out: a policy looks tables up by this, for every frame."""
        return hash((self.factors[:1], self.factors[-1:], self.faster, self.slower))

    def factor(self, share: float) -> float:
        """Return the factor that this share of the frames, from 0 to 1, stays below."""
        if not self.factors:
            normal = _NORMAL.inv_cdf(min(max(share, _LEAST), 1 - _LEAST))
            return math.exp(normal * (self.slower if normal > 0 else self.faster))
        place = share * (len(self.factors) - 1)
        below = int(place)
        low, high = self.factors[below], self.factors[min(below + 1, len(self.factors) - 1)]
        return low + (place - below) * (high - low)


STEADY = Variation()
"""Every frame takes the median."""


def variation_of(profile: Profile, stage: StageProfile | None) -> Variation:
    """Return how a head or a tail varies on the machine of a profile; None: nothing is computed there."""
    if profile.frame_factors:
        return Variation(profile.frame_factors)
    if stage is None or stage.timing.p10_s <= 0:
        return STEADY
    timing = stage.timing
    return Variation(
        faster=max(0.0, math.log(timing.median_s / timing.p10_s)) / _Z90,
        slower=max(0.0, math.log(timing.p90_s / timing.median_s)) / _Z90,
    )


def quantile_of_sum(
    first: tuple[float, Variation], second: tuple[float, Variation], share: float
) -> float:
    """Return a quantile of the sum of two medians, in seconds, that vary independently of each other.

    How far the quantile is above the medians depends on nothing but how they share the sum, so that it is
    read from a table, between two of its entries.
    """
    total_s = first[0] + second[0]
    if total_s <= 0:
        return 0.0
    table = _quantiles(first[1], second[1], share)
    place = second[0] / total_s * _MIXES
    below = min(int(place), _MIXES - 1)
    low, high = table[below], table[below + 1]
    return total_s * (low + (place - below) * (high - low))


@lru_cache(maxsize=1024)
def _quantiles(first: Variation, second: Variation, share: float) -> tuple[float, ...]:
    """Return the quantile of the sum by the second's part of it: none, 1 / _MIXES, … all."""
    parts = [place / _MIXES for place in range(_MIXES + 1)]
    return tuple(_quantile((1 - part, first), (part, second), share) for part in parts)


def _quantile(
    first: tuple[float, Variation], second: tuple[float, Variation], share: float
) -> float:
    total = np.add.outer(first[0] * _points(first[1]), second[0] * _points(second[1])).ravel()
    # Between the two nearest of n equally likely values, which stand in the middles of n equal shares.
    place = min(max(share * len(total) - 0.5, 0.0), len(total) - 1.0)
    below = int(place)
    above = min(below + 1, len(total) - 1)
    ordered = np.partition(total, (below, above))
    return float(ordered[below] + (place - below) * (ordered[above] - ordered[below]))


@lru_cache(maxsize=1024)
def _points(variation: Variation) -> npt.NDArray[np.float64]:
    """Return equally likely factors; 1 alone if nothing varies."""
    if variation == STEADY:
        return np.ones(1)
    return np.array([variation.factor((place + 0.5) / _POINTS) for place in range(_POINTS)])
