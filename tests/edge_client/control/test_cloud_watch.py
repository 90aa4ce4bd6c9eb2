"""A cloud that comes back: when that is noticed, and what its first answers teach, and what they do not."""

import asyncio
import contextlib
from itertools import pairwise
from time import perf_counter
from typing import Any

import grpc
import pytest

from edge_client.client.async_client import AsyncEdgeClient
from edge_client.cloud import probe_connection
from edge_client.cloud.reply import Reply
from edge_client.control import cloud_watch
from edge_client.control.cloud_watch import TICK_S, CloudWatch
from edge_client.frames.prepared_frame import PreparedFrame
from edge_client.frames.result import ServedBy
from partitioner.bundle.bundle import Bundle
from partitioner.estimators import cloud_checks
from partitioner.estimators.circuit_breaker import Breaker, Circuit
from partitioner.estimators.cloud_checks import PROBE_FRAMING
from partitioner.estimators.load_estimator import LoadEstimator
from partitioner.estimators.transfer import Transfer
from partitioner.network.link import Link
from partitioner.planning.plan import Plan
from protos.errors import DeniedError, FaultError, LateError, MismatchError, UnreachableError
from protos.inference_pb2 import ModelInferRequest
from protos.names import EDGE
from protos.splitpoint_pb2 import GetServerInfoResponse, ProbeRequest, ProbeResponse
from tests.kit.clients import (
    breaker_of,
    follow,
    loaded,
    look_again,
    lose_cloud,
    see,
    set_clock,
    stop_watching,
)
from tests.kit.clocks import FakeClock
from tests.kit.fake_cloud import FakeCloud
from tests.kit.frames import frames
from tests.kit.sockets import free_port


def watch_of(client: AsyncEdgeClient) -> tuple[CloudWatch, FakeClock]:
    """Return the client's watch, which no longer runs by itself, with a clock of the test's."""
    watch = stop_watching(client)
    set_clock(watch, clock := FakeClock(perf_counter()))
    return watch, clock


def tried(late: int = 0) -> Breaker:
    """A breaker whose probe has got through; so many trials were late since."""
    breaker = Breaker()
    breaker.trip(UnreachableError("gone."), 0.0)
    breaker.probed(None, 1.0)
    for trial in range(late):
        assert breaker.admit()
        breaker.failed(LateError("late."), 1.0 + trial, 1.5 + trial)
    return breaker


def test_trial_that_is_late_lets_the_next_frame_try() -> None:
    breaker = tried(late=1)
    assert breaker.circuit is Circuit.TRYING
    assert [breaker.admit(), breaker.admit()] == [True, False]
    breaker.succeeded()
    assert breaker.circuit is Circuit.CLOSED


def test_second_trial_that_is_late_opens_it_and_then_the_first_one_does() -> None:
    breaker = tried(late=2)
    assert breaker.circuit is Circuit.OPEN
    breaker.probed(None, 5.0)
    assert breaker.admit()
    breaker.failed(LateError("late."), 5.0, 6.0)
    assert breaker.circuit is Circuit.OPEN


def test_trial_whose_connection_breaks_opens_it_at_once() -> None:
    breaker = tried()
    assert breaker.admit()
    breaker.failed(UnreachableError("broke."), 1.0, 1.1)
    assert breaker.circuit is Circuit.OPEN


async def test_cloud_is_found_within_a_third_of_a_second_of_its_return(
    residual_bundle: Bundle,
) -> None:
    port = free_port()
    async with AsyncEdgeClient(f"127.0.0.1:{port}", residual_bundle, "cut-04") as client:
        watch, clock = watch_of(client)
        for _ in range(20):  # it stays away for 2 s, and is looked for all the time
            clock.now_s += TICK_S
            await watch.tick()
        async with FakeCloud(residual_bundle, port=port):
            returned_at = clock.now_s
            while client.cloud_is_away:
                clock.now_s += TICK_S
                await watch.tick()
            assert clock.now_s - returned_at <= 0.3


async def no_message(_request: bytes, _context: object) -> bytes:
    return b"\xff"


async def no_limit(_request: bytes, _context: object) -> bytes:
    return GetServerInfoResponse(version="1", max_message_bytes=0).SerializeToString()


async def no_method(_request: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
    await context.abort(grpc.StatusCode.UNIMPLEMENTED, "")
    return b""


@pytest.mark.parametrize(
    ("method", "damaged"),
    [("info", no_message), ("bundles", no_message), ("info", no_limit), ("info", no_method),
     ("bundles", no_method)],
)  # fmt: skip
async def test_greeting_that_was_damaged_is_repeated(
    residual_bundle: Bundle, monkeypatch: pytest.MonkeyPatch, method: str, damaged: object
) -> None:
    async with (
        FakeCloud(residual_bundle) as cloud,
        AsyncEdgeClient(cloud.address, residual_bundle, "cut-04") as client,
    ):
        watch, clock = watch_of(client)
        lose_cloud(client, clock.now_s)
        with monkeypatch.context() as patched:
            patched.setattr(cloud, method, damaged)
            clock.now_s += 1
            await watch.tick()
            assert client.cloud_is_away
            assert isinstance(client.trouble, FaultError)
            assert "makes no sense" in str(client.trouble)
        clock.now_s += 1
        await watch.tick()
        assert breaker_of(client).circuit is Circuit.TRYING


async def test_watch_goes_on_after_a_bug_and_says_so(
    residual_bundle: Bundle, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(cloud_watch, "TICK_S", 0.0)
    async with (
        FakeCloud(residual_bundle) as cloud,
        AsyncEdgeClient(cloud.address, residual_bundle, "cut-04") as client,
    ):
        watch, _ = watch_of(client)
        bugs, again = iter([ValueError("a bug")]), asyncio.Event()

        async def tick() -> None:
            for error in bugs:
                raise error
            again.set()

        monkeypatch.setattr(watch, "tick", tick)
        running = asyncio.create_task(watch.run())
        await again.wait()
        running.cancel()
    assert [record.getMessage() for record in caplog.records] == [
        "looking after the cloud has failed, and goes on"
    ]
    assert "a bug" in caplog.text


@pytest.mark.parametrize(
    ("error", "took_s", "rest_s"),
    [
        (FaultError("no profile."), 20.0, 20.0),
        (FaultError("no profile."), 220.0, 30.0),
        (DeniedError("no profile for you."), 20.0, 20.0),
        (MismatchError("another version."), 0.0, 1.0),
        (ValueError("a bug"), 20.0, 20.0),
        (UnreachableError("the link broke."), 20.0, 2.1),  # a tenth of the outage
    ],
)
async def test_plan_that_fails_after_long_measuring_is_not_begun_anew_at_once_unless_by_the_link(
    residual_bundle: Bundle,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    took_s: float,
    rest_s: float,
) -> None:
    async with (
        FakeCloud(residual_bundle) as cloud,
        AsyncEdgeClient(cloud.address, residual_bundle, "cut-04") as client,
    ):
        watch, clock = watch_of(client)
        breaker_of(client).spread = lambda: 1.0

        async def plan_for_long(_server: object) -> None:
            clock.now_s += took_s
            raise error

        monkeypatch.setattr(watch._retry, "_on_back", plan_for_long)
        lose_cloud(client, clock.now_s)
        clock.now_s += 1
        with contextlib.suppress(ValueError):
            await watch.tick()
        assert not breaker_of(client).is_due(clock.now_s + rest_s - 0.01)
        assert breaker_of(client).is_due(clock.now_s + rest_s + 0.01)


async def test_bug_in_looking_for_the_cloud_waits_for_its_next_turn(
    residual_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_arguments: object) -> None:
        raise ValueError("a bug")

    async with (
        FakeCloud(residual_bundle) as cloud,
        AsyncEdgeClient(cloud.address, residual_bundle, "cut-04") as client,
    ):
        watch, clock = watch_of(client)
        lose_cloud(client, clock.now_s)
        monkeypatch.setattr(probe_connection, "greet", fail)
        clock.now_s += 1
        with pytest.raises(ValueError, match="a bug"):
            await watch.tick()
        assert not breaker_of(client).is_due(clock.now_s)
        assert breaker_of(client).is_due(clock.now_s + 1)


async def test_cloud_that_comes_back_with_smaller_messages_gets_smaller_ones(
    residual_bundle: Bundle, planned: Plan
) -> None:
    (inputs,) = frames(residual_bundle, 1)
    async with (
        FakeCloud(residual_bundle) as cloud,
        AsyncEdgeClient(cloud.address, residual_bundle, "cut-01") as client,
    ):
        follow(client, planned)
        sizes = sorted({option.upload_bytes for option in planned.options})
        assert client.choice.option is not None
        assert client.choice.option.upload_bytes > sizes[2]
        watch, clock = watch_of(client)
        lose_cloud(client, clock.now_s)
        cloud.max_message_bytes = int(sizes[2])
        clock.now_s += 1
        await watch.tick()
        fitting = [option for option in planned.options if option.upload_bytes <= sizes[2]]
        await loaded(client, min(fitting, key=lambda option: option.total_s).cut)
        see(client, 1e9)
        result = await client.infer(inputs)
        assert result.served_by is ServedBy.CLOUD
        assert 0 < result.upload_bytes <= sizes[2]


async def test_frames_beside_a_trial_stay_here_and_move_no_cut(
    residual_bundle: Bundle, planned: Plan
) -> None:
    inputs = frames(residual_bundle, 3)
    came, go_on = asyncio.Event(), asyncio.Event()

    async def slow(header: ModelInferRequest, raw: list[memoryview]) -> bytes | None:
        came.set()
        await go_on.wait()
        return await cloud.infer(header, raw)

    async with (
        FakeCloud(residual_bundle, slow) as cloud,
        AsyncEdgeClient(cloud.address, residual_bundle, "cut-01") as client,
    ):
        follow(client, planned)
        await loaded(client, EDGE)
        lose_cloud(client, perf_counter())
        assert client.control.next(perf_counter()).cut.id == EDGE
        breaker_of(client).probed(None, perf_counter())
        see(client, 1e9)
        while client.control.next(perf_counter()).cut.id == EDGE:
            pass  # a gain has to last some frames before the cut moves
        trial = asyncio.create_task(client.infer(inputs[0]))
        await came.wait()
        moves = client.switches
        beside = await client.infer(inputs[1])
        assert (beside.cut, beside.served_by, beside.fallback) == (EDGE, ServedBy.EDGE, None)
        assert beside.reason == "the cloud is back, and another frame tries it"
        assert client.choice.cut.id == planned.best.cut
        go_on.set()
        assert (await trial).served_by is ServedBy.CLOUD
        after = await client.infer(inputs[2])
        assert (after.served_by, client.switches) == (ServedBy.CLOUD, moves)


async def test_one_late_trial_keeps_no_other_frame_from_the_cloud(residual_bundle: Bundle) -> None:
    inputs = frames(residual_bundle, 3)

    async def first_is_lost(header: ModelInferRequest, raw: list[memoryview]) -> bytes | None:
        return None if header.id == "0" else await cloud.infer(header, raw)

    async with (
        FakeCloud(residual_bundle, first_is_lost) as cloud,
        AsyncEdgeClient(cloud.address, residual_bundle, "cut-04", timeout_s=0.05) as client,
    ):
        lose_cloud(client, perf_counter())
        await look_again(client)
        late = await client.infer(inputs[0])
        client.timeout_s = 10.0
        results = [await client.infer(frame) for frame in inputs[1:]]
    assert (late.served_by, late.fallback) == (ServedBy.EDGE, "cloud too slow")
    assert [result.served_by for result in results] == [ServedBy.CLOUD] * 2


def reply(planned: Plan, open_s: float) -> Reply:
    """An answer over 20 Mbit/s and 15 ms, whose tail took `open_s` to come and then 1 ms, as profiled."""
    best, now = planned.best, perf_counter()
    network_s = Link(20e6, 20e6, 0.015).predict_s(best.upload_bytes, 100)
    begun_at = now - network_s - open_s - best.cloud_s * (5 if open_s else 1)
    compute_s = best.cloud_s * (5 if open_s else 1)
    return Reply({}, int(best.upload_bytes), 100, begun_at, now, open_s, 0.0, compute_s, open_s)


async def test_tail_that_had_to_be_loaded_counts_neither_as_queue_nor_as_load_nor_as_link(
    residual_bundle: Bundle, planned: Plan
) -> None:
    async with (
        FakeCloud(residual_bundle) as cloud,
        AsyncEdgeClient(cloud.address, residual_bundle, "cut-01") as client,
    ):
        seen = []
        for open_s in (0.0, 0.5):
            follow(client, planned)
            control = client.control
            control.learned._cloud, control.learned._queue = (
                LoadEstimator(),
                type(control.learned._queue)(),
            )
            work = PreparedFrame(0, client.choice, 0.0, 1.0, {}, b"", "0", 0.0)
            control.learned.answered(work, reply(planned, open_s))
            seen.append(control.conditions(perf_counter()))
    warm, cold = seen
    assert (cold.cloud_queue_s, cold.cloud_load) == (0.0, 1.0)
    assert warm.cloud_load == pytest.approx(1.0, abs=0.01)
    assert cold.link.link.rtt_s == pytest.approx(warm.link.link.rtt_s, rel=0.01)
    assert cold.link.link.uplink_bps == pytest.approx(warm.link.link.uplink_bps, rel=0.01)


async def test_late_trial_is_no_news_of_the_link(residual_bundle: Bundle, planned: Plan) -> None:
    (inputs,) = frames(residual_bundle, 1)

    async def lost(_header: ModelInferRequest, _raw: list[memoryview]) -> bytes | None:
        return None

    async with (
        FakeCloud(residual_bundle) as cloud,
        AsyncEdgeClient(cloud.address, residual_bundle, "cut-01") as client,
    ):
        follow(client, planned)
        see(client, 1e9)
        assert (await client.infer(inputs)).served_by is ServedBy.CLOUD  # and is connected
        see(client, 1e9)
        cloud.answer, client.timeout_s = lost, 0.1
        lose_cloud(client, perf_counter())
        breaker_of(client).probed(None, perf_counter())
        before = client.control.learned.link
        assert (await client.infer(inputs)).fallback == "cloud too slow"
        assert client.control.learned.link == before
        assert (await client.infer(inputs)).fallback == "cloud too slow"  # and now it is
        assert client.control.learned.link != before


async def test_link_is_taken_from_the_fastest_probes_after_a_return(
    residual_bundle: Bundle, planned: Plan
) -> None:
    # 20 Mbit/s and 15 ms; a server's first words and a connection's first bytes take longer.
    took_s = iter((0.080, 0.015, 0.016, 0.017, 0.070, 0.0281, 0.030))
    sizes: list[int] = []

    async def probe(request: bytes, _context: object) -> bytes:
        sizes.append(len(ProbeRequest.FromString(request).payload))
        clock.now_s += next(took_s)
        return ProbeResponse(payload=b"x").SerializeToString()

    async with (
        FakeCloud(residual_bundle) as cloud,
        AsyncEdgeClient(cloud.address, residual_bundle, "cut-01") as client,
    ):
        watch, clock = watch_of(client)
        follow(client, planned)
        cloud.probe = probe  # type: ignore[method-assign]
        lose_cloud(client, clock.now_s)
        clock.now_s += 0.1
        await watch.tick()
        assert client.control.learned.link is not None
        large = sizes[-1]
        assert sizes == [1, 1, 1, 4096, large, large, large]
        assert client.control.learned.link.rtt_s == pytest.approx(0.015)
        # 13.1 ms more for `large` - 1 bytes more
        assert client.control.learned.link.uplink_bps == pytest.approx(8 * (large - 1) / 0.0131)


async def test_link_that_came_back_much_slower_is_asked_for_little(
    residual_bundle: Bundle, planned: Plan
) -> None:
    sizes: list[int] = []

    async def probe(request: bytes, _context: object) -> bytes:
        sizes.append(size := len(ProbeRequest.FromString(request).payload))
        clock.now_s += 0.1 + 8 * size / 40e3
        return ProbeResponse(payload=b"x").SerializeToString()

    async with (
        FakeCloud(residual_bundle) as cloud,
        AsyncEdgeClient(cloud.address, residual_bundle, "cut-01") as client,
    ):
        watch, clock = watch_of(client)
        follow(client, planned)
        cloud.probe = probe  # type: ignore[method-assign]
        lose_cloud(client, clock.now_s)
        clock.now_s += 0.1
        begun_at = clock.now_s
        await watch.tick()
        assert clock.now_s - begun_at < 2
        assert max(sizes) == 4096  # 0.8 s; the 12 kB of before would have taken 2.5
        assert client.control.learned.link is not None
        assert client.control.learned.link.uplink_bps == pytest.approx(40e3)
        assert not client.cloud_is_away


async def test_probe_that_says_it_took_longer_than_it_did_is_not_believed(
    residual_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def lie(_request: bytes, _context: object) -> bytes:
        return ProbeResponse(server_ns=1 << 63).SerializeToString()

    async with (
        FakeCloud(residual_bundle) as cloud,
        AsyncEdgeClient(cloud.address, residual_bundle, "cut-04") as client,
    ):
        monkeypatch.setattr(cloud, "probe", lie)
        watch, _ = watch_of(client)
        with pytest.raises(FaultError, match="longer there than altogether"):
            await watch._probes.transfer(1)
        await watch.close()


async def test_link_is_probed_only_for_frames_that_do_not_use_it(
    residual_bundle: Bundle, planned: Plan
) -> None:
    (inputs,) = frames(residual_bundle, 1)
    async with (
        FakeCloud(residual_bundle) as cloud,
        AsyncEdgeClient(cloud.address, residual_bundle, "cut-01") as client,
    ):
        follow(client, planned)
        watch = client.watch
        assert watch is not None
        await client.infer(inputs)  # went to the cloud, and told what the link can
        await watch.tick()
        assert watch.probes == 0
        await loaded(client, EDGE)
        see(client, 0.2e6)
        assert (await client.infer(inputs)).cut == EDGE
        set_clock(watch, lambda: perf_counter() + 1)
        await watch.tick()
        assert watch.probes >= 1
        looks = client.looks
        assert (looks.tries, looks.probes) == (0, watch.probes)
        assert looks.sent_bytes >= watch.probes * (1 + PROBE_FRAMING)
        before = watch.probes
        set_clock(watch, lambda: perf_counter() + 60)  # and nobody has asked for a minute
        await watch.tick()
        assert watch.probes == before


@pytest.mark.parametrize("standard", [False, True])
async def test_link_between_two_frames_is_looked_at_now_and_then(
    residual_bundle: Bundle, planned: Plan, standard: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Frames cross every 0.2 s, for 6 s by the test's clock; a server without probes is asked as seldom."""
    async with (
        FakeCloud(residual_bundle) as cloud,
        AsyncEdgeClient(cloud.address, residual_bundle, "cut-01") as client,
    ):
        follow(client, planned)
        watch, clock = watch_of(client)
        learned, asked = client.control.learned, list[float]()

        async def transfer(size: int) -> Transfer:
            asked.append(clock())
            if standard:
                raise FaultError("it knows no probes.")
            return Transfer(size + 200, 200, clock() - 0.01, clock(), 0.0)

        monkeypatch.setattr(watch._probes, "transfer", transfer)
        monkeypatch.setattr(client.control, "worth_probing", lambda: 0)
        monkeypatch.setattr(learned, "has_time_for", lambda _size, _now_s: True)
        for _ in range(60):
            clock.now_s += 0.1
            client.control.called_at = learned.crossed_at = clock() - 0.05
            await watch.tick()
    assert 3 <= len(asked) <= 4  # at once, and then every 2 s
    assert all(later - earlier >= 2.0 for earlier, later in pairwise(asked))


async def test_silence_is_broken_off_when_a_probe_is_met_with_silence_too(
    residual_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (cloud_checks, cloud_watch):
        monkeypatch.setattr(module, "SILENCE_S", -1.0)
    monkeypatch.setattr(probe_connection, "PROBE_LIMIT_S", 0.05)
    (inputs,) = frames(residual_bundle, 1)
    asked, never = asyncio.Event(), asyncio.Event()

    async def silent(_header: ModelInferRequest, _raw: list[memoryview]) -> bytes | None:
        asked.set()
        return None

    async def hang(_request: bytes, _context: object) -> bytes:
        await never.wait()
        return b""

    async with (
        FakeCloud(residual_bundle, silent) as cloud,
        AsyncEdgeClient(cloud.address, residual_bundle, "cut-04") as client,
    ):
        watch = stop_watching(client)
        waiting = asyncio.create_task(client.infer(inputs))
        await asked.wait()
        await watch.tick()
        assert not waiting.done()  # the server is slow, and alive
        cloud.probe = hang  # type: ignore[method-assign]
        await watch.tick()
        result = await waiting
        assert (result.served_by, client.cloud_is_away) == (ServedBy.EDGE, True)
        assert result.reason.startswith("cloud unreachable")
        never.set()


@pytest.mark.parametrize(
    ("said", "options", "most"),
    [(b"", {}, 70), (b"HTTP/1.1 400 Bad\r\n\r\n", {"tls": True}, 25)],
    ids=["hangs up", "speaks no TLS"],
)
async def test_cloud_that_cannot_be_connected_to_sees_ever_fewer_connections(
    residual_bundle: Bundle, said: bytes, options: dict[str, Any], most: int
) -> None:
    """The first minute, by the clock of the watch; gRPC's own attempts, by that of the test, are few."""
    connections = []

    async def turn_away(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(writer)
        writer.write(said)
        writer.close()

    listener = await asyncio.start_server(turn_away, "127.0.0.1", 0)
    async with listener:
        address = f"127.0.0.1:{listener.sockets[0].getsockname()[1]}"
        async with AsyncEdgeClient(address, residual_bundle, "cut-04", **options) as client:
            watch, clock = watch_of(client)
            for _ in range(600):
                clock.now_s += 0.1
                await watch.tick()
        assert client.cloud_is_away
    assert 5 < len(connections) < most
