"""The measurement of a link: small round trips give the RTT, growing transfers the rates."""

import statistics
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import perf_counter

import grpc

from edge_client.cloud.unary_call import OIP_SERVICE, SERVICE
from partitioner.network.link import Link
from protos.errors import FaultError, TooLargeError
from protos.rpc.calls import translate
from protos.rpc.endpoints import Endpoint
from protos.splitpoint_pb2 import ProbeRequest, ProbeResponse
from protos.wire.framing import padding

ROUND_TRIPS = 8
_ROUND_TRIPS_S = 0.3
_TRANSFERS_S = 0.7
"""About the seconds of one direction; both and the round trips stay below 2 s at 1 Mbit/s."""
_FIRST_BYTES = 8 << 10
_LAST_BYTES = 4 << 20
_GROWTH = 4
_FASTEST_BPS = 1e11

Probe = Callable[[int, int], float]
"""Sends as many bytes, gets as many back; returns the seconds that the server took for itself."""


@dataclass(frozen=True)
class LinkMeasurement:
    """A link as measured: `link.rtt_s` is the median of the round trips."""

    link: Link
    rtt_min_s: float
    round_trips: int
    upload_bytes: int
    download_bytes: int


def measure_link(
    probe: Probe, clock: Callable[[], float] = perf_counter, *, both_ways: bool = True
) -> LinkMeasurement:
    """Measure a link through `probe`, in about 1.7 s at most unless the RTT alone is above 0.3 s.

    A rate is what the largest transfer took beyond one round trip, so it includes how TCP speeds up. Unless
    `both_ways` can be measured, the downlink is taken to be as the uplink is.
    """
    probe(1, 1)  # connects; not counted
    trips = _round_trips(probe, clock)
    rtt_s = statistics.median(trips)
    up_bps, up_bytes = _rate(lambda size: _timed(probe, clock, size, 1), rtt_s)
    down_bps, down_bytes = up_bps, 0
    if both_ways:
        down_bps, down_bytes = _rate(lambda size: _timed(probe, clock, 1, size), rtt_s)
    return LinkMeasurement(
        Link(up_bps, down_bps, rtt_s), min(trips), len(trips), up_bytes, down_bytes
    )


def measure_link_to(server: str | Endpoint) -> LinkMeasurement:
    """Measure the link to a server of ours, or to a standard one, which tells no downlink.

    Raises UnreachableError when it does not answer, FaultError when it is neither.
    """
    with probing(server) as probe:
        try:
            return measure_link(probe)
        except FaultError as error:
            unknown = error
    with plain_probing(server) as probe:
        try:
            return measure_link(probe, both_ways=False)
        except FaultError:
            raise unknown from None


@contextmanager
def probing(server: str | Endpoint, timeout_s: float = 15.0) -> Iterator[Probe]:
    """Return a probe of `server` over a connection of its own; an address alone is asked in the clear.

    The probe raises UnreachableError when no answer comes within `timeout_s`.
    """
    endpoint = Endpoint.of(server)
    with endpoint.open() as channel:
        call = channel.unary_unary(
            SERVICE + "Probe",
            request_serializer=ProbeRequest.SerializeToString,
            response_deserializer=ProbeResponse.FromString,
        )

        def probe(upload_bytes: int, reply_bytes: int) -> float:
            request = ProbeRequest(payload=bytes(upload_bytes), reply_bytes=reply_bytes)
            try:
                reply: ProbeResponse = call(request, timeout=timeout_s)
            except grpc.RpcError as failure:
                raise translate(failure, endpoint) from failure
            return reply.server_ns / 1e9

        yield probe


@contextmanager
def plain_probing(server: str | Endpoint, timeout_s: float = 15.0) -> Iterator[Probe]:
    """Return a probe of a standard server, as `probing` does of ours; as good as nothing comes back."""
    endpoint = Endpoint.of(server)
    with endpoint.open() as channel:
        call: grpc.UnaryUnaryMultiCallable[bytes, bytes]
        call = channel.unary_unary(f"{OIP_SERVICE}ServerLive")

        def probe(upload_bytes: int, _reply_bytes: int) -> float:
            try:
                call(padding(upload_bytes), timeout=timeout_s)
            except grpc.RpcError as failure:
                raise translate(failure, endpoint) from failure
            return 0.0

        yield probe


def _round_trips(probe: Probe, clock: Callable[[], float]) -> list[float]:
    begun = clock()
    trips = [_timed(probe, clock, 1, 1), _timed(probe, clock, 1, 1)]
    while len(trips) < ROUND_TRIPS and clock() - begun < _ROUND_TRIPS_S:
        trips.append(_timed(probe, clock, 1, 1))
    return trips


def _rate(transfer_s: Callable[[int], float], rtt_s: float) -> tuple[float, int]:
    """Return bits per second, and the size of the transfer that told them.

    The size grows until the next transfer would not fit into the time that is left, or the server.
    """
    size, left_s = _FIRST_BYTES, _TRANSFERS_S
    told: tuple[float, int] | None = None
    while True:
        try:
            seconds = transfer_s(size)
        except TooLargeError:  # for this server, and what it took has told enough
            if told is None:
                raise
            return told
        left_s -= seconds
        bps = min(_FASTEST_BPS, 8 * size / max(seconds - rtt_s, 1e-9))
        fitting = int(max(0.0, left_s - rtt_s) * bps / 8)
        told = bps, size
        following = min(size * _GROWTH, _LAST_BYTES, fitting)
        if following < 1.5 * size:
            return told
        size = following


def _timed(probe: Probe, clock: Callable[[], float], upload: int, reply: int) -> float:
    begun = clock()
    server_s = probe(upload, reply)
    return max(0.0, clock() - begun - server_s)
