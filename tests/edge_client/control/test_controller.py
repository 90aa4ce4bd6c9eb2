"""The edge that adapts: the cut moves with what is seen, deadlines hold, and no frame is lost."""

import asyncio
import threading
from dataclasses import replace
from time import perf_counter
from typing import Any

import pytest

from edge_client.client.async_client import AsyncEdgeClient
from edge_client.control import controller as controlling
from edge_client.control import offer
from edge_client.control.controller import Controller
from edge_client.control.offer import Limits
from edge_client.frames.choice import choose
from edge_client.frames.result import ServedBy
from edge_client.frames.stages import Stages
from partitioner.bundle.bundle import Bundle
from partitioner.estimators.circuit_breaker import Breaker
from partitioner.estimators.link_estimator import LinkEstimator
from partitioner.exits.ladder import Rung
from partitioner.network.link import Link
from partitioner.planning.plan import Plan
from partitioner.policy.settings import PolicySettings
from partitioner.runtime.sessions import RuntimeOptions
from protos.errors import OverloadedError, UsageError
from protos.inference_pb2 import ModelInferRequest
from protos.names import EDGE
from tests.kit.clients import follow, loaded, look_again, lose_cloud, see, stages_of
from tests.kit.fake_cloud import FakeCloud, error_answer, silence
from tests.kit.frames import assert_same, frames, whole

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


async def test_move_waits_until_the_head_is_open(residual_bundle: Bundle, planned: Plan) -> None:
    (inputs,) = frames(residual_bundle, 1)
    async with (
        FakeCloud(residual_bundle) as cloud,
        AsyncEdgeClient(cloud.address, residual_bundle, "cut-01") as client,
    ):
        stages = stages_of(client)
        stages._opening.acquire()  # whatever is to be loaded has to wait
        await client.infer(inputs)
        follow(client, planned)
        client.control.stay_at(client.choice)
        stages._opening.release()
        follow(client, planned)
        stages._opening.acquire()
        for name in residual_bundle.cuts:
            if name != planned.best.cut:
                stages._stages.pop(("head", name), None)
        see(client, 0.2e6)
        assert client.control.next(perf_counter()).cut.id == planned.best.cut
        stages._opening.release()
        await loaded(client, EDGE)
        assert client.control.next(perf_counter()).cut.id == EDGE


async def test_look_is_one_frame_even_where_the_next_move_waits_for_its_head(
    residual_bundle: Bundle, planned: Plan
) -> None:
    async with (
        FakeCloud(residual_bundle) as cloud,
        AsyncEdgeClient(cloud.address, residual_bundle, "cut-01") as client,
    ):
        follow(client, planned)
        see(client, 0.2e6)  # asks for a move here
        control, stages = client.control, stages_of(client)
        look = next(each for each in planned.options if each.cut not in (planned.best.cut, EDGE))
        bounded = control._bounded
        assert bounded is not None
        habit = bounded.decision.option
        decision = replace(bounded.decision, option=look, habit=habit, habit_said="as planned")
        control._bounded = replace(bounded, decision=decision)
        stages._opening.acquire()
        try:
            stages._stages.pop(("head", EDGE), None)
            assert control.next(perf_counter()).cut.id == habit.cut
        finally:
            stages._opening.release()


@pytest.mark.parametrize("how", [{"hedge": "off"}, {"on_failure": "fail", "hedge": "auto"}])
def test_policy_counts_on_no_hedges_where_there_are_none(
    how: dict[str, Any], residual_bundle: Bundle
) -> None:
    client = AsyncEdgeClient("localhost:1", residual_bundle, "auto", **how)
    assert client.control.settings.hedged_share == 0
    usual = AsyncEdgeClient("localhost:1", residual_bundle, "auto", hedge="auto")
    assert usual.control.settings.hedged_share == 0.2


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
            assert (result.cut, result.reason) == (EDGE, "the cloud is overloaded; edge needs none")
        assert len(cloud.requests) == sent
        cloud.answer = cloud.infer
        await look_again(client)
        back = await client.infer(inputs)
        assert (back.served_by, client.trouble) == (ServedBy.CLOUD, None)
        assert back.reason.startswith("the cloud can be used again")
        assert client.fallbacks == {"cloud overloaded": 1}


@pytest.mark.slow
async def test_hundred_moves_in_a_stream_cost_no_frame_and_change_no_answer(
    residual_bundle: Bundle, planned: Plan
) -> None:
    inputs = frames(residual_bundle, 150)
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
    assert [result.frame for result in results] == list(range(150))
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
        # What it takes in truth; the rest of the time is for a machine that is busy.
        known["tail", "cut-04"] = 0.001
        return None

    async with (
        FakeCloud(residual_bundle, silent) as cloud,
        AsyncEdgeClient(cloud.address, residual_bundle, "cut-04", deadline_s=31.0) as client,
    ):
        await asyncio.to_thread(stages_of(client).warm, "cut-04")
        known = stages_of(client)._seconds
        known["tail", "cut-04"] = 30.0 / 1.2
        result = await client.infer(inputs)
    assert result.served_by is ServedBy.EDGE
    assert result.reason.startswith("cloud too slow")
    assert 0 < result.timings.network_s < 31.0 - result.timings.edge_s
    assert result.latency_s <= 31.0
    assert_same(result.outputs, whole(residual_bundle, inputs))


async def test_frame_that_cannot_be_finished_in_time_is_an_error_result_in_time(
    residual_bundle: Bundle,
) -> None:
    (inputs,) = frames(residual_bundle, 1)
    async with (
        FakeCloud(residual_bundle, silence) as cloud,
        AsyncEdgeClient(cloud.address, residual_bundle, "cut-04", deadline_s=1.0) as client,
    ):
        stages_of(client)._seconds["tail", "cut-04"] = 60.0
        result = await client.infer(inputs)
    assert result.served_by is ServedBy.NONE
    assert "the deadline of 1.00 s cannot be met: cloud too slow" in result.reason
    assert result.error is not None
    assert result.latency_s < 60.0
    assert result.upload_bytes > 0


async def test_head_that_outlasts_the_deadline_is_not_waited_for(residual_bundle: Bundle) -> None:
    (inputs,) = frames(residual_bundle, 1)
    async with AsyncEdgeClient(None, residual_bundle, EDGE, deadline_s=0.05) as client:
        with stages_of(client)._turn:
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


def controller(bundle: Bundle) -> Controller:
    return Controller(bundle, Stages(bundle, RuntimeOptions()), Breaker(), PolicySettings())


def test_cut_that_is_held_while_a_frame_is_decided_stays_and_costs_no_frame(
    residual_bundle: Bundle, planned: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    control = controller(residual_bundle)
    stages, held = control._stages, choose(residual_bundle, "cut-02", None, "held")
    control.follow(planned, planned.best, "the plan's best", Limits())
    stages.warm(EDGE)
    holding = threading.Thread(target=control.stay_at, args=[held])

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
        monkeypatch.setattr(offer, "decide_bounded", counted)
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
        lose_cloud(client, perf_counter())
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
        assert client.pipeline.lookahead.timer is None  # a cut that is fixed needs no thought
        follow(client, planned)
        await client.infer(inputs)
        assert client.pipeline.lookahead.timer is not None
        due_at = client.pipeline.lookahead.timer.when()
        await client.infer(inputs)
        assert client.pipeline.lookahead.timer.when() > due_at
    assert client.pipeline.lookahead.timer is None
