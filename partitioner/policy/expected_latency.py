"""The latency that a frame of an option is expected to have under the conditions that were seen:

    T = (edge_s + exit_s) · edge_load + (1 − exit_rate) · E[answer]
    answer = min(network + cloud_queue_s + cloud_s · cloud_load + outage, hedge + finish_s · edge_load)

and, where frames come every `period` seconds, what waiting for each other adds. The expectation is over
the ways that the link may be (`LinkEstimate.cases`) and over an outage, which lasts exponentially long.
The hedge is the moment at which the device begins to finish a late frame itself (hedges.py).
A frame passes three stages, device, uplink and cloud, each of which takes one frame at a time. If the
slowest takes s:

    s < period   it waits about u / (1 − u) · c² / 2 · s at the utilisation u = s / period
                 (Kingman 1961; arrivals are even, and the service varies by c²)
    s ≥ period   a queue builds until the window is full: T = window · s (Little's law)

Where the device sets the pace, no frame waits for it, and none comes sooner than it takes for one.
"""

from itertools import repeat
from operator import attrgetter
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from partitioner.estimators.link_estimate import LinkEstimate
from partitioner.planning.metrics import FrameTimes
from partitioner.planning.option import Option, OptionColumns
from partitioner.policy.conditions import Conditions
from partitioner.policy.hedges import overdue_s
from protos.names import EDGE

_VARIATION = 0.1
"""c², the squared coefficient of variation of a stage's time."""
_LATE = 2.0
"""Deviations by which an answer is later than it should be."""

Seconds = npt.NDArray[np.float64]

by_mean, by_risk = attrgetter("mean_s"), attrgetter("risked_s")


class Expectation(NamedTuple):
    """What frames of some options are expected to take, in seconds: arrays with an entry an option."""

    columns: OptionColumns
    seen: Conditions
    mean_s: Seconds
    risked_s: Seconds
    edge_s: Seconds
    by_case_s: Seconds
    """A row for each option, a column for each way that the link may be."""
    tried_s: Seconds

    def all(self) -> list[FrameTimes]:
        """Return it of each option."""
        return self._of(np.arange(len(self.mean_s)))

    def leading(self, current: Option | None) -> list[FrameTimes]:
        """Return it of `current`, and of those alone that are the fastest on average or in some case."""
        places = {int(self.risked_s.argmin()), *self.by_case_s.argmin(axis=0).tolist()}
        if current is not None:
            places |= {self.columns.places.get((current.cut, current.codec), min(places))}
        return self._of(np.array(sorted(places)))

    def _of(self, places: npt.NDArray[np.intp]) -> list[FrameTimes]:
        columns, link = self.columns, self.seen.link.link
        crosses = columns.crosses[places]
        up_s = columns.upload_bytes[places] * (8 / link.uplink_bps)
        down_s = columns.download_bytes[places] * (8 / link.downlink_bps)
        rows = zip(
            [columns.options[place] for place in places.tolist()],
            self.mean_s[places].tolist(),
            self.risked_s[places].tolist(),
            self.edge_s[places].tolist(),
            up_s.tolist(),
            down_s.tolist(),
            (crosses * (up_s + link.rtt_s + down_s)).tolist(),
            (crosses * self.seen.cloud_queue_s).tolist(),
            (crosses * columns.cloud_s[places] * self.seen.cloud_load).tolist(),
            repeat(1.0, len(places)),
            map(tuple, self.by_case_s[places].tolist()),
            self.tried_s[places].tolist(),
            strict=True,
        )
        return list(map(FrameTimes._make, rows))


def expect(
    option: Option, seen: Conditions, window: int, caution: float, hedged_share: float = 0.0
) -> FrameTimes:
    """Return what a frame of one option takes; see `expect_all`."""
    return expect_all(OptionColumns.of([option]), seen, window, caution, hedged_share).all()[0]


def expect_all(
    columns: OptionColumns,
    seen: Conditions,
    window: int,
    caution: float,
    hedged_share: float = 0.0,
) -> Expectation:
    """Return what a frame of each option takes when `window` of them may be at work.

    `caution` times the deviation of a frame's latency is the margin of `risked_s`. `hedged_share`: of frames
    whose answers are late the device finishes so many itself, as a share of all.
    """
    estimate, share = seen.link, columns.share[:, None]
    link = estimate.link
    weights, rtt_s, byte_s = estimate.cases_as_arrays
    cloud_s = columns.cloud_s * seen.cloud_load
    size = columns.upload_bytes + columns.download_bytes * (link.uplink_bps / link.downlink_bps)
    edge_s = _edge_s(columns, seen, window, cloud_s)
    network_s = rtt_s + size[:, None] * byte_s
    usual_s = network_s + (cloud_s + seen.cloud_queue_s)[:, None]
    answers = _answers(columns, seen, usual_s, weights, hedged_share)
    device_s = edge_s[:, None]
    alone_s = device_s + share * answers.mean_s
    known_s = device_s + share * answers.known_s
    mean_s, tried_s = alone_s @ weights, edge_s + columns.share * (answers.hedged_s @ weights)
    margin_s = caution * _deviation_s(columns, seen, alone_s - mean_s[:, None], network_s, weights)
    if seen.frame_period_s is not None:
        stage_s = (cloud_s / seen.cloud_workers)[:, None]
        beyond_s = np.maximum(columns.upload_bytes[:, None] * byte_s, stage_s)
        waited_s = _waiting_s(device_s, share * beyond_s, alone_s, seen, window)
        mean_s, known_s = mean_s + waited_s @ weights, known_s + waited_s
    if (learnt := _learnt(columns, seen)) is not None:
        mean_s, tried_s, known_s = learnt * mean_s, learnt * tried_s, learnt[:, None] * known_s
    return Expectation(columns, seen, mean_s, mean_s + margin_s, edge_s, known_s, tried_s)


class _Answers(NamedTuple):
    """Seconds from handing a message over to its answer: a row for each option, a column for each case."""

    mean_s: Seconds
    """As frames take on average, of which no more are hedged than may be."""
    hedged_s: Seconds
    """Of a frame that is hedged when its answer is late."""
    known_s: Seconds
    """As frames take on average where it is known that the link is so, and up."""


def _answers(
    columns: OptionColumns,
    seen: Conditions,
    usual_s: Seconds,
    weights: Seconds,
    hedged_share: float,
) -> _Answers:
    estimate, outage = seen.link, seen.link.outage
    lasts_s, met = outage.lasts_s, outage.chances(usual_s)
    meets = outage.rate * usual_s
    delayed_s = usual_s + met * lasts_s
    if not hedged_share:
        return _Answers(delayed_s, delayed_s, usual_s + meets * lasts_s)
    finish_s = columns.finish_s * seen.edge_load
    match_s = np.where(columns.by_exit, overdue_s(usual_s @ weights), finish_s)
    start_s = _hedge_s(estimate, usual_s, met @ weights, weights, match_s)[:, None]
    latest_s = start_s + finish_s[:, None]
    in_time_s = np.minimum(usual_s, latest_s)
    hedged_s = in_time_s - met * lasts_s * np.expm1((in_time_s - latest_s) / lasts_s)
    hedged = np.where(usual_s > start_s, 1.0, met) @ weights
    share = np.minimum(1.0, hedged_share / np.maximum(hedged, 1e-9))[:, None]
    late_s = _LATE * estimate.noise * usual_s + finish_s[:, None]
    known_s = usual_s - meets * lasts_s * np.expm1(-late_s / lasts_s)
    return _Answers(share * hedged_s + (1 - share) * delayed_s, hedged_s, known_s)


def _hedge_s(
    estimate: LinkEstimate, usual_s: Seconds, met: Seconds, weights: Seconds, finish_s: Seconds
) -> Seconds:
    """Return about when a hedge begins: at once, or as soon as the answer of one of the cases is late.

    It is what hedges.py finds, without the shape of the scatter.
    """
    late_s = (1 + _LATE * estimate.noise) * usual_s
    starts_s = np.concatenate((np.zeros((len(usual_s), 1)), late_s), axis=1)
    moments_s = np.concatenate((starts_s, starts_s + finish_s[:, None]), axis=1)
    unanswered = (moments_s[:, :, None] < late_s[:, None, :]) @ weights
    count = starts_s.shape[1]
    left = met * np.exp(-finish_s / estimate.outage.lasts_s)
    even = unanswered[:, count:] + (left - 0.5 * met)[:, None] >= 0.5 * unanswered[:, :count]
    even[:, -1] = True
    return np.asarray(starts_s[np.arange(len(starts_s)), even.argmax(axis=1)])


def expect_beside(
    option: Option, seen: Conditions, window: int, network_s: float
) -> tuple[float, float]:
    """Return what a frame takes that is known to spend `network_s` on the link and in wait for it.

    Second is the part of it that machines take, with waiting for them, and without what experience says.
    """
    edge_s = device_s(option, seen)
    if option.cut == EDGE:
        total_s = edge_s + float(_waiting_s(edge_s, 0.0, edge_s, seen, window))
        return total_s, total_s
    cloud_s = option.cloud_s * seen.cloud_load
    later_s, stage_s = network_s + seen.cloud_queue_s + cloud_s, cloud_s / seen.cloud_workers
    if seen.own_load != 1 and window > 1:
        edge_s *= seen.own_load ** float(_overlap(edge_s, stage_s, later_s, seen))
    total_s = edge_s + later_s
    total_s += float(_waiting_s(edge_s, stage_s, total_s, seen, window))
    return total_s, total_s - network_s


def device_s(option: Option, seen: Conditions) -> float:
    """Return what a frame takes on the device as it is now, with handing it over.

    The load is seen on heads and encoding alone. A device that is slower than profiled hands over more
    slowly, too; one whose heads are faster than profiled has not shown that it hands over faster.
    """
    return float(_device_s(OptionColumns.of([option]), seen)[0])


def _edge_s(columns: OptionColumns, seen: Conditions, window: int, cloud_s: Seconds) -> Seconds:
    """Return what frames take on the device, beside other frames of its own that are beyond it."""
    edge_s, link = _device_s(columns, seen), seen.link.link
    if seen.own_load == 1 or window == 1:
        return edge_s
    up_s = columns.upload_bytes * (8 / link.uplink_bps)
    network_s = up_s + link.rtt_s + columns.download_bytes * (8 / link.downlink_bps)
    beyond_s = columns.share * np.maximum(up_s, cloud_s / seen.cloud_workers)
    later_s = columns.share * (network_s + seen.cloud_queue_s + cloud_s)
    beside_s = edge_s * seen.own_load ** _overlap(edge_s, beyond_s, later_s, seen)
    return np.where(columns.crosses, beside_s, edge_s)


def _learnt(columns: OptionColumns, seen: Conditions) -> Seconds | None:
    """Return what experience makes of the expectation of each option; None: nothing."""
    if not seen.lessons.factors and seen.lessons.crossing == 1:
        return None
    factor = seen.lessons.factor
    return np.array([factor(option.label, option.cut) for option in columns.options])


def _device_s(columns: OptionColumns, seen: Conditions) -> Seconds:
    return columns.computed_s * seen.edge_load + columns.handing_s * max(1.0, seen.edge_load)


def _deviation_s(
    columns: OptionColumns, seen: Conditions, apart_s: Seconds, network_s: Seconds, weights: Seconds
) -> Seconds:
    """Return how much frames differ: by how the link may be, by the scatter of messages, and by outages.

    `apart_s`: how far a frame is from the mean of all in each case.
    """
    noise, outage = seen.link.noise, seen.link.outage
    differs = np.square(apart_s) @ weights
    scatter_s = columns.share * noise * (network_s @ weights)
    delayed_s = np.minimum(outage.lasts_s, columns.finish_s * seen.edge_load)
    met = columns.share * (outage.chances(network_s) @ weights)
    return np.asarray(np.sqrt(differs + np.square(scatter_s) + met * np.square(delayed_s)))


def _overlap(
    edge_s: Seconds | float, beyond_s: Seconds | float, later_s: Seconds | float, seen: Conditions
) -> Seconds:
    """Return for which share of its head a frame has the one before it beyond the device."""
    if seen.frame_period_s is None:
        return np.zeros(())
    every_s = np.maximum(seen.frame_period_s, np.maximum(edge_s, beyond_s))
    share = np.maximum(0.0, edge_s + later_s - every_s) / np.maximum(edge_s, 1e-12)
    return np.asarray(np.where(np.asarray(edge_s) > 0, np.minimum(1.0, share), 0.0))


def _waiting_s(
    edge_s: Seconds | float,
    beyond_s: Seconds | float,
    alone_s: Seconds | float,
    seen: Conditions,
    window: int,
) -> Seconds:
    """`beyond_s`: the slower of uplink and cloud; `alone_s`: what a frame takes that waits for none."""
    if seen.frame_period_s is None:
        return np.zeros(())
    period_s: Seconds | float = seen.frame_period_s
    slowest_s = np.maximum(edge_s, beyond_s)
    if seen.device_paced:
        period_s, slowest_s = np.maximum(seen.frame_period_s, edge_s), beyond_s
    full_s = np.maximum(0.0, window * slowest_s - alone_s)
    busy = np.minimum(slowest_s / np.maximum(period_s, 1e-12), 1 - 1e-9)
    queue_s = busy / (1 - busy) * _VARIATION / 2 * slowest_s
    return np.asarray(np.where(slowest_s >= period_s, full_s, np.minimum(full_s, queue_s)))
