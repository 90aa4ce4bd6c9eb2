"""Measuring a link: against simulated links of known rate, and against a real server."""

import asyncio
from typing import Any, ClassVar

import grpc
import grpc.aio
import pytest

from cloud_server.server import CloudServer
from edge_client.cloud.link_measurement import (
    ROUND_TRIPS,
    measure_link,
    measure_link_to,
    probing,
)
from edge_client.cloud.probe_connection import ProbeConnection
from partitioner.bundle.bundle import Bundle
from partitioner.network.link import Link
from protos.errors import FaultError, TooLargeError, UnreachableError
from protos.inference_pb2 import ServerLiveRequest, ServerLiveResponse
from protos.rpc.endpoints import Endpoint
from tests.kit.fake_cloud import FakeCloud


class SimulatedLink:
    """A link with a clock of its own: a probe moves the clock by what it costs."""

    def __init__(self, link: Link, server_s: float = 0.0, jitter_s: float = 0.0) -> None:
        self.link, self.server_s, self.jitter_s = link, server_s, jitter_s
        self.now = 0.0
        self.calls = 0

    def clock(self) -> float:
        return self.now

    def probe(self, upload_bytes: int, reply_bytes: int) -> float:
        self.calls += 1
        jitter = self.jitter_s * (self.calls % 3)  # 0, 1, 2 times
        self.now += self.link.predict_s(upload_bytes, reply_bytes) + self.server_s + jitter
        return self.server_s


LINKS = [
    Link(1e6, 1e6, 0.1),
    Link(1e6, 20e6, 0.04),
    Link(10e6, 50e6, 0.02),
    Link(1e9, 1e9, 0.001),
    Link(0.2e6, 0.2e6, 0.3),
]


@pytest.mark.parametrize("link", LINKS, ids=str)
def test_known_link_is_found_again(link: Link) -> None:
    simulated = SimulatedLink(link)
    found = measure_link(simulated.probe, simulated.clock)
    assert found.link.uplink_bps == pytest.approx(link.uplink_bps, rel=0.02)
    assert found.link.downlink_bps == pytest.approx(link.downlink_bps, rel=0.02)
    assert found.link.rtt_s == pytest.approx(link.rtt_s, rel=0.05)


@pytest.mark.parametrize("link", [link for link in LINKS if link.uplink_bps >= 1e6], ids=str)
def test_measuring_takes_no_more_than_two_seconds_from_1_mbit_on(link: Link) -> None:
    simulated = SimulatedLink(link)
    measure_link(simulated.probe, simulated.clock)
    assert simulated.now <= 2.0


def test_time_of_the_server_is_no_time_of_the_link() -> None:
    simulated = SimulatedLink(Link(10e6, 10e6, 0.02), server_s=0.05)
    found = measure_link(simulated.probe, simulated.clock)
    assert found.link.rtt_s == pytest.approx(0.02, rel=0.05)
    assert found.link.uplink_bps == pytest.approx(10e6, rel=0.02)


def test_jitter_moves_the_median_but_not_the_minimum() -> None:
    simulated = SimulatedLink(Link(10e6, 10e6, 0.02), jitter_s=0.01)
    found = measure_link(simulated.probe, simulated.clock)
    assert found.rtt_min_s == pytest.approx(0.02, rel=0.01)
    assert found.link.rtt_s == pytest.approx(0.03, rel=0.01)
    assert found.round_trips <= ROUND_TRIPS
    assert found.link.uplink_bps == pytest.approx(10e6, rel=0.05)


def test_server_that_takes_little_is_asked_for_no_more() -> None:
    """Sizes grow from 8 KiB by 4: of 8, 32, 128 and 512 KiB, the third is the last that it takes."""
    simulated = SimulatedLink(Link(1e9, 1e9, 0.001))

    def probe(upload_bytes: int, reply_bytes: int) -> float:
        if upload_bytes > 200_000:
            raise TooLargeError("message larger than max.")
        return simulated.probe(upload_bytes, reply_bytes)

    found = measure_link(probe, simulated.clock)
    assert (found.upload_bytes, found.download_bytes) == (128 << 10, 4 << 20)
    assert found.link.uplink_bps == pytest.approx(1e9, rel=0.02)


def test_server_that_takes_no_probe_at_all_says_so() -> None:
    def probe(upload_bytes: int, _reply_bytes: int) -> float:
        if upload_bytes > 1:
            raise TooLargeError("message larger than max.")
        return 0.0

    with pytest.raises(TooLargeError):
        measure_link(probe, iter(range(100)).__next__)


def test_real_server_answers_probes(residual_bundle: Bundle) -> None:
    with (
        CloudServer(bundles=residual_bundle.path, listen="127.0.0.1:0") as server,
        probing(server.address) as probe,
    ):
        found = measure_link(probe)
    assert found.link.uplink_bps > 1e6
    assert found.upload_bytes >= 1 << 20  # on loopback it grows to its largest


def test_probe_of_nobody_says_so() -> None:
    with (
        probing("127.0.0.1:1") as probe,
        pytest.raises(UnreachableError, match="no cloud server answers at 127.0.0.1:1"),
    ):
        measure_link(probe)


async def test_server_of_models_alone_is_named_as_such(residual_bundle: Bundle) -> None:
    async with FakeCloud(residual_bundle) as cloud:
        cloud.greets = False

        def measure() -> None:
            with probing(cloud.address) as probe:
                probe(1, 1)

        with pytest.raises(FaultError, match="a local server of splitpoint-edge or a standard one"):
            await asyncio.to_thread(measure)


async def test_standard_server_tells_the_link_by_whether_it_lives(residual_bundle: Bundle) -> None:
    class Lives(grpc.GenericRpcHandler):
        sizes: ClassVar[list[int]] = []

        def service(self, details: grpc.HandlerCallDetails) -> Any:
            if not details.method.endswith("GRPCInferenceService/ServerLive"):
                return None
            return grpc.unary_unary_rpc_method_handler(
                self._live,
                ServerLiveRequest.FromString,  # which skips the padding
                ServerLiveResponse.SerializeToString,
            )

        async def _live(self, request: ServerLiveRequest, _context: object) -> ServerLiveResponse:
            self.sizes.append(request.ByteSize())
            return ServerLiveResponse(live=True)

    server = grpc.aio.server()
    server.add_generic_rpc_handlers((Lives(),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()

    found = await asyncio.to_thread(measure_link_to, f"127.0.0.1:{port}")
    assert found.download_bytes == 0
    assert found.link.downlink_bps == found.link.uplink_bps
    assert max(Lives.sizes) >= found.upload_bytes > 0
    probes = ProbeConnection(Endpoint(f"127.0.0.1:{port}"))
    seen = await probes.transfer(5000)
    assert (seen.server_s, seen.upload_bytes > 5000) == (0.0, True)
    assert Lives.sizes[-1] >= 5000
    await probes.hang_up()
    await server.stop(None)
