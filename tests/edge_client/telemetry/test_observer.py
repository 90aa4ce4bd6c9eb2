"""What an edge says of itself: counts, spreads, health and moves."""

import asyncio
import math
from dataclasses import replace
from typing import Any

import grpc
import pytest

from edge_client.client.async_client import AsyncEdgeClient
from edge_client.frames.result import ServedBy
from edge_client.telemetry.health import Health, State
from edge_client.telemetry.observer import Observer
from edge_client.telemetry.reporter import Reporter
from partitioner.bundle.bundle import Bundle
from protos.serving.metrics import registry_of
from protos.telemetry import read_snapshot
from tests.kit.clients import breaker_of, lose_cloud, stop_watching
from tests.kit.clocks import FakeClock
from tests.kit.exit_models import first_cut
from tests.kit.fake_cloud import FakeCloud, error_answer
from tests.kit.frames import frames
from tests.kit.observations import CUT, clocks_of, result, unread
from tests.kit.waiting import eventually


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
        lose_cloud(client, float("inf"))  # and no probe comes
        for step_s in (0.0, 1.0):
            time.now_s += step_s
            await reporter.tick()
        breaker_of(client).succeeded()
        for step_s in (0.0, 3.0):  # what failed before the absence is forgotten; all has to settle
            time.now_s += step_s
            await reporter.tick()
    assert seen == [Health.DEGRADED, Health.OFFLINE, Health.DEGRADED, Health.HEALTHY]


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


async def test_telemetry_and_metrics_show_the_threshold_in_force(exiting: Bundle) -> None:
    cut = first_cut(exiting)
    own = exiting.known_exits().find(cut).meta.threshold
    async with (
        FakeCloud(exiting) as cloud,
        AsyncEdgeClient(cloud.address, exiting, cut, exit_threshold="own") as client,
    ):
        observer = Observer(client, "here")
        assert client.exits_from == own
        assert observer.peek().exits_from == own
        gauge = "splitpoint_edge_exit_threshold"
        labels = {"edge": "here", "bundle": exiting.name}
        registry = registry_of(lambda: [observer.peek()])
        assert registry.get_sample_value(gauge, labels) == own
        client.control.on_move.tell(replace(client.choice, exits_from=0.7))
        client.control.on_move.tell(replace(client.choice, exits_from=math.inf))
        assert [move.exits_from for move in observer.peek().moves] == [0.7, None]
        client.exit_threshold = None
        assert (client.exits_from, observer.peek().exits_from) == (None, None)
        assert registry.get_sample_value(gauge, labels) is None


async def test_telemetry_and_metrics_show_which_of_several_servers_is_in_use(
    residual_bundle: Bundle, residual_address: str, nobody: str
) -> None:
    def shown(client: AsyncEdgeClient) -> tuple[str, float | None]:
        observer = Observer(client, "here")
        labels = {"edge": "here", "bundle": residual_bundle.name, "server": residual_address}
        registry = registry_of(lambda: [read_snapshot(observer.peek().model_dump_json())])
        seen = registry.get_sample_value("splitpoint_edge_server_info", labels)
        return observer.peek().server, seen

    async with AsyncEdgeClient(f"{nobody},{residual_address}", residual_bundle, CUT) as client:
        assert shown(client) == (residual_address, 1)
    async with AsyncEdgeClient(residual_address, residual_bundle, CUT) as client:
        assert shown(client) == ("", None)


async def test_answers_after_their_frames_teach_and_degrade_and_do_not_make_offline(
    residual_bundle: Bundle,
) -> None:
    time, answers = FakeClock(), asyncio.Event()
    (inputs,) = frames(residual_bundle, 1)

    async def slow(header: Any, raw: Any) -> bytes | None:
        await answers.wait()
        return await cloud.infer(header, raw)

    async with (
        FakeCloud(residual_bundle, slow) as cloud,
        AsyncEdgeClient(cloud.address, residual_bundle, CUT) as client,
    ):
        stop_watching(client)  # and no probe comes
        observer = Observer(client, "cam-1", clocks=clocks_of(time))
        client.timeout_s = 0.02
        label = client.choice.label
        for _ in range(2):
            late = await client.infer(inputs)
            assert (late.served_by, late.fallback) == (ServedBy.EDGE, "cloud too slow")
            observer.add(late)
        assert client.cloud_is_away
        assert client.control.learned.usual_s(label) is None
        answers.set()
        await eventually(lambda: client.answers_late)
        usual_s = client.control.learned.usual_s(label)
        assert usual_s is not None
        assert usual_s > 0.02
        seen = []
        for _ in range(3):
            time.now_s += 5
            seen.append(observer.look())
    assert {state.health for state in seen} == {Health.DEGRADED}
    assert seen[0].reason.startswith(
        "the cloud's answers come later than the timeout of 20.0 ms allows: a frame takes about "
    )
