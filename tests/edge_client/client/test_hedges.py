"""Frames whose answer is late: what the idle device does meanwhile, who is first, and what is learnt."""

import asyncio
import threading
from collections.abc import Callable
from time import perf_counter
from typing import Any

import grpc
import pytest

from edge_client.client.async_client import AsyncEdgeClient
from edge_client.client.local_finish import HedgeRun
from edge_client.client.options import ClientOptions
from edge_client.client.sync_client import EdgeClient
from edge_client.cloud.transport import GrpcTransport
from edge_client.frames.prepared_frame import PreparedFrame
from edge_client.frames.result import Result, ServedBy
from edge_client.relay.relay import Relay
from partitioner.bundle.bundle import Bundle
from partitioner.network.link import Link
from partitioner.planning.plan import Plan
from partitioner.policy.hedges import Hedging, answer_later
from partitioner.runtime.interruption import Interruption
from protos.errors import LateError, UsageError
from protos.inference_pb2 import ModelInferRequest
from protos.names import EDGE
from protos.tensors import Array
from tests.kit.clients import (
    breaker_of,
    follow,
    loaded,
    look_again,
    overtaken_end,
    see,
    stages_of,
    stop_watching,
)
from tests.kit.exit_models import answer_of_exit, colours, exit_cuts
from tests.kit.fake_cloud import FakeCloud, Withheld, answering, error_answer, silence
from tests.kit.frames import assert_same, frames, whole
from tests.kit.waiting import PATIENCE_S

CUT = "cut-04"


def assert_device_first(result: Result, after_s: float = 0.0) -> None:
    assert result.served_by is ServedBy.EDGE
    assert result.reason.startswith("the answer of the cloud was late: hedged after ")
    assert result.reason.endswith("; this device was first.")
    assert result.fallback is None
    assert result.hedged is not None
    assert result.hedged.device_first
    assert result.hedged.after_s >= after_s
    assert result.hedged.dropped_s == 0.0
    stages = vars(result.timings).copy()
    assert stages.pop("latency_s") == pytest.approx(sum(stages.values()))


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], None]], None]:
    """Calls back in the event loop once the device has begun a hedge, which then waits to be dropped."""
    begin = HedgeRun.begin

    def when(callback: Callable[[], None]) -> None:
        loop = asyncio.get_running_loop()

        def waiting(run: HedgeRun) -> Interruption:
            interruption = begin(run)
            loop.call_soon_threadsafe(callback)
            assert interruption._asked.wait(30)
            return interruption

        monkeypatch.setattr(HedgeRun, "begin", waiting)

    return when


async def test_device_that_is_first_gives_the_result_and_the_late_answer_still_teaches(
    residual_bundle: Bundle,
) -> None:
    (inputs,) = frames(residual_bundle, 1)
    async with (
        FakeCloud(residual_bundle) as cloud,
        AsyncEdgeClient(cloud.address, residual_bundle, CUT, hedge=0.0) as client,
    ):
        withheld, learned = Withheld(cloud), client.control.learned
        result = await client.infer(inputs)
        assert_device_first(result)
        assert_same(result.outputs, whole(residual_bundle, inputs))
        assert result.upload_bytes > 0
        assert client.hedges.device_first == client.hedges.begun == 1
        assert (client.trouble, dict(client.fallbacks)) == (None, {})
        assert learned.usual_s(result.cut + "/raw") is None
        withheld.let_go()
        await overtaken_end(client)
        assert learned.usual_s(result.cut + "/raw") is not None
        assert learned.crossed_at > 0
        assert client.hedges.unused_answers == 1
        assert not breaker_of(client).is_open


async def test_cloud_that_is_first_gives_the_result_and_the_device_is_free_again(
    residual_bundle: Bundle, begun: Callable[[Callable[[], None]], None]
) -> None:
    inputs = frames(residual_bundle, 2)
    async with (
        FakeCloud(residual_bundle) as cloud,
        AsyncEdgeClient(cloud.address, residual_bundle, CUT, hedge=0.0) as client,
    ):
        begun(Withheld(cloud).let_go)
        result = await client.infer(inputs[0])
        assert result.served_by is ServedBy.CLOUD
        assert result.hedged is not None
        assert not result.hedged.device_first
        assert result.hedged.dropped_s > 0
        assert_same(result.outputs, whole(residual_bundle, inputs[0]))
        counts = client.hedges
        assert (counts.cloud_first, counts.device_first) == (1, 0)
        assert counts.dropped_s == result.hedged.dropped_s
        assert counts.unused_answers == 0
        client.version.completion._hedges._hedging = Hedging("off")
        cloud.answer = answering(grpc.StatusCode.INTERNAL, "not now.")
        after = await client.infer(inputs[1])  # the tail that was ended runs again, and rightly
    assert after.served_by is ServedBy.EDGE
    assert_same(after.outputs, whole(residual_bundle, inputs[1]))


async def test_cloud_that_fails_while_the_device_is_at_it_costs_no_second_run(
    residual_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    (inputs,) = frames(residual_bundle, 1)
    begun, failed = asyncio.Event(), threading.Event()
    begin, runs, loop = HedgeRun.begin, list[HedgeRun](), asyncio.get_running_loop()

    async with (
        FakeCloud(residual_bundle) as cloud,
        AsyncEdgeClient(cloud.address, residual_bundle, CUT, hedge=0.0) as client,
    ):

        def waiting(run: HedgeRun) -> Interruption:
            runs.append(run)
            interruption = begin(run)
            loop.call_soon_threadsafe(begun.set)
            assert failed.wait(30)
            return interruption

        def fail(*failure: Any) -> None:
            count(*failure)
            failed.set()

        async def refuse(header: ModelInferRequest, _raw: list[memoryview]) -> bytes:
            await begun.wait()
            return error_answer(header, grpc.StatusCode.INTERNAL, "it broke.")

        count = breaker_of(client).failed
        monkeypatch.setattr(breaker_of(client), "failed", fail)
        monkeypatch.setattr(HedgeRun, "begin", waiting)
        cloud.answer = refuse
        result = await client.infer(inputs)
        assert result.served_by is ServedBy.EDGE
        assert result.reason.startswith("cloud failed: it broke")
        assert dict(client.fallbacks) == {"cloud failed": 1}
        assert_same(result.outputs, whole(residual_bundle, inputs))
        assert len(runs) == 1


async def test_hedge_that_is_off_leaves_a_late_frame_to_the_timeout(
    residual_bundle: Bundle,
) -> None:
    (inputs,) = frames(residual_bundle, 1)
    async with (
        FakeCloud(residual_bundle, silence) as cloud,
        AsyncEdgeClient(cloud.address, residual_bundle, CUT, hedge="off", timeout_s=0.05) as client,
    ):
        result = await client.infer(inputs)
    assert result.reason.startswith("cloud too slow")
    assert result.hedged is None
    assert client.hedges.begun == 0


async def test_hedge_of_a_given_time_begins_then(residual_bundle: Bundle) -> None:
    inputs = frames(residual_bundle, 2)
    async with (
        FakeCloud(residual_bundle) as cloud,
        AsyncEdgeClient(cloud.address, residual_bundle, CUT, hedge=0.03) as client,
    ):
        Withheld(cloud)
        assert_device_first(await client.infer(inputs[0]), after_s=0.03)
        cloud.answer = cloud.infer
        client.version.completion._hedges._hedging = Hedging(
            30.0
        )  # an answer in time is never hedged
        result = await client.infer(inputs[1])
    assert (result.served_by, result.hedged) == (ServedBy.CLOUD, None)


async def test_no_more_frames_are_hedged_than_the_share(residual_bundle: Bundle) -> None:
    inputs = frames(residual_bundle, 14)
    async with (
        FakeCloud(residual_bundle) as cloud,
        AsyncEdgeClient(cloud.address, residual_bundle, CUT, hedge=0.0, window=10) as client,
    ):
        withheld = Withheld(cloud)
        first = [await client.infer(each) for each in inputs[:10]]
        withheld.let_go()
        await overtaken_end(client)
        rest = [await client.infer(each) for each in inputs[10:]]
        await overtaken_end(client)
    assert [result.served_by for result in first] == [ServedBy.EDGE] * 10
    # A fifth of 14 frames is less than the 10 of the beginning.
    assert [(result.served_by, result.hedged) for result in rest] == [(ServedBy.CLOUD, None)] * 4


async def test_frames_of_a_window_are_hedged_oldest_first_and_come_in_order(
    residual_bundle: Bundle,
) -> None:
    inputs = frames(residual_bundle, 4)
    async with (
        FakeCloud(residual_bundle) as cloud,
        AsyncEdgeClient(cloud.address, residual_bundle, CUT, hedge=0.0, window=4) as client,
    ):
        withheld = Withheld(cloud)
        results = [result async for result in client.stream(inputs)]
        withheld.let_go()
        await overtaken_end(client)
    assert [result.frame for result in results] == [0, 1, 2, 3]
    for result, frame in zip(results, inputs, strict=True):
        assert_device_first(result)
        assert_same(result.outputs, whole(residual_bundle, frame))
    assert client.hedges.unused_answers == 4


async def test_hedge_under_a_deadline_is_in_time_and_gives_way_where_the_tail_does_not_fit(
    residual_bundle: Bundle,
) -> None:
    inputs = frames(residual_bundle, 2)
    async with (
        FakeCloud(residual_bundle) as cloud,
        AsyncEdgeClient(cloud.address, residual_bundle, CUT, hedge=0.0, deadline_s=20.0) as client,
    ):
        withheld = Withheld(cloud)
        assert_device_first(await client.infer(inputs[0]))
        withheld.let_go()
        await overtaken_end(client)
        stages_of(client)._seconds["tail", CUT] = 100.0  # more than the deadline
        result = await client.infer(inputs[1])
    assert (result.served_by, result.hedged) == (ServedBy.CLOUD, None)


async def test_no_more_is_sent_while_a_window_of_requests_that_lost_is_unanswered(
    residual_bundle: Bundle,
) -> None:
    """Else frames that the device finishes would fill the uplink of a fixed cut for ever."""
    inputs = frames(residual_bundle, 6)
    async with (
        FakeCloud(residual_bundle) as cloud,
        AsyncEdgeClient(cloud.address, residual_bundle, CUT, hedge=0.0, window=2) as client,
    ):
        withheld = Withheld(cloud)
        results = [await client.infer(each) for each in inputs[:5]]
        assert [result.upload_bytes > 0 for result in results] == [True, True, False, False, False]
        assert {result.served_by for result in results} == {ServedBy.EDGE}
        assert "2 requests of earlier frames wait for their answers" in results[-1].reason
        assert client.trouble is None  # nothing that the cloud has done
        withheld.let_go()
        await overtaken_end(client)
        assert (await client.infer(inputs[5])).upload_bytes > 0


async def test_device_with_heads_alone_is_first_by_its_exit(exiting: Bundle, held: Bundle) -> None:
    images, _ = colours(1, seed=3)
    cut = exit_cuts(held)[0]
    async with (
        FakeCloud(exiting) as cloud,
        AsyncEdgeClient(cloud.address, held, cut, hedge=0.0) as client,
    ):
        Withheld(cloud)
        result = await client.infer({"x": images[0][None]})
    outputs, confidence = answer_of_exit(held, cut, images[0])
    assert result.served_by is ServedBy.EXIT
    assert result.hedged is not None
    assert "this device was first. Taken from the exit, as no tail is here" in result.reason
    assert f"confidence {confidence:.3f}" in result.reason
    assert_same(result.outputs, outputs)


async def test_time_out_of_an_overtaken_request_counts_as_the_clouds_failure_only_then(
    residual_bundle: Bundle,
) -> None:
    (inputs,) = frames(residual_bundle, 1)
    async with (
        FakeCloud(residual_bundle, silence) as cloud,
        AsyncEdgeClient(cloud.address, residual_bundle, CUT, hedge=0.0, timeout_s=1.0) as client,
    ):
        assert_device_first(await client.infer(inputs))
        assert client.trouble is None
        await overtaken_end(client)
        assert isinstance(client.trouble, LateError)
        assert client.hedges.unused_answers == 0
        cloud.answer = cloud.infer
        await look_again(client)
        assert client.trouble is None or not client.cloud_is_away


async def test_silent_link_is_believed_to_be_out_before_the_time_out(
    residual_bundle: Bundle, planned: Plan
) -> None:
    inputs = frames(residual_bundle, 4)
    async with (
        FakeCloud(residual_bundle, silence) as cloud,
        AsyncEdgeClient(cloud.address, residual_bundle, "cut-01", hedge=0.2) as client,
    ):
        follow(client, planned)
        await loaded(client, "edge")
        see(client, 1e9)
        results = [await client.infer(each) for each in inputs]
    assert_device_first(results[0])
    cuts = [result.cut for result in results]
    assert cuts == [planned.best.cut, "edge", "edge", "edge"]  # while the first one is waited for
    assert client.trouble is None


async def test_hedge_is_due_when_the_policys_own_numbers_say_so(
    residual_bundle: Bundle, planned: Plan
) -> None:
    (inputs,) = frames(residual_bundle, 1)
    async with (
        FakeCloud(residual_bundle) as cloud,
        AsyncEdgeClient(cloud.address, residual_bundle, "cut-01", hedge="auto") as client,
    ):
        follow(client, planned)
        see(client, 50e6)
        choice = client.control.next(perf_counter())
        stages_of(client).rehearse_tail(choice.cut.id)
        work = client.version.runner.prepare(inputs, 0, 0.0, float("inf"), choice)
        hedges = client.version.completion._hedges
        way = hedges.enter(work, GrpcTransport(cloud.address))
        assert way is not None
        hedge = hedges.plan(work, way)
        assert choice.option is not None
        seen = client.control.conditions(perf_counter())
        later = answer_later(
            choice.option, seen, len(work.message or b"") - choice.option.upload_bytes
        )
        tail_s = stages_of(client).tail_s(choice.cut.id)
        assert tail_s is not None
        wanted_s = Hedging().after_s(later, tail_s)
        assert hedge is not None
        assert hedge.after_s == pytest.approx(wanted_s, rel=0.01, abs=1e-4)


async def test_cut_without_a_plan_is_hedged_by_what_its_answers_have_taken(
    residual_bundle: Bundle,
) -> None:
    inputs = frames(residual_bundle, 7)
    async with (
        FakeCloud(residual_bundle) as cloud,
        AsyncEdgeClient(cloud.address, residual_bundle, CUT, hedge="auto") as client,
    ):
        stop_watching(client)
        hedges, planned = client.version.completion._hedges, []
        enter = hedges.enter

        def noting(work: PreparedFrame, transport: GrpcTransport) -> None:
            way = enter(work, transport)
            assert way is not None
            planned.append(hedges.plan(work, way))  # and all wait for the cloud

        hedges.enter = noting  # type: ignore[method-assign]
        for each in inputs:
            await client.infer(each)
    assert planned[:5] == [None] * 5
    assert all(hedge.after_s > hedge.expected_s > 0 for hedge in planned[5:])  # tails are not open


async def test_blocking_client_hedges_too(residual_bundle: Bundle) -> None:
    (inputs,) = frames(residual_bundle, 1)

    def infer(address: str) -> tuple[Result, int]:
        with EdgeClient(address, residual_bundle, CUT, hedge=0.0) as client:
            return client.infer(inputs), client.hedges.device_first

    async with FakeCloud(residual_bundle, silence) as cloud:
        result, device_first = await asyncio.to_thread(infer, cloud.address)
    assert_device_first(result)
    assert device_first == 1


def test_frames_that_are_to_fail_without_the_cloud_are_never_hedged() -> None:
    assert ClientOptions("c:1", "b", on_failure="fail", hedge="auto").hedging.after == "off"
    assert ClientOptions("c:1", "b", hedge=0.08).hedging.after == 0.08
    with pytest.raises(UsageError, match="a hedge finishes frames here"):
        ClientOptions("c:1", "b", on_failure="fail", hedge=0.08)
    with pytest.raises(UsageError, match="neither auto, off nor 0 s or more"):
        ClientOptions("c:1", "b", hedge="soon")
    with pytest.raises(UsageError, match="neither auto, off nor 0 s or more"):
        ClientOptions("c:1", "b", hedge=-1.0)


async def until_served_by_cloud(client: AsyncEdgeClient, inputs: dict[str, Array]) -> Result:
    """Ask until the cloud answers; its link is a good one, whatever a busy machine has made of it."""
    async with asyncio.timeout(PATIENCE_S):
        while (result := await client.infer(inputs)).served_by is not ServedBy.CLOUD:
            if not client.cloud_is_away:
                see(client, 1e9)
        return result


@pytest.mark.slow
async def test_no_frame_of_an_outage_waits_for_the_time_out_and_the_cloud_is_used_again(
    residual_bundle: Bundle, residual_address: str, planned: Plan
) -> None:
    link, inputs = Link(50e6, 50e6, 0.004), frames(residual_bundle, 20)
    timeout_s = 60.0
    async with (
        Relay("127.0.0.1:0", residual_address, link) as relay,
        AsyncEdgeClient(
            relay.address, residual_bundle, "cut-01", hedge=0.3, timeout_s=timeout_s
        ) as client,
    ):
        follow(client, planned, watched=True)
        await loaded(client, EDGE)
        before = [await until_served_by_cloud(client, each) for each in inputs[:10]]
        relay.set_link(None)
        during = [await client.infer(each) for each in inputs[10:]]
        relay.set_link(link)
        after = await until_served_by_cloud(client, inputs[0])
        counts = client.hedges
    assert {result.served_by for result in during} == {ServedBy.EDGE}
    assert counts.device_first >= 1
    assert max(result.latency_s for result in during) < timeout_s
    for result, frame in zip([*before, *during, after], [*inputs, inputs[0]], strict=True):
        assert_same(result.outputs, whole(residual_bundle, frame))
