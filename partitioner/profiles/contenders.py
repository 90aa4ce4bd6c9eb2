"""The cuts between which it is not decided yet which is best on some plausible link: what is timed again.

A cut contends on a link if its times, as low as they may be, make it no dearer than every other with times
as high as they may be. Where one cut contends alone, more repeats change nothing.
"""

from collections.abc import Callable, Mapping

import numpy as np

from partitioner.common.least_distance import Floats
from partitioner.profiles.profile import CutProfile, StageProfile
from protos.names import EDGE

_TAILS = (0.03, 0.1, 0.3, 1.0)
"""Seconds that the cloud takes for one of the device."""
_SLOWNESS = 1 / np.geomspace(1e4, 1e10, 49)
"""Seconds a bit, where the device is as fast as this machine; a slower one sees faster links."""
_TRIPS_S = (0.0, 0.005, 0.02, 0.08)
_LEAST_ERROR = 0.01
"""As a share: what is measured again agrees no better than this, so that no more is asked."""


def undecided(
    cuts: Mapping[str, CutProfile], is_offered: Callable[[str, str], bool]
) -> frozenset[str]:
    """Return the cuts that contend with another on some link; `is_offered` tells of a cut and a codec."""
    names = list(cuts)
    low, high = _bounds(cuts)
    found = np.zeros(len(names), bool)
    for tail in _TAILS:
        ways = np.array([_ways_s(name, cuts[name], tail, is_offered) for name in names])
        for trip_s in _TRIPS_S:
            trips = np.array([0.0 if name == EDGE else trip_s for name in names])
            fixed = ways + trips[:, None]
            lowest = (low[0] + tail * low[1])[:, None] + fixed
            highest = ((high[0] + tail * high[1])[:, None] + fixed).min(axis=0)
            contends = lowest <= highest
            found |= (contends & (contends.sum(axis=0) > 1)).any(axis=1)
    return frozenset(name for name, is_open in zip(names, found, strict=True) if is_open)


def _bounds(cuts: Mapping[str, CutProfile]) -> tuple[Floats, Floats]:
    """Return what heads and tails may take at least, and at most: a row each."""
    stages = [[cut.head for cut in cuts.values()], [cut.tail for cut in cuts.values()]]
    seconds = np.array([[stage.seconds if stage else 0.0 for stage in side] for side in stages])
    errors = np.array([[_error_s(stage) for stage in side] for side in stages])
    return seconds - errors, seconds + errors


def _error_s(stage: StageProfile | None) -> float:
    return max(stage.error_s, _LEAST_ERROR * stage.seconds) if stage else 0.0


def _ways_s(
    name: str, cut: CutProfile, tail: float, is_offered: Callable[[str, str], bool]
) -> Floats:
    """Return for every uplink what coding and sending take by the best codec."""
    if name == EDGE:
        return np.zeros(len(_SLOWNESS))
    ways = [
        codec.encode_s + tail * codec.decode_s + 8 * codec.upload_bytes * _SLOWNESS
        for known, codec in cut.codecs.items()
        if is_offered(name, known)
    ]
    return np.asarray(np.min(ways, axis=0))
