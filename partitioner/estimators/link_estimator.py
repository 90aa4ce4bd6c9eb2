"""The link as ordinary traffic shows it: uplink and round trip told apart, each with a spread.

A frame spends rtt + 8 · bytes / uplink on the network. Messages differ in size, so a Kalman filter over
the two unknowns, the round trip and the seconds a byte, tells one from the other. Where frames follow
each other closely, the second waits for the first on the link; then the time between their two arrivals
at the server is the second's transmission alone, and tells the rate without the round trip
(the packet-pair idea of Keshav, SIGCOMM 1991).

Slow drift is followed by the filter. A step is found by a two-sided CUSUM (Page, Biometrika 1954) over
the innovations; the filter then forgets the rate and learns it again from the frames since it began.
"""

import math
from collections import deque
from dataclasses import dataclass

from partitioner.estimators.link_estimate import LinkEstimate, Outage
from partitioner.estimators.outages import Outages
from partitioner.estimators.transfer import Transfer
from partitioner.estimators.volatility import Volatility
from partitioner.network.link import Link

_SLOWEST_BPS, _FASTEST_BPS = 1e3, 1e11
_LEAST_S_PER_BYTE, _MOST_S_PER_BYTE = 8 / _FASTEST_BPS, 8 / _SLOWEST_BPS
_FLOOR_S = 0.0002
"""Timers and schedulers do not tell less than this apart."""
_LEAST_SHARE = 0.05
"""Of the time of messages, that their bytes are taken to have after a step to a better link."""
_SHORTER, _SHORTER_DOUBT = 0.8, 0.4
"""A round trip that turns out to be shorter is this share of a message's time, more or less."""
_TRIP_DOUBT = 0.05
"""Of the round trip, after a step; and it wanders so much less than the rate does:"""
_TRIP_DRIFT = 0.15
_CLIP = 3.0
"""Innovations count at most 3 deviations, for the CUSUM, for the filter and for the noise."""
_LEAP = 4.0
"""One message changes the rate by this factor at most, as the filter is linear and rates are not;"""
_MOST_SPREAD = 2.0
"""nor is the rate ever less known than this share of it."""
_CALM = 0.5
"""A frame that deviates less than this is no frame after a step: what came before it were single ones."""
_HINT_S = 2.0
"""Messages that tell little of the rate are heard for so long."""
_FRESH_S = 1.0
"""For so long the filter's own drift says how far the rate may have wandered."""
_FORGOTTEN_S = 60.0
"""What has not been seen for so long is not known any less than that."""
_OUT, _OUT_S = 6.0, 0.15
"""A message that is later by so many deviations, and seconds, has met an outage."""
_MUTE = 0.05
"""Messages whose bytes take a smaller share of their time say nothing of a step, either way."""
_PAUSE_S = 0.005
"""Two machines may keep each other waiting for so long without the link having a part in it."""
_TELLING = 0.3
"""The share of a message's time that its bytes must have taken to tell the rate."""
_NOISE = (0.02, 5.0)
"""Least and most of the noise; above 1 where the scheduler takes longer than the link."""


@dataclass(frozen=True)
class EstimatorSettings:
    """How quickly the estimate follows. Shares are of the estimate itself."""

    prior: float = 0.5
    """How far the rate that it starts from may be off, as a share of it,"""
    prior_trip: float = 0.25
    """and the round trip, which changes less and is measured more easily."""
    drift: float = 0.06
    """How much the seconds a byte wander in the square root of a second while messages tell of them, as the
    filter takes it; the round trip less."""
    noise: float = 0.1
    """How much frames scatter, until enough of them have been seen."""
    volatility: tuple[float, float, float] = (0.25, 0.12, 1.2)
    """How far the logarithm of the rate wanders in the square root of a second: on an unknown link, and the
    least and the most that is believed of any."""
    slack: float = 0.5
    alarm: float = 4.0
    """CUSUM: deviations that are let pass a frame, and the sum at which a step is certain."""


@dataclass(frozen=True, slots=True)
class _Reading:
    """`value` seconds came of `trips` round trips (one or none) and `size` bytes on the uplink."""

    trips: float
    size: float
    value: float


@dataclass(slots=True)
class _Sum:
    """One side of the CUSUM, and the frames since it left zero."""

    total: float = 0.0
    frames: int = 0

    def add(self, scaled: float, slack: float) -> float:
        if scaled < _CALM:
            self.total, self.frames = 0.0, 0
        else:
            self.total = max(0.0, self.total + min(_CLIP, scaled) - slack)
            self.frames += 1
        return self.total


class LinkEstimator:
    """Follows a link, one transfer after the other. Starts from `link`, a measurement or a guess.

    Time is a parameter. The downlink carries little and cannot be told from it, so it is taken to keep
    its ratio to the uplink. Transfers may come out of order.
    """

    def __init__(self, link: Link, settings: EstimatorSettings | None = None) -> None:
        self._settings = settings or EstimatorSettings()
        self._ratio = link.uplink_bps / link.downlink_bps
        self._noise = self._settings.noise
        self._free_at = self._seen_at = -math.inf
        self._recent: deque[_Reading] = deque(maxlen=8)
        self._volatility = Volatility(*self._settings.volatility)
        self._told_at = -math.inf
        self._out_until = math.inf
        """When the last message of an outage was back; infinite after one that was in time.

        A message that is late, though it was sent after that, tells of a slower link.
        """
        self._hints: deque[tuple[float, _Reading]] = deque(maxlen=4)
        self._outages = Outages()
        self._slower, self._faster = _Sum(), _Sum()
        self.has_learned = False
        """True once something was seen of the link, or it was measured anew."""
        self.steps = 0
        """Steps that were recognised so far."""
        self._believe(link)

    def restart(self, link: Link) -> None:
        """Believe `link`, as measured anew, and nothing that was seen before."""
        self.has_learned = True
        self._believe(link)

    def _believe(self, link: Link) -> None:
        prior = self._settings.prior
        self._volatility.forget()
        self._rtt_s, self._byte_s = link.rtt_s, _within(8 / link.uplink_bps)
        self._p_rtt = (self._settings.prior_trip * max(link.rtt_s, _FLOOR_S)) ** 2
        self._p_byte = (prior * self._byte_s) ** 2
        self._p_both = 0.0
        self._free_at = -math.inf
        self._settle()

    def add(self, seen: Transfer) -> bool:
        """Learn from one transfer; True when it made a step certain."""
        self._age(seen.received_at)
        reading = self._read(seen)
        if reading is None:
            return False
        self.has_learned = True
        self._widen(reading, seen.received_at)
        if not self._watch(reading, seen):
            return False  # an outage delayed it
        return self._learn(reading)

    def _widen(self, reading: _Reading, at: float) -> None:
        """Doubt the rate as far as it may have wandered since a message last told of it."""
        if self._told_at == -math.inf:
            self._told_at = at
        if self._share_of_bytes(reading) > _TELLING:
            unseen_s = min(_FORGOTTEN_S, max(0.0, at - self._told_at - _FRESH_S))
            self._p_byte += self._volatility.value**2 * unseen_s * self._byte_s**2
            self._told_at = max(self._told_at, at)
            self._hints.clear()
        elif reading.trips:
            self._hints.append((at, reading))

    def _watch(self, reading: _Reading, seen: Transfer) -> bool:
        """Learn of outages and of how the link wanders; tell whether a message tells of the rate."""
        innovation, deviation = self._compare(reading)
        at, caught = seen.received_at, seen.begun_at < self._out_until
        if innovation <= max(_OUT * deviation, _OUT_S):
            if self._share_of_bytes(reading) > _MUTE:
                self._out_until = math.inf  # a ping in time does not tell that bytes are
            self._outages.passed(at, 0.0)
            bytes_s = reading.value - reading.trips * self._rtt_s
            if bytes_s > _TELLING * reading.value > 0:
                scatter = self._noise * reading.value / bytes_s
                self._volatility.add(math.log(reading.size / bytes_s), scatter * scatter, at)
            return True
        first = self._out_until == math.inf
        self._out_until = at if first else max(self._out_until, at)
        self._outages.passed(at, innovation if first else 0.0)
        return not caught

    def at_least(self, upload_bytes: float, network_s: float) -> None:
        """Learn that a message has not got through in `network_s`: the link is no faster than that."""
        if network_s > self._expected(1.0, upload_bytes):
            self._learn(_Reading(1.0, max(1.0, upload_bytes), network_s))

    @property
    def link(self) -> Link:
        """The link as it is believed to be, which silence does not change."""
        uplink_bps = 8 / self._byte_s
        return Link(uplink_bps, uplink_bps / self._ratio, self._rtt_s)

    def estimate(self, now_s: float, waiting: tuple[float, float] | None = None) -> LinkEstimate:
        """Return what is believed at `now_s`; the longer nothing was seen, the wider.

        `waiting`: the bytes of the oldest message without an answer, and since when it is under way, later by
        what the server is expected to take.
        """
        p_rtt, p_byte = self._p_rtt, self._p_byte
        if now_s > self._seen_at > -math.inf:
            q_rtt, q_byte = self._wandering(now_s - self._seen_at)
            p_rtt, p_byte = p_rtt + q_rtt, p_byte + q_byte
        volatility, unseen_s = self._volatility.value, now_s - self._told_at
        if 0 < unseen_s < math.inf:
            p_byte += volatility**2 * min(unseen_s, _FORGOTTEN_S) * self._byte_s**2
        outage = self._outage(now_s, waiting)
        hints = tuple((it.size, it.value) for at, it in self._hints if now_s - at < _HINT_S)
        return LinkEstimate(
            self.link, p_rtt, p_byte, self._p_both, self._noise, volatility, outage, hints
        )

    def _outage(self, now_s: float, waiting: tuple[float, float] | None) -> Outage:
        if waiting is None:
            return self._outages.outage(now_s, None, 0.0, 0.0)
        size, since_s = waiting
        since_s = max(since_s, self._free_at - self._rtt_s)  # before, it waited for an earlier one
        reading = _Reading(1.0, size, self._expected(1.0, size))
        scatter_s = math.sqrt(self._variance(reading))
        return self._outages.outage(now_s, now_s - since_s, reading.value, scatter_s)

    def _read(self, seen: Transfer) -> _Reading | None:
        """Return what a transfer says; None for one that was overtaken on its way."""
        size = seen.upload_bytes + seen.download_bytes * self._ratio
        # When its last byte was there, plus the half round trip that the answer took.
        there_at = seen.received_at - seen.server_s
        waited = self._free_at > seen.begun_at + self._rtt_s
        free_at, self._free_at = self._free_at, max(self._free_at, there_at)
        if not waited:
            return _Reading(1.0, size, max(0.0, there_at - seen.begun_at))
        return _Reading(0.0, size, there_at - free_at) if there_at > free_at else None

    def _learn(self, reading: _Reading) -> bool:
        innovation, deviation = self._compare(reading)
        scaled = innovation / deviation
        if self._share_of_bytes(reading) > _MUTE or abs(scaled) > _CALM:
            self._recent.append(reading)
            for side, sign in ((self._slower, 1), (self._faster, -1)):
                if side.add(sign * scaled, self._settings.slack) > self._settings.alarm:
                    self._step(list(self._recent)[-side.frames :])
                    return True
        bounded = max(-_CLIP, min(_CLIP, scaled)) * deviation
        self._update(reading, bounded, deviation)
        if reading.trips:
            share = abs(bounded) / max(self._expected(1.0, reading.size), _FLOOR_S)
            # 1.25: from the mean to the standard deviation of what is normally distributed.
            noise = self._noise + 0.05 * (1.25 * share - self._noise)
            self._noise = min(_NOISE[1], max(_NOISE[0], noise))
        return False

    def _expected(self, trips: float, size: float) -> float:
        return trips * self._rtt_s + size * self._byte_s

    def _share_of_bytes(self, reading: _Reading) -> float:
        """Return which share of its time the bytes of a message are expected to take."""
        expected_s = self._expected(reading.trips, reading.size)
        return reading.size * self._byte_s / max(expected_s, _FLOOR_S)

    def _compare(self, reading: _Reading) -> tuple[float, float]:
        """Return how far a reading is from what was expected, and how far it may well be."""
        expected = self._expected(reading.trips, reading.size)
        return reading.value - expected, math.sqrt(self._variance(reading))

    def _variance(self, reading: _Reading) -> float:
        trips, size = reading.trips, reading.size
        believed = (
            trips * trips * self._p_rtt
            + 2 * trips * size * self._p_both
            + size * size * self._p_byte
        )
        return max(0.0, believed) + self._scatter(reading)

    def _scatter(self, reading: _Reading) -> float:
        """Noise is a share of the time; the geometric mean judges tenfold and a tenth alike."""
        usual = self._expected(1.0, reading.size)
        return self._noise**2 * usual * max(usual / 100, reading.value) + _FLOOR_S**2

    def _step(self, readings: list[_Reading]) -> None:
        """Forget the rate, and learn it again from the frames since the sum left zero.

        Rates fall and rise tenfold, round trips hardly: what is not known apart is put down to the
        rate. Where bytes hardly take any time many rates explain it, and a high one is soon found out.
        Not where the round trip is short, too: a millisecond more is then of busy machines, not of the
        200 bytes of a ping, which would make 1.6 Mbit/s of any link.
        """
        self.steps += 1
        if (pause_s := self._pause_s(readings)) > 0:
            self._rtt_s += pause_s
            self._p_rtt = max(self._p_rtt, (_SHORTER_DOUBT * self._rtt_s) ** 2)
            self._settle()
            return
        whole_s = sum(reading.value for reading in readings)
        bytes_s = sum(reading.value - reading.trips * self._rtt_s for reading in readings)
        size = sum(reading.size for reading in readings)
        if bytes_s < -_LEAST_SHARE * whole_s:  # less than the round trip alone: that is shorter
            self._rtt_s = _SHORTER * min(reading.value for reading in readings)
            self._p_rtt = (_SHORTER_DOUBT * self._rtt_s) ** 2
        else:
            self._byte_s = _within(max(bytes_s, _LEAST_SHARE * whole_s) / size)
        self._p_byte = self._byte_s**2
        self._p_rtt = max(self._p_rtt, (_TRIP_DOUBT * self._rtt_s) ** 2)
        self._p_both = 0.0
        self._settle()
        for reading in readings:
            innovation, deviation = self._compare(reading)
            self._update(reading, innovation, deviation)

    def _pause_s(self, readings: list[_Reading]) -> float:
        """Return by how much busy machines have made pings take longer; 0 where it is the link."""
        if self._rtt_s > _PAUSE_S or any(
            self._share_of_bytes(it) > _MUTE or not it.trips for it in readings
        ):
            return 0.0
        later_s = [it.value - self._expected(it.trips, it.size) for it in readings]
        return mean if 0 < (mean := sum(later_s) / len(later_s)) < _PAUSE_S else 0.0

    def _settle(self) -> None:
        self._slower, self._faster = _Sum(), _Sum()
        self._recent.clear()

    def _update(self, reading: _Reading, innovation: float, deviation: float) -> None:
        variance = deviation * deviation
        to_rtt = reading.trips * self._p_rtt + reading.size * self._p_both
        to_byte = reading.trips * self._p_both + reading.size * self._p_byte
        self._rtt_s = max(0.0, self._rtt_s + to_rtt / variance * innovation)
        moved_s = self._byte_s + to_byte / variance * innovation
        self._byte_s = _within(min(_LEAP * self._byte_s, max(self._byte_s / _LEAP, moved_s)))
        self._p_rtt = max(0.0, self._p_rtt - to_rtt * to_rtt / variance)
        self._p_both -= to_rtt * to_byte / variance
        self._p_byte = max(0.0, self._p_byte - to_byte * to_byte / variance)
        self._p_byte = min(self._p_byte, (_MOST_SPREAD * self._byte_s) ** 2)

    def _age(self, now_s: float) -> None:
        """Let the estimate widen with the time since the last frame."""
        if now_s > self._seen_at > -math.inf:
            q_rtt, q_byte = self._wandering(now_s - self._seen_at)
            self._p_rtt += q_rtt
            self._p_byte += q_byte
        self._seen_at = max(self._seen_at, now_s)

    def _wandering(self, seconds: float) -> tuple[float, float]:
        share = self._settings.drift**2 * min(seconds, _FORGOTTEN_S)
        return _TRIP_DRIFT**2 * share * self._rtt_s**2, share * self._byte_s**2


def _within(byte_s: float) -> float:
    return min(_MOST_S_PER_BYTE, max(_LEAST_S_PER_BYTE, byte_s))
