"""The latency that a frame of an option is expected to have under the conditions that were seen:

    T = (edge_s + exit_s) · edge_load + (1 − exit_rate) · (network + cloud_queue_s + cloud_s · cloud_load)

and, where frames come every `period` seconds, what waiting for each other adds. A frame passes three
stages, device, uplink and cloud, each of which takes one frame at a time. If the slowest takes s:

    s < period   it waits about u / (1 − u) · c² / 2 · s at the utilisation u = s / period
                 (Kingman 1961; arrivals are even, and the service varies by c²)
    s ≥ period   a queue builds until the window is full: T = window · s (Little's law)

Where the device sets the pace, no frame waits for it, and none comes sooner than it takes for one.
"""

from operator import attrgetter

from partitioner.planning.metrics import FrameTimes
from partitioner.planning.option import Option
from partitioner.policy.conditions import Conditions
from protos.names import EDGE

_VARIATION = 0.1
"""c², the squared coefficient of variation of a stage's time."""

by_mean, by_risk = attrgetter("mean_s"), attrgetter("risked_s")


def expect(option: Option, seen: Conditions, window: int, caution: float) -> FrameTimes:
    """Return what a frame takes when `window` of them may be at work.

    `caution` times the deviation of the estimated link is the margin, so that a guess has to promise
    more than what is known.
    """
    edge_s, learnt = device_s(option, seen), seen.lessons.factor(option.label, option.cut)
    if option.cut == EDGE:
        total_s = learnt * (edge_s + _waiting_s(edge_s, 0.0, edge_s, seen, window))
        return FrameTimes(option, total_s, total_s, edge_s)
    share, queue_s = 1 - option.exit_rate, seen.cloud_queue_s
    link = seen.link.link
    cloud_s = option.cloud_s * seen.cloud_load
    upload_s = 8 * option.upload_bytes / link.uplink_bps
    download_s = 8 * option.download_bytes / link.downlink_bps
    network_s = upload_s + link.rtt_s + download_s
    beyond_s = share * max(upload_s, cloud_s / seen.cloud_workers)
    if seen.own_load != 1 and window > 1:
        later_s = share * (network_s + queue_s + cloud_s)
        edge_s *= seen.own_load ** _overlap(edge_s, beyond_s, later_s, seen)
    alone_s = edge_s + share * network_s + share * (queue_s + cloud_s)
    total_s = learnt * (alone_s + _waiting_s(edge_s, beyond_s, alone_s, seen, window))
    risked_s = total_s + caution * share * seen.link.deviation_s(option.upload_bytes)
    return FrameTimes(
        option, total_s, risked_s, edge_s, upload_s, download_s, network_s, queue_s, cloud_s
    )


def expect_beside(
    option: Option, seen: Conditions, window: int, network_s: float
) -> tuple[float, float]:
    """Return what a frame takes that is known to spend `network_s` on the link and in wait for it.

    Second is the part of it that machines take, with waiting for them, and without what experience says.
    """
    edge_s = device_s(option, seen)
    if option.cut == EDGE:
        total_s = edge_s + _waiting_s(edge_s, 0.0, edge_s, seen, window)
        return total_s, total_s
    cloud_s = option.cloud_s * seen.cloud_load
    later_s, stage_s = network_s + seen.cloud_queue_s + cloud_s, cloud_s / seen.cloud_workers
    if seen.own_load != 1 and window > 1:
        edge_s *= seen.own_load ** _overlap(edge_s, stage_s, later_s, seen)
    total_s = edge_s + later_s
    total_s += _waiting_s(edge_s, stage_s, total_s, seen, window)
    return total_s, total_s - network_s


def device_s(option: Option, seen: Conditions) -> float:
    """Return what a frame takes on the device as it is now, with handing it over.

    The load is seen on heads and encoding alone. A device that is slower than profiled hands over more
    slowly, too; one whose heads are faster than profiled has not shown that it hands over faster.
    """
    computed_s = option.edge_s - option.handing_s + option.exit_s
    return computed_s * seen.edge_load + option.handing_s * max(1.0, seen.edge_load)


def _overlap(edge_s: float, beyond_s: float, later_s: float, seen: Conditions) -> float:
    """Return for which share of its head a frame has the one before it beyond the device."""
    if seen.frame_period_s is None:
        return 0.0
    every_s = max(seen.frame_period_s, edge_s, beyond_s)
    return min(1.0, max(0.0, edge_s + later_s - every_s) / edge_s) if edge_s else 0.0


def _waiting_s(
    edge_s: float, beyond_s: float, alone_s: float, seen: Conditions, window: int
) -> float:
    """`beyond_s`: the slower of uplink and cloud; `alone_s`: what a frame takes that waits for none."""
    period_s, slowest_s = seen.frame_period_s, max(edge_s, beyond_s)
    if period_s is None:
        return 0.0
    if seen.device_paced:
        period_s, slowest_s = max(period_s, edge_s), beyond_s
    full_s = max(0.0, window * slowest_s - alone_s)
    if slowest_s >= period_s:
        return full_s
    busy = slowest_s / period_s
    return min(full_s, busy / (1 - busy) * _VARIATION / 2 * slowest_s)
