"""What the edge tells the cloud of itself: what fits, what is refused, and what arrives late."""

import asyncio

import grpc
import httpx
import pytest

from cloud_server.rest.app import create_app
from cloud_server.server import CloudServer
from edge_client.client.async_client import AsyncEdgeClient
from edge_client.cloud.absence import say_absence
from edge_client.cloud.greeting import report_telemetry
from edge_client.frames.result import ServedBy
from edge_client.telemetry.health import State
from edge_client.telemetry.observer import Observer
from edge_client.telemetry.reporter import Reporter, TelemetryBuffer
from partitioner.bundle.bundle import Bundle
from protos.errors import (
    DeniedError,
    MismatchError,
    SplitpointError,
    UnknownNameError,
    UnreachableError,
)
from tests.kit.clients import breaker_of, lose_cloud, stop_watching
from tests.kit.clocks import FakeClock
from tests.kit.fake_cloud import FakeCloud
from tests.kit.frames import frames
from tests.kit.observations import CUT, clocks_of, families, result, unread


async def quiet(_state: State) -> None:
    """Nobody listens."""


def test_full_buffer_lets_the_oldest_go_and_counts_it() -> None:
    buffer = TelemetryBuffer(capacity=3)
    for name in "abcde":
        buffer.add(name)
    assert (buffer.oldest(9), buffer.lost) == (["c", "d", "e"], 2)
    sent = buffer.oldest(2)
    buffer.add("f")  # while c and d were on their way, c made way
    buffer.remove(sent)
    assert buffer.oldest(9) == ["e", "f"]
    buffer.remove(buffer.oldest(1), lost=True)
    assert buffer.lost == 4


def test_batch_fits_the_message_and_has_one_snapshot_at_least() -> None:
    buffer = TelemetryBuffer()
    for name in ("a" * 100, "ü" * 50, "c" * 300):
        buffer.add(name)
    # 100 bytes and 16 of framing each; the third would make it 548.
    assert [len(found) for found in buffer.oldest(9, 400)] == [100, 50]
    assert len(buffer.oldest(9, 10)) == 1
    assert len(buffer.oldest(9)) == 3


async def test_telemetry_reaches_a_cloud_that_takes_small_messages(residual_bundle: Bundle) -> None:
    time = FakeClock()
    async with (
        CloudServer(residual_bundle.path, max_message_bytes=4 << 10) as cloud,
        AsyncEdgeClient(cloud.address, residual_bundle, "edge", adapt=False) as client,
    ):
        client.set_option("cut-05", "int8")
        (inputs,) = frames(residual_bundle, 1)
        await client.infer(inputs)  # greets, and learns the limit
        observer = Observer(client, "cam-1", clocks=clocks_of(time))
        reporter = Reporter(client, observer, 10.0, unread, quiet, clock=lambda: time.now_s)
        for _ in range(12):
            reporter._take()
            time.now_s += 1
        assert sum(map(len, reporter.buffer.oldest(12))) > 4 << 10
        await reporter.finish()
        (newest,) = cloud.edges.newest()
    assert (newest.number, newest.lost_snapshots) == (12, 0)
    assert (len(reporter.buffer), reporter.buffer.lost) == (0, 0)


async def test_refused_snapshot_takes_no_other_with_it(residual_bundle: Bundle) -> None:
    time = FakeClock()
    async with (
        CloudServer(residual_bundle.path) as cloud,
        AsyncEdgeClient(cloud.address, residual_bundle, CUT) as client,
    ):
        observer = Observer(client, "cam-1", clocks=clocks_of(time))
        reporter = Reporter(client, observer, 10.0, unread, quiet, clock=lambda: time.now_s)
        for place in range(5):
            if place == 2:
                reporter.buffer.add("{}")
            reporter._take()
        await reporter.finish()
        (newest,) = cloud.edges.newest()
    assert (newest.number, len(reporter.buffer), reporter.buffer.lost) == (5, 0, 1)


async def test_what_was_observed_offline_arrives_when_the_cloud_is_back(
    residual_bundle: Bundle,
) -> None:
    time, written = FakeClock(), []
    async with (
        CloudServer(residual_bundle.path) as cloud,
        AsyncEdgeClient(cloud.address, residual_bundle, CUT) as client,
    ):
        observer = Observer(client, "cam-1", clocks=clocks_of(time))
        reporter = Reporter(
            client, observer, 10.0, written.append, quiet, capacity=40, clock=lambda: time.now_s
        )
        lose_cloud(client, float("inf"))
        for _ in range(45):
            time.now_s += 10
            observer.add(result(0.01, ServedBy.EDGE, fallback="cloud unreachable"))
            await reporter.tick()
        assert (len(reporter.buffer), reporter.buffer.lost) == (40, 5)
        assert not list(cloud.edges.newest())
        breaker_of(client).succeeded()
        await reporter.finish()
        (seen,) = cloud.edges.newest()
        assert (seen.number, seen.fallbacks) == (45, {"cloud unreachable": 45})
        assert seen.lost_snapshots == 5
        assert len(reporter.buffer) == 0

        transport = httpx.ASGITransport(app=create_app(cloud.served))
        async with httpx.AsyncClient(transport=transport, base_url="http://cloud") as web:
            page = await web.get("/metrics")
        found = families(page.text)
        assert page.headers["content-type"].startswith("text/plain")
        assert found["splitpoint_edge_fallbacks_total"] == {("cloud unreachable",): 45}
        assert found["splitpoint_edge_health"][("healthy",)] == 0
    numbers = [line["telemetry"]["number"] for line in written if "telemetry" in line]
    assert numbers == list(range(46))
    health = [line["health"]["health"] for line in written if "health" in line]
    assert health == ["degraded", "offline", "degraded"]


@pytest.mark.parametrize(
    "turned",
    [MismatchError("another."), UnknownNameError("none of that name."), DeniedError("not you.")],
)
async def test_cloud_that_comes_to_fail_in_another_way_is_told_so(
    residual_bundle: Bundle, turned: SplitpointError
) -> None:
    time, written, told = FakeClock(), [], []

    async def hear(state: State) -> None:
        told.append(state.reason)

    async with (
        CloudServer(residual_bundle.path) as cloud,
        AsyncEdgeClient(cloud.address, residual_bundle, CUT) as client,
    ):
        stop_watching(client)
        observer = Observer(client, "cam-1", clocks=clocks_of(time))
        reporter = Reporter(client, observer, 1e3, written.append, hear, clock=time)
        refused = UnreachableError("gone.", "refuses connections")

        async def fail_with(error: SplitpointError, looks: int) -> None:
            breaker_of(client).trip(error, 0.0)
            for _ in range(looks):
                time.now_s += 0.5
                await reporter.tick()

        await fail_with(refused, 4)
        assert len(told) == 2  # degraded, then offline
        for _ in range(3):  # each for a moment only
            await fail_with(turned, 2)
            await fail_with(refused, 2)
        assert len(told) == 2
        await fail_with(turned, 9)
        await fail_with(refused, 9)
    away = [say_absence(error) for error in (refused, turned, refused)]
    assert told[1:] == [f"{text}, for 1.00 s by now" for text in away]
    assert [line["health"]["reason"] for line in written] == told


async def test_cloud_that_knows_no_telemetry_gets_it_once(residual_bundle: Bundle) -> None:
    async with (
        FakeCloud(residual_bundle) as cloud,
        AsyncEdgeClient(cloud.address, residual_bundle, CUT) as client,
    ):
        reporter = Reporter(client, Observer(client, "cam-1"), 1000.0, unread, quiet)
        await reporter.finish()
        assert (len(reporter.buffer), reporter.buffer.lost) == (0, 1)


async def test_connection_that_is_closed_under_a_report_is_an_error_and_no_end() -> None:
    asked, never = asyncio.Event(), asyncio.Event()

    async def hang(_request: object, _context: object) -> bytes:
        asked.set()
        await never.wait()
        return b""

    server = grpc.aio.server()
    method = grpc.unary_unary_rpc_method_handler(hang)
    server.add_generic_rpc_handlers(
        (
            grpc.method_handlers_generic_handler(
                "splitpoint.v1.Splitpoint", {"ReportTelemetry": method}
            ),
        )
    )
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    channel = grpc.aio.insecure_channel(f"127.0.0.1:{port}")
    report = asyncio.create_task(report_telemetry(channel, "the cloud", ["{}"]))
    await asked.wait()
    await channel.close()
    with pytest.raises(UnreachableError, match="was closed"):
        await report
    never.set()
    await server.stop(None)
