"""Bounds on a fleet that no run of it can beat: why an option need not be simulated.

They rest on what is wanted of the fleet: at most 1 % of its frames later than a p99, and all frames that are
due taken. Each is a little looser than its formula, as what is drawn for the frames differs from its mean.
"""

import math
from collections.abc import Callable

from partitioner.planning.terms import HOURS_A_MONTH, Prices
from partitioner.profiles.variation import Variation
from partitioner.simulation.demand import Demand
from partitioner.simulation.fleet.fleet import Fleet

_SLACK = 0.95
"""Of a mean over the frames: 0.99 of them are taken, 0.99 are in time, and those drawn may be quick ones."""
_POINTS = 64


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
    heads_s = max(d.edge_s * mean_factor(d.edge_variation) for d in fleet.used)
    sharing = min(fleet.share, fleet.devices)
    sent_bps = 8 * _mean(fleet, lambda d: d.upload_bytes) * sharing / fleet.period_s
    # Devices take the options in turn: an uplink may have fewer of the large ones than the mean.
    uplinks_are_alike = len(fleet.used) == 1
    fits = not uplinks_are_alike or _SLACK * sent_bps <= max(fleet.trace.uplink_bps.values)
    return _SLACK * heads_s <= fleet.period_s and fits


def least_workers(fleet: Fleet, p99_s: float) -> int:
    """Return a number of workers below which the queue in the cloud grows beyond the p99; 0: none needed.

    All but the latest frames are computed by `p99_s` after the end (the utilisation law of Denning and
    Buzen, ACM Computing Surveys 10(3), 1978).
    """
    if not fleet.paid_workers:
        return 0
    alone_s = _mean(fleet, lambda d: d.crosses * d.cloud_s * mean_factor(d.cloud_variation))
    in_batches = min(1.0, (1 + (fleet.batch - 1) * fleet.batch_cost) / fleet.batch)
    busy_s = _SLACK * fleet.due * alone_s * in_batches
    return max(1, math.ceil(busy_s / (fleet.duration_s + p99_s)))


def least_traffic_cost(fleet: Fleet, prices: Prices) -> float:
    """Return what the traffic of a month costs at least."""
    sent = _mean(fleet, lambda d: d.upload_bytes + d.download_bytes)
    a_month = sent * fleet.devices / fleet.period_s * 3600 * HOURS_A_MONTH
    return _SLACK * prices.gb * a_month / 1e9


def mean_factor(variation: Variation) -> float:
    """Return the mean of the factors on a median."""
    shares = ((place + 0.5) / _POINTS for place in range(_POINTS))
    return sum(map(variation.factor, shares)) / _POINTS


def _mean(fleet: Fleet, of: Callable[[Demand], float]) -> float:
    """Return a mean over the devices, which take the options in turn."""
    step = len(fleet.demands)
    counts = [len(range(place, fleet.devices, step)) for place in range(len(fleet.used))]
    total = sum(count * of(demand) for count, demand in zip(counts, fleet.used, strict=True))
    return total / fleet.devices
