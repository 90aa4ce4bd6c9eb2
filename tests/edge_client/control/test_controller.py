"""The edge that adapts: the cut moves with what is seen, deadlines hold, and no frame is lost."""

import asyncio
import threading
from collections.abc import AsyncIterator
from dataclasses import replace
from itertools import count
from time import perf_counter, sleep
from typing import Any

import pytest

from edge_client.client import feed
from edge_client.client.async_client import AsyncEdgeClient
from edge_client.client.feed import WhenFree
from edge_client.cloud.circuit_breaker import Breaker
from edge_client.control import cloud_watch
from edge_client.control import controller as controlling
from edge_client.control.controller import Controller, Limits
from edge_client.frames.choice import choose
from edge_client.frames.compute_thread import ComputeThread
from edge_client.frames.result import ServedBy
from edge_client.frames.stages import Stages
from partitioner.bundle.bundle import Bundle
from partitioner.exits.ladder import Rung
from partitioner.network.link import Link
from partitioner.network.link_estimator import LinkEstimator
from partitioner.planning.plan import Plan
from partitioner.policy.policy import PolicySettings
from partitioner.policy.power_rules import NO_POWER_DEMAND
from partitioner.runtime.sessions import RuntimeOptions
from protos.errors import OverloadedError, UnreachableError, UsageError
from protos.inference_pb2 import ModelInferRequest
from protos.names import EDGE
from tests.kit.clients import follow, loaded, look_again, see
from tests.kit.fake_cloud import FakeCloud, error_answer, silence
from tests.kit.frames import assert_same, frames, whole
from tests.kit.profiles import profile_of

LIKELY_HEADS = 3
"""Decisions that a move costs: what needs no cloud, and what is best at half and at twice the rate."""


async def test_cut_moves_when_the_uplink_falls_and_again_when_it_recovers(
    residual_bundle: Bundle, planned: Plan
) -> None:
    inputs = frames(residual_bundle, 3)
    async with (
        FakeCloud(residual_bundle) as cloud,
        AsyncEdgeClient(cloud.address, residual_bundle, "cut-01") as client,
    ):
        follow(client, planned)
        await loaded(client, EDGE)
        first = await client.infer(inputs[0])
        assert (first.cut, first.served_by) == (planned.best.cut, ServedBy.CLOUD)
        see(client, 0.2e6)
        slow = await client.infer(inputs[1])
        assert (slow.cut, slow.served_by) == (EDGE, ServedBy.EDGE)
        assert slow.reason.startswith("uplink fell to 2")
        see(client, 1e9)
        back = await client.infer(inputs[2])
        assert (back.cut, back.served_by) == (planned.best.cut, ServedBy.CLOUD)
        assert "uplink rose to" in back.reason
        assert client.control.switches == 2
    for result, frame in zip((first, slow, back), inputs, strict=True):
        assert_same(result.outputs, whole(residual_bundle, frame))


async def test_move_waits_until_the_head_is_loaded(residual_bundle: Bundle, planned: Plan) -> None:
    (inputs,) = frames(residual_bundle, 1)
    async with (
        FakeCloud(residual_bundle) as cloud,
        AsyncEdgeClient(cloud.address, residual_bundle, "cut-01") as client,
    ):
        stages = client._runner.stages
        stages._loading.acquire()  # whatever is to be loaded has to wait
        await client.infer(inputs)
        follow(client, planned)
        client.control.hold(client.choice)
        stages._loading.release()
        follow(client, planned)
        stages._loading.acquire()
        for name in residual_bundle.cuts:
            if name != planned.best.cut:
                stages._stages.pop(("head", name), None)
        see(client, 0.2e6)
        assert client.control.next(perf_counter()).cut.id == planned.best.cut
        stages._loading.release()
        await loaded(client, EDGE)
        assert client.control.next(perf_counter()).cut.id == EDGE


async def test_cloud_that_is_away_moves_everything_here_and_its_return_moves_it_back(
    residual_bundle: Bundle, planned: Plan
) -> None:
    (inputs,) = frames(residual_bundle, 1)

    async def full(header: ModelInferRequest, _raw: list[memoryview]) -> bytes | None:
        import grpc

        return error_answer(header, grpc.StatusCode.RESOURCE_EXHAUSTED, "full.")

    async with (
        FakeCloud(residual_bundle) as cloud,
        AsyncEdgeClient(cloud.address, residual_bundle, "cut-01") as client,
    ):
        follow(client, planned)
        await loaded(client, EDGE)
        cloud.answer = full
        refused = await client.infer(inputs)
        assert refused.reason == "cloud overloaded: full."
        assert isinstance(client.trouble, OverloadedError)
        sent = len(cloud.requests)
        for _ in range(3):
            result = await client.infer(inputs)
            assert (result.cut, result.reason) == (EDGE, "the cloud is away; edge needs none")
        assert len(cloud.requests) == sent
        cloud.answer = cloud.infer
        await look_again(client)
        back = await client.infer(inputs)
        assert (back.served_by, client.trouble) == (ServedBy.CLOUD, None)
        assert back.reason.startswith("the cloud is back")
        assert client.fallbacks == {"cloud overloaded": 1}


async def test_hundred_moves_in_a_stream_cost_no_frame_and_change_no_answer(
    residual_bundle: Bundle, planned: Plan
) -> None:
    inputs = frames(residual_bundle, 110)
    async with (
        FakeCloud(residual_bundle) as cloud,
        AsyncEdgeClient(cloud.address, residual_bundle, "cut-01", window=1) as client,
    ):
        follow(client, planned)
        await loaded(client, EDGE)
        results = []
        async for result in client.stream(inputs):
            results.append(result)
            see(client, 0.2e6 if client.choice.cut.id != EDGE else 1e9)
    assert [result.frame for result in results] == list(range(110))
    assert client.control.switches >= 100
    assert {result.cut for result in results} == {EDGE, planned.best.cut}
    for result, frame in zip(results, inputs, strict=True):
        assert_same(result.outputs, whole(residual_bundle, frame))


async def test_silent_cloud_leaves_time_to_finish_here_within_the_deadline(
    residual_bundle: Bundle,
) -> None:
    (inputs,) = frames(residual_bundle, 1)
    known: dict[tuple[str, str], float] = {}

    async def silent(_header: ModelInferRequest, _raw: list[memoryview]) -> bytes | None:
        # What it takes in truth; the rest of the second is for a machine that is busy.
        known["tail", "cut-04"] = 0.001
        return None

    async with (
        FakeCloud(residual_bundle, silent) as cloud,
        AsyncEdgeClient(cloud.address, residual_bundle, "cut-04", deadline_s=2.0) as client,
    ):
        await asyncio.to_thread(client._runner.stages.warm, "cut-04")
        known = client._runner.stages._seconds
        known["tail", "cut-04"] = 1.0 / 1.2
        result = await client.infer(inputs)
    assert result.served_by is ServedBy.EDGE
    assert result.reason.startswith("cloud too slow")
    assert result.timings.network_s >= 0.2
    assert result.latency_s <= 2.0
    assert_same(result.outputs, whole(residual_bundle, inputs))


async def test_frame_that_cannot_be_finished_in_time_is_an_error_result_in_time(
    residual_bundle: Bundle,
) -> None:
    (inputs,) = frames(residual_bundle, 1)
    async with (
        FakeCloud(residual_bundle, silence) as cloud,
        AsyncEdgeClient(cloud.address, residual_bundle, "cut-04", deadline_s=0.3) as client,
    ):
        client._runner.stages._seconds["tail", "cut-04"] = 5.0
        result = await client.infer(inputs)
    assert result.served_by is ServedBy.NONE
    assert "the deadline of 300 ms cannot be met: cloud too slow" in result.reason
    assert result.error is not None
    assert result.latency_s < 5.0
    assert result.upload_bytes > 0


async def test_head_that_outlasts_the_deadline_is_not_waited_for(residual_bundle: Bundle) -> None:
    (inputs,) = frames(residual_bundle, 1)
    async with AsyncEdgeClient(None, residual_bundle, EDGE, deadline_s=0.05) as client:
        with client._runner.stages._turn:
            result = await client.infer(inputs)
            assert result.served_by is ServedBy.NONE
            assert "passed before the head was done" in result.reason
            assert result.latency_s >= 0.05  # and it came, though the head is still held
        client.deadline_s = None
        assert (await client.infer(inputs)).served_by is ServedBy.EDGE


async def test_deadline_goes_by_what_is_predicted_and_not_by_trying(
    residual_bundle: Bundle, planned: Plan
) -> None:
    (inputs,) = frames(residual_bundle, 1)
    async with (
        FakeCloud(residual_bundle, silence) as cloud,
        AsyncEdgeClient(cloud.address, residual_bundle, "cut-01", deadline_s=2.0) as client,
    ):
        follow(client, planned)
        await loaded(client, EDGE)
        see(client, 0.015e6)  # the smallest frontier, 4,096 bytes, takes 2.2 s; the input 7 s
        result = await client.infer(inputs)
        assert (result.cut, result.served_by) == (EDGE, ServedBy.EDGE)
        assert cloud.requests == []


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
        await watch.step()
        assert watch.probes == 0
        await loaded(client, EDGE)
        see(client, 0.2e6)
        assert (await client.infer(inputs)).cut == EDGE
        watch._clock = lambda: perf_counter() + 1
        await watch.step()
        assert watch.probes >= 3  # one connects, two tell
        before = watch.probes
        watch._clock = lambda: perf_counter() + 60  # and nobody has asked for a minute
        await watch.step()
        assert watch.probes == before


async def test_silence_is_broken_off_when_a_probe_is_met_with_silence_too(
    residual_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cloud_watch, "SILENCE_S", -1.0)
    monkeypatch.setattr(cloud_watch, "_PROBE_LIMIT_S", 0.05)
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
        assert client.watch is not None
        assert client._watching is not None
        client._watching.cancel()
        waiting = asyncio.create_task(client.infer(inputs))
        await asked.wait()
        await client.watch.step()
        assert not waiting.done()  # the server is slow, and alive
        cloud.probe = hang  # type: ignore[method-assign]
        await client.watch.step()
        result = await waiting
        assert (result.served_by, client._breaker.is_open) == (ServedBy.EDGE, True)
        assert result.reason.startswith("cloud unreachable")
        never.set()


def controller(bundle: Bundle) -> Controller:
    return Controller(bundle, Stages(bundle, RuntimeOptions()), Breaker(), PolicySettings())


def test_cut_that_is_held_while_a_frame_is_decided_stays_and_costs_no_frame(
    residual_bundle: Bundle, planned: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    control = controller(residual_bundle)
    stages, held = control._stages, choose(residual_bundle, "cut-02", None, "held")
    control.follow(planned, planned.best, "the plan's best", Limits())
    stages.warm(EDGE)
    holding = threading.Thread(target=control.hold, args=[held])

    def prefetch(_side: str, _cut: str) -> None:
        """In the midst of a move: let the caller's thread hold the cut, if it may."""
        if holding.ident is None:
            holding.start()
            holding.join(0.05)

    monkeypatch.setattr(stages, "prefetch", prefetch)
    control.learned._link = LinkEstimator(Link(0.2e6, 0.2e6, 0.0005))
    assert control.next(perf_counter()).cut.id == EDGE  # it moves, and so loads ahead
    holding.join()
    assert control.current == control.next(perf_counter()) == held
    control.expect_exits([Rung()])
    assert control.next(perf_counter()) == held
    stages.close()


def test_option_over_the_limits_knocks_out_none_that_fits(
    residual_bundle: Bundle, planned: Plan
) -> None:
    control = controller(residual_bundle)
    best = planned.best
    # Slower than the best in every respect, and the only one that fits; `edge` does not either.
    small = replace(best, codec="half", edge_s=best.edge_s + 0.001, edge_memory_bytes=10)
    large = tuple(replace(option, edge_memory_bytes=1000) for option in planned.options)
    control.follow(replace(planned, options=(*large, small)), small, "", Limits(memory_bytes=10))
    assert control.next(perf_counter()).label == small.label
    control._stages.close()


async def test_plan_without_an_option_within_the_memory_is_refused(
    residual_bundle: Bundle, planned: Plan
) -> None:
    async with AsyncEdgeClient(None, residual_bundle, EDGE) as client:
        with pytest.raises(UsageError, match="memory budget"):
            client.control.follow(planned, planned.best, "", Limits(message_bytes=-1))


@pytest.mark.parametrize("deadline_s", [0.0, -1.0, float("nan")])
def test_deadline_of_nothing_is_refused(residual_bundle: Bundle, deadline_s: float) -> None:
    with pytest.raises(UsageError, match="a deadline of .* cannot be met"):
        AsyncEdgeClient(None, residual_bundle, EDGE, deadline_s=deadline_s)


async def test_oldest_frame_has_the_device_first() -> None:
    device, order = ComputeThread(), list[str]()
    held = threading.Event()
    blocker = asyncio.create_task(device.run(0.0, held.wait))
    await asyncio.sleep(0)
    later = [
        asyncio.create_task(device.run(arrived, lambda name=name: order.append(name)))
        for arrived, name in ((3.0, "new head"), (1.0, "old tail"), (2.0, "given up"))
    ]
    await asyncio.sleep(0)
    later[2].cancel()
    await asyncio.sleep(0)
    held.set()
    await asyncio.gather(blocker, *later, return_exceptions=True)
    device.close()
    assert order == ["old tail", "new head"]


async def test_device_is_free_when_nothing_runs_or_waits() -> None:
    device, held = ComputeThread(), threading.Event()
    assert device.is_free
    running = asyncio.create_task(device.run(0.0, held.wait))
    waiting = asyncio.create_task(device.run(1.0, lambda: None))
    await asyncio.sleep(0)
    waiting.cancel()
    free = asyncio.create_task(device.until_free())
    await asyncio.sleep(0.02)
    assert not device.is_free
    assert not free.done()
    held.set()
    await asyncio.gather(running, free)
    await asyncio.sleep(0.02)
    assert device.is_free
    device.close()


@pytest.mark.parametrize("cut", [EDGE, "cut-04"])
async def test_no_frame_waits_for_the_device_until_its_deadline(
    residual_bundle: Bundle, cut: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Six frames at once into a window of 4: each head takes 0.1 s, and only two fit into the deadline."""
    run_head = Stages.run_head

    def slowly(self: Stages, cut: str, inputs: Any) -> Any:
        sleep(0.1)
        values, _ = run_head(self, cut, inputs)
        return values, 0.1

    monkeypatch.setattr(Stages, "run_head", slowly)
    async with (
        FakeCloud(residual_bundle) as cloud,
        AsyncEdgeClient(cloud.address, residual_bundle, cut, deadline_s=0.25) as client,
    ):
        inputs = frames(residual_bundle, 6)
        results = [each async for each in client.stream(inputs, on_error="result")]
        assert not client.control.learned.device_paced
    assert ServedBy.NONE not in {result.served_by for result in results}
    assert max(result.latency_s for result in results) < 0.25


async def test_frames_that_the_source_brings_late_were_not_held(residual_bundle: Bundle) -> None:
    """A camera of 25 frames a second: the device is busy when the next is asked for, and not for long."""

    async def camera(period_s: float) -> AsyncIterator[Any]:
        for inputs in frames(residual_bundle, 10):
            await asyncio.sleep(period_s)
            yield inputs

    async with (
        FakeCloud(residual_bundle) as cloud,
        AsyncEdgeClient(cloud.address, residual_bundle, "cut-04", deadline_s=2.0) as client,
    ):
        learned = client.control.learned
        learned.begin(Link(1e6, 1e6, 0.01))
        async for _ in client.stream(camera(0.04)):
            seen = learned.conditions(perf_counter(), NO_POWER_DEMAND, reachable=True)
            assert seen.device_paced
        assert seen.frame_period_s is not None
        assert seen.frame_period_s >= 0.04
        assert not learned.device_paced


@pytest.mark.parametrize(("beat_s", "held"), [(0.0, True), (0.066, False)])
async def test_frame_is_held_only_by_a_device_that_the_source_has_not_to_be_waited_for_after(
    beat_s: float, *, held: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A steady camera's next frame comes when it does, though the device is busy for most of the time."""
    now = 0.0

    class Busy(ComputeThread):
        """Each frame takes 40 ms of it, by a clock of the test's."""

        @property
        def is_free(self) -> bool:
            return False

        async def until_free(self) -> None:
            nonlocal now
            now += 0.04

    async def source() -> AsyncIterator[float]:
        nonlocal now
        for index in count(1):
            now = max(now, beat_s * index)
            yield now

    monkeypatch.setattr(feed, "perf_counter", lambda: now)
    taken = WhenFree(source(), Busy())
    found = []
    for _ in range(4):
        await anext(taken)
        found.append(taken.held)
    assert found == 4 * [held]


async def test_what_work_raises_is_raised_where_it_is_waited_for() -> None:
    device = ComputeThread()
    with pytest.raises(UsageError, match="no"):
        await device.run(0.0, lambda: (_ for _ in ()).throw(UsageError("no")))
    device.close()
    device.close()


def test_stages_stay_within_their_memory_and_the_one_in_use_stays(
    residual_bundle: Bundle,
) -> None:
    stages = Stages(residual_bundle, RuntimeOptions(), memory_bytes=2_500_000)
    stages.know(profile_of(residual_bundle, 0.01))  # a million bytes each
    for cut in ("cut-01", "cut-02", "cut-03"):
        stages.warm(cut)
    assert [stages.is_loaded("head", f"cut-0{n}") for n in (1, 2, 3)] == [False, True, True]
    tight = Stages(residual_bundle, RuntimeOptions(), memory_bytes=900_000)
    tight.know(profile_of(residual_bundle, 0.01))
    tight.prefetch("head", "cut-01")
    with pytest.raises(UsageError, match="the head of cut-02 takes about 1.00 MB"):
        tight.warm("cut-02")
    assert not tight.is_loaded("head", "cut-01")


async def test_frame_takes_what_was_decided_for_it_unless_more_is_learnt(
    residual_bundle: Bundle, planned: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    decisions: list[float] = []
    decide = controlling.decide_bounded

    def counted(*arguments: Any) -> Any:
        decisions.append(perf_counter())
        return decide(*arguments)

    async with (
        FakeCloud(residual_bundle) as cloud,
        AsyncEdgeClient(cloud.address, residual_bundle, "cut-01") as client,
    ):
        follow(client, planned)
        await loaded(client, EDGE)
        await loaded(client, planned.best.cut)
        see(client, 0.2e6)
        monkeypatch.setattr(controlling, "decide_bounded", counted)
        begun = perf_counter()  # a frame a second
        client.control.think_ahead()
        assert client.choice.cut.id == planned.best.cut  # until a frame takes it
        assert client.control.next(begun).cut.id == EDGE
        assert len(decisions) == 1 + LIKELY_HEADS
        client.control.think_ahead()
        see(client, 1e9)
        moved = client.control.next(begun + 1)
        assert moved.cut.id == planned.best.cut
        client.control.think_ahead()
        client._breaker.trip(UnreachableError("gone."), perf_counter())
        assert client.control.next(begun + 2).cut.id == EDGE
        assert client.control.switches == 3


async def test_next_frame_is_decided_for_after_each_one(
    residual_bundle: Bundle, planned: Plan
) -> None:
    (inputs,) = frames(residual_bundle, 1)
    async with (
        FakeCloud(residual_bundle) as cloud,
        AsyncEdgeClient(cloud.address, residual_bundle, "cut-01") as client,
    ):
        await client.infer(inputs)
        assert client._thinking is None  # a cut that is fixed needs no thought
        follow(client, planned)
        await client.infer(inputs)
        assert client._thinking is not None
        due_at = client._thinking.when()
        await client.infer(inputs)
        assert client._thinking.when() > due_at
    assert client._thinking is None
