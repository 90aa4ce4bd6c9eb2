"""Bounds on a fleet that no run of it can beat: why an option need not be simulated.

They rest on what is wanted of the fleet: at most 1 % of its frames later than a p99, and all frames that are
due taken, but for 1 % and the last of each device. Short runs are held to less: what is drawn for few frames
differs from its mean, and what they leave undone at their end is a larger part.
"""

import math

import numpy as np

from partitioner.profiles.variation import Variation
from partitioner.simulation.demand import Demand
from partitioner.simulation.fleet.fleet import Fleet
from partitioner.simulation.fleet.fleet_run import LATE_SHARE, RATE_SHARE

_POINTS = 64
_ERRORS = 4
"""Standard errors by which a mean of drawn factors may fall short of what is expected."""


def unqueued_s(fleet: Fleet) -> float:
    """Return a latency that at least a quarter of the frames of one option exceed: nobody waits for anybody.

    It is the sum of the medians on the best moment of the trace. Head and tail vary independently, so that
    both take longer than their medians in one frame of four. Of several options the slowest counts, if it
    is that of more than 4 % of the devices.
    """
    if len(fleet.used) > 1 / 0.04:
        return 0.0
    up, down, rtt = fleet.paths
    best_up, best_down = max(up.values), max(down.values)

    def alone_s(demand: Demand) -> float:
        if not demand.crosses:
            return demand.edge_s
        upload_s = 8 * demand.upload_bytes / best_up if best_up else math.inf
        download_s = 8 * demand.download_bytes / best_down if best_down else math.inf
        return demand.edge_s + upload_s + min(rtt.values) + demand.cloud_s + download_s

    return max(map(alone_s, fleet.used))


def keeps_up(fleet: Fleet) -> bool:
    """Tell whether devices and uplinks can be fast enough for all frames that are due."""
    frames = fleet.duration_s / fleet.period_s
    begun = RATE_SHARE * frames - 1 - fleet.window  # by each device, and through by the end
    heads_s = max(d.edge_s * least_mean(d.edge_variation, begun) for d in fleet.used)
    sent_bits = 8 * begun * fleet.mean(lambda d: d.upload_bytes) * min(fleet.share, fleet.devices)
    # Devices take the options in turn: an uplink may have fewer of the large ones than the mean.
    uplinks_are_alike = len(fleet.used) == 1
    carried_bits = max(fleet.trace.uplink_bps.values) * fleet.duration_s
    return begun * heads_s <= fleet.duration_s and (
        not uplinks_are_alike or sent_bits <= carried_bits
    )


def least_workers(fleet: Fleet, p99_s: float) -> int:
    """Return a number of workers below which the queue in the cloud grows beyond the p99; 0: none needed.

    All but the latest frames are computed by `p99_s` after the end (the utilisation law of Denning and
    Buzen, ACM Computing Surveys 10(3), 1978).
    """
    if not fleet.paid_workers:
        return 0
    frames = max(0.0, (RATE_SHARE - LATE_SHARE) * fleet.due - fleet.devices)
    batches = frames / fleet.batch
    alone_s = fleet.mean(lambda d: d.crosses * d.cloud_s * least_mean(d.cloud_variation, batches))
    in_batches = min(1.0, (1 + (fleet.batch - 1) * fleet.batch_cost) / fleet.batch)
    busy_s = frames * alone_s * in_batches
    return max(1, math.ceil(busy_s / (fleet.duration_s + p99_s)))


def least_mean(variation: Variation, frames: float) -> float:
    """Return what the factors on a median come to at least, as a mean over so many frames."""
    factors = np.array([variation.factor((place + 0.5) / _POINTS) for place in range(_POINTS)])
    if frames < 1:
        return float(factors.min())
    least = factors.mean() - _ERRORS * factors.std() / math.sqrt(frames)
    return float(max(factors.min(), least))
