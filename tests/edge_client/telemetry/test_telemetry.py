"""What an edge tells of itself: counts and estimates, as JSON lines, as metrics, and to the cloud."""

import asyncio
import json
import urllib.request
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from typer.testing import CliRunner

from cloud_server.server import CloudServer
from cloud_server.telemetry import EdgeBook
from cloud_server.web import create_app
from edge_client.cli.main import app
from edge_client.cli.settings import load_serve_settings
from edge_client.client.async_client import AsyncEdgeClient
from edge_client.cloud.greeting import report_telemetry
from edge_client.frames.result import Result, ServedBy, Timings
from edge_client.telemetry.health import Health, State
from edge_client.telemetry.metrics_page import shown_metrics
from edge_client.telemetry.observer import Clocks, Observer
from edge_client.telemetry.reporter import Reporter, TelemetryBuffer
from partitioner.bundle.bundle import Bundle
from protos.errors import UnreachableError, UsageError
from protos.telemetry import MAX_SNAPSHOT_BYTES, MAX_SNAPSHOTS, Telemetry, read_snapshot
from tests.kit.clocks import FakeClock
from tests.kit.cloud_calls import TIMEOUT_S
from tests.kit.fake_cloud import FakeCloud, error_answer
from tests.kit.frames import frames

CUT = "cut-02"


def clocks_of(time: FakeClock) -> Clocks:
    """Both clocks; the wall's runs 1000 s ahead."""
    return Clocks(time, lambda: time() + 1000)


def result(latency_s: float, served_by: ServedBy = ServedBy.CLOUD, **more: Any) -> Result:
    timings = Timings(latency_s, edge_s=latency_s / 2, network_s=latency_s / 2)
    made = Result(0, {}, served_by, "why", CUT, "raw", 100, 10, timings)
    return replace(made, **more)


def families(text: str) -> dict[str, dict[tuple[str, ...], float]]:
    """Samples by name, then by the labels' values without edge and bundle."""
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = [v for k, v in sorted(sample.labels.items()) if k not in ("edge", "bundle")]
            found.setdefault(sample.name, {})[tuple(labels)] = sample.value
    return found


async def quiet(_state: State) -> None:
    """Nobody listens."""


def unread(_record: dict[str, Any]) -> None:
    """Nobody reads."""


async def test_snapshot_counts_since_the_start_and_spreads_the_interval(
    residual_bundle: Bundle,
) -> None:
    time = FakeClock()
    async with AsyncEdgeClient(None, residual_bundle, "edge") as client:
        observer = Observer(client, "cam-1", clocks=clocks_of(time))
        for milliseconds in (10, 20, 30):
            observer.add(result(milliseconds / 1e3))
        observer.add(result(0.4, ServedBy.EDGE, fallback="cloud too slow"))
        observer.add(result(9.0, ServedBy.NONE, upload_bytes=7))
        time.now_s += 10
        first = observer.snapshot()
        observer.add(result(0.05))
        time.now_s += 5
        second = observer.peek()
    assert (first.edge, first.bundle, first.number) == ("cam-1", "residual", 0)
    assert (first.started_s, first.time_s, first.interval_s) == (1100.0, 1110.0, 10.0)
    assert first.served_by == {"cloud": 3, "edge": 1, "none": 1}
    assert first.fallbacks == {"cloud too slow": 1}
    assert (first.upload_bytes, first.download_bytes) == (4 * 100 + 7, 50)
    latency = first.stages["latency"]
    # Of 10, 20, 30 and 400 ms; the frame that nobody served has no stages.
    assert latency.p50_s == pytest.approx(0.025)
    assert latency.total_s == pytest.approx(0.46)
    assert latency.buckets == (0, 0, 0, 1, 1, 1, 0, 0, 1, 0, 0, 0, 0)
    assert first.stages["edge"].total_s == pytest.approx(0.23)
    assert first.estimates is None
    assert (second.number, second.interval_s) == (1, 5.0)
    assert second.served_by == {"cloud": 4, "edge": 1, "none": 1}
    assert second.stages["latency"].p50_s == pytest.approx(0.05)
    assert sum(second.stages["latency"].buckets) == 5
    assert read_snapshot(second.model_dump_json()) == second


async def test_health_follows_the_cloud(residual_bundle: Bundle) -> None:
    time = FakeClock()
    seen: list[Health] = []
    (inputs,) = frames(residual_bundle, 1)

    async def full(header: Any, _raw: Any) -> bytes:
        return error_answer(header, grpc.StatusCode.RESOURCE_EXHAUSTED, "full.")

    async def hear(state: State) -> None:
        seen.append(state.health)

    async with (
        FakeCloud(residual_bundle, full) as cloud,
        AsyncEdgeClient(cloud.address, residual_bundle, CUT) as client,
    ):
        observer = Observer(client, "cam-1", clocks=clocks_of(time))
        reporter = Reporter(client, observer, None, unread, hear)
        refused = await client.infer(inputs)
        assert (refused.served_by, refused.fallback) == (ServedBy.EDGE, "cloud overloaded")
        observer.add(refused)
        client._breaker.trip(UnreachableError("gone."), float("inf"))  # and no probe comes
        for step_s in (0.0, 1.0):
            time.now_s += step_s
            await reporter.step()
        client._breaker.succeeded()
        for step_s in (0.0, 3.0):  # what failed before the absence is forgotten; all has to settle
            time.now_s += step_s
            await reporter.step()
    assert seen == [Health.DEGRADED, Health.OFFLINE, Health.DEGRADED, Health.HEALTHY]


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
        CloudServer(residual_bundle.path, max_message="4KiB") as cloud,
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
        client._breaker.trip(UnreachableError("gone."), float("inf"))
        for _ in range(45):
            time.now_s += 10
            observer.add(result(0.01, ServedBy.EDGE, fallback="cloud unreachable"))
            await reporter.step()
        assert (len(reporter.buffer), reporter.buffer.lost) == (40, 5)
        assert not list(cloud.edges.newest())
        client._breaker.succeeded()
        await reporter.finish()
        (seen,) = cloud.edges.newest()
        assert (seen.number, seen.fallbacks) == (45, {"cloud unreachable": 45})
        assert seen.lost_snapshots == 5
        assert len(reporter.buffer) == 0

        transport = httpx.ASGITransport(app=create_app(cloud))
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


async def test_cloud_that_knows_no_telemetry_gets_it_once(residual_bundle: Bundle) -> None:
    async with (
        FakeCloud(residual_bundle) as cloud,
        AsyncEdgeClient(cloud.address, residual_bundle, CUT) as client,
    ):
        reporter = Reporter(client, Observer(client, "cam-1"), 1000.0, unread, quiet)
        await reporter.finish()
        assert (len(reporter.buffer), reporter.buffer.lost) == (0, 1)


async def test_metrics_of_the_edge_are_prometheus(residual_bundle: Bundle, capsys: Any) -> None:
    async with AsyncEdgeClient(None, residual_bundle, "edge") as client:
        observer = Observer(client, "cam-1")
        for seconds in (0.003, 0.02, 7.0):
            observer.add(result(seconds))
        with shown_metrics("127.0.0.1:0", observer):
            where = capsys.readouterr().err.split()[-1]

            def read() -> str:
                with urllib.request.urlopen(where, timeout=TIMEOUT_S) as page:
                    return str(page.read().decode())

            text = await asyncio.to_thread(read)
            busy = where.removeprefix("http://").removesuffix("/metrics")
            with pytest.raises(UsageError, match=r"cannot listen on .*Choose another --metrics"):
                shown_metrics(busy, observer).__enter__()
    found = families(text)
    assert found["splitpoint_edge_frames_total"] == {("cloud",): 3}
    assert found["splitpoint_edge_upload_bytes_total"] == {(): 300}
    assert found["splitpoint_edge_stage_seconds_count"][("latency",)] == 3
    assert found["splitpoint_edge_stage_seconds_sum"][("latency",)] == pytest.approx(7.023)
    buckets = found["splitpoint_edge_stage_seconds_bucket"]
    # An upper end belongs to its bucket: 20 ms is not above 0.02.
    assert [buckets[(le, "latency")] for le in ("0.002", "0.005", "0.02", "5.0", "+Inf")] == [
        0, 1, 2, 2, 3,
    ]  # fmt: skip
    assert found["splitpoint_edge_cut"] == {("edge",): 1}
    assert found["splitpoint_edge_health"] == {("healthy",): 1, ("degraded",): 0, ("offline",): 0}
    assert 'edge="cam-1"' in text


def snapshot(edge: str = "cam-1", number: int = 0, **more: Any) -> str:
    made = Telemetry(
        edge="cam-1", bundle="b", started_s=1.0, number=number, time_s=2.0, interval_s=1.0,
        health="healthy", health_reason="", cut="edge", reason="", served_by={}, fallbacks={},
        switches=0, upload_bytes=0, download_bytes=0, lost_snapshots=0, stages={},
    )  # fmt: skip
    return json.dumps({**made.model_dump(mode="json"), "edge": edge, **more})


@pytest.mark.parametrize(
    ("documents", "words"),
    [
        (["{"], "a snapshot is no telemetry: the document: Invalid JSON"),
        ([snapshot(upload_bytes=-1)], "upload_bytes: Input should be greater than or equal to 0"),
        ([snapshot(upload_bytes=10**400)], "upload_bytes: "),
        ([snapshot(served_by={"cloud": -1})], "served_by.cloud: "),
        ([snapshot(edge="x" * 65)], "edge: String should have at most 64"),
        ([snapshot(edge="a\nb")], "edge: String should match"),
        ([snapshot(time_s=float("nan"))], "time_s: Input should be"),
        ([snapshot(), snapshot(health="fine")], "health: Input should be 'healthy'"),
        ([snapshot(reason="x" * MAX_SNAPSHOT_BYTES)], "over the limit of 16384"),
        ([snapshot()] * (MAX_SNAPSHOTS + 1), "65 snapshots came at once, and 64 are taken"),
    ],
)
async def test_bad_telemetry_is_refused_whole(documents: list[str], words: str) -> None:
    book = EdgeBook()
    with pytest.raises(UsageError, match=words):
        await book.take(documents)
    assert not list(book.newest())


async def test_cloud_keeps_the_newest_of_the_last_edges() -> None:
    book = EdgeBook(capacity=2)
    await book.take([snapshot("a", 1), snapshot("a", 2), snapshot("a", 1)])
    assert [seen.number for seen in book.newest()] == [2]
    await book.take([snapshot("b"), snapshot("c")])
    assert [seen.edge for seen in book.newest()] == ["b", "c"]
    await book.take([snapshot("b", 0, started_s=9.0)])  # it has started again
    assert [seen.started_s for seen in book.newest() if seen.edge == "b"] == [9.0]
    await book.take([snapshot("b", 0, started_s=3.0)])  # and again, after its clock went back
    assert [seen.started_s for seen in book.newest() if seen.edge == "b"] == [3.0]


async def test_moves_are_told_with_their_reasons(residual_bundle: Bundle) -> None:
    async with AsyncEdgeClient(None, residual_bundle, "edge") as client:
        observer = Observer(client, "cam-1")
        for number in range(20):
            client.control.on_move.tell(replace(client.choice, reason=f"{number}" + "!" * 600))
        moves = observer.snapshot().moves
        assert [move.reason[:2] for move in moves] == [
            f"{number}"[:2].ljust(2, "!") for number in range(4, 20)
        ]
        assert observer.snapshot().moves == ()


async def test_two_observers_of_one_client_both_hear_of_its_moves(residual_bundle: Bundle) -> None:
    async with AsyncEdgeClient(None, residual_bundle, "edge") as client:
        observers = [Observer(client, name) for name in ("cam-1", "its dashboard")]
        client.control.on_move.tell(replace(client.choice, reason="the link is slower"))
        for observer in observers:
            assert [move.reason for move in observer.snapshot().moves] == ["the link is slower"]


def test_run_writes_telemetry_beside_the_frames_and_sends_it(
    image_bundle: Bundle, tmp_path: Path
) -> None:
    import numpy as np

    (spec,) = image_bundle.inputs
    np.save(tmp_path / "x.npy", np.zeros(spec.sized(), np.uint8))
    with CloudServer(image_bundle.path) as cloud:
        done = CliRunner().invoke(
            app,
            ["run", "--cloud", cloud.address, "--bundle", str(image_bundle.path), "--cut", CUT,
             "--source", str(tmp_path / "x.npy"), "--telemetry", "60min", "--name", "cam-7",
             "--metrics", "127.0.0.1:0", "--json"],
        )  # fmt: skip
        assert done.exit_code == 0, done.output
        (seen,) = cloud.edges.newest()
    records = [json.loads(line) for line in done.stdout.splitlines()]
    assert [next(iter(record)) for record in records] == ["frame", "telemetry", "summary"]
    assert Telemetry.model_validate(records[1]["telemetry"]) == seen
    assert (seen.edge, seen.served_by) == ("cam-7", {"cloud": 1})
    assert seen.stages["network"].total_s > 0


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"telemetry": "0.1s"}, "telemetry every 0.1s is too often"),
        ({"metrics": "9090"}, "'9090' is no address to listen on"),
        ({"name": ""}, "--name is wrong"),
    ],
)
def test_bad_settings_are_named(given: dict[str, str], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        load_serve_settings(bundle="b", **given)


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
