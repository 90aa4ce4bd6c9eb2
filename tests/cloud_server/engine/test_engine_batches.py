"""Requests that are computed together: each gets its own answer, whatever becomes of the others."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager

import numpy as np
import pytest

from cloud_server.engine.admission import QueueLimits
from cloud_server.engine.batch_rules import BatchRules, QueuePolicy
from cloud_server.engine.engine import Engine
from cloud_server.engine.rule_book import RuleBook
from cloud_server.engine.workers import Workers
from cloud_server.models.model_store import ModelStore
from cloud_server.models.version import Version
from partitioner.bundle.bundle import Bundle
from partitioner.runtime.sessions import RuntimeOptions, Stage
from protos.codecs.calibration import Calibration
from protos.codecs.registry import RAW, get_codec
from protos.errors import CalibrationError, FaultError, LateError, TensorError
from protos.inference_pb2 import ModelInferRequest
from protos.names import (
    PARAM_BATCH_SIZE,
    PARAM_CALIBRATION_DIGEST,
    PARAM_COMPUTE_NS,
    PARAM_DECODE_NS,
    PARAM_PRIORITY,
    PARAM_QUEUE_NS,
    PARAM_TIMEOUT,
    model_name,
)
from protos.serving.answers import Job, answer
from protos.tensors import Array
from protos.wire.framing import decode_response, encode_response
from protos.wire.messages import unpack_response
from tests.kit.calibrations import ranges
from tests.kit.cloud_calls import TIMEOUT_S, Gate, crossing, request_for

CUT = "cut-02"
EIGHT = BatchRules(max_batch_size=8)
Outputs = dict[str, Array]
Found = tuple[Mapping[str, int], Outputs]


class Desk:
    """An engine with one worker, which the test holds until it has laid out what shall go together."""

    def __init__(self, bundle: Bundle, engine: Engine, gate: Gate) -> None:
        self.bundle, self.engine, self.gate = bundle, engine, gate

    async def hold(self) -> None:
        """Give the worker something, so that all that follows waits."""
        while self.gate.entered.acquire(blocking=False):
            pass
        self.gate.opened.clear()
        self.held = self.send(self.request(99))
        await asyncio.to_thread(self.gate.entered.acquire, timeout=TIMEOUT_S)

    def request(self, seed: int, rows: int = 1) -> ModelInferRequest:
        return request_for(self.bundle, CUT, crossing(self.bundle, CUT, seed, rows))

    def send(self, request: ModelInferRequest, caller: str = "") -> "asyncio.Future[bytes]":
        job = Job(request.SerializeToString(), encode_response, caller)
        return asyncio.ensure_future(answer(self.engine, job))

    async def alone(self, request: ModelInferRequest) -> Outputs:
        """The oracle: what the engine answers when nothing else is there."""
        params, outputs = read(await self.send(request))
        assert PARAM_BATCH_SIZE not in params
        return outputs


def read(data: bytes) -> Found:
    header, views = decode_response(data)
    params = {key: value.int64_param for key, value in header.parameters.items()}
    return params, unpack_response(header, views)


@asynccontextmanager
async def desk(
    bundle: Bundle,
    monkeypatch: pytest.MonkeyPatch,
    rules: BatchRules = EIGHT,
    depends: Callable[[Stage], str] | None = None,
) -> AsyncIterator[Desk]:
    store = ModelStore([Version.of(bundle)], RuntimeOptions())
    book = RuleBook(rules) if depends is None else RuleBook(rules, depends)
    limits = QueueLimits(requests=64, nbytes=1 << 30, wait_s=60.0)
    engine = Engine(store, 1, limits, max_decoded_bytes=1 << 24, rules=book)
    model = store.find(model_name(bundle.name, CUT))
    await book.prove(model, await store.load(model))
    gate = Gate(monkeypatch)
    gate.opened.set()
    try:
        yield Desk(bundle, engine, gate)
    finally:
        gate.opened.set()
        engine.close()
        store.close()


def assert_close(found: Mapping[str, Array], wanted: Mapping[str, Array]) -> None:
    """Equal but for the order in which a matrix product adds: some steps of float32."""
    assert found.keys() == wanted.keys()
    for name, array in wanted.items():
        assert found[name].shape == array.shape
        np.testing.assert_allclose(found[name], array, rtol=1e-5, atol=1e-6)


async def test_each_gets_its_own_rows_and_its_share_of_the_time(
    residual_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with desk(residual_bundle, monkeypatch) as at:
        requests = [at.request(seed, rows) for seed, rows in enumerate([1, 3, 1, 2])]
        alone = [await at.alone(request) for request in requests]
        await at.hold()
        sent = [at.send(request) for request in requests]
        await asyncio.sleep(0)
        at.gate.opened.set()
        found = [read(data) for data in await asyncio.gather(*sent)]
    for (_, outputs), wanted in zip(found, alone, strict=True):
        assert_close(outputs, wanted)
    assert [params[PARAM_BATCH_SIZE] for params, _ in found] == [7] * 4
    shares = [params[PARAM_COMPUTE_NS] for params, _ in found]
    assert shares[1] == pytest.approx(3 * shares[0], abs=3)
    assert shares[0] == shares[2]
    # What the others took is time in the queue, so that the parts of each add up to the whole.
    spans = [
        sum(params[key] for key in (PARAM_QUEUE_NS, PARAM_DECODE_NS, PARAM_COMPUTE_NS))
        for params, _ in found
    ]
    assert all(span >= sum(shares) for span in spans)


async def test_first_of_three_that_is_cancelled_takes_nothing_from_the_others(
    residual_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with desk(residual_bundle, monkeypatch) as at:
        requests = [at.request(seed) for seed in range(3)]
        alone = [await at.alone(request) for request in requests]
        await at.hold()
        first, *others = (at.send(request) for request in requests)
        await asyncio.sleep(0)
        first.cancel()
        await asyncio.sleep(0)
        at.gate.opened.set()
        for data, wanted in zip(await asyncio.gather(*others), alone[1:], strict=True):
            params, outputs = read(data)
            assert params[PARAM_BATCH_SIZE] == 2
            assert_close(outputs, wanted)
    assert first.cancelled()


async def test_first_of_three_that_is_cancelled_while_all_are_computed_takes_nothing_either(
    residual_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    three = BatchRules(max_batch_size=8, preferred_batch_size=(3,), max_queue_delay_us=10**9)
    async with desk(residual_bundle, monkeypatch, three) as at:
        tail = residual_bundle.open_tail(CUT)
        at.gate.opened.clear()
        first, *others = (at.send(at.request(seed)) for seed in range(3))
        await asyncio.to_thread(at.gate.entered.acquire, timeout=TIMEOUT_S)
        first.cancel()
        await asyncio.sleep(0)
        at.gate.opened.set()
        for seed, data in enumerate(await asyncio.gather(*others), 1):
            params, outputs = read(data)
            assert params[PARAM_BATCH_SIZE] == 3
            assert_close(outputs, tail.run(crossing(residual_bundle, CUT, seed)))
    assert first.cancelled()


@pytest.mark.parametrize("found_out_by", ["queue", "worker"])
async def test_what_was_given_up_is_never_begun(
    residual_bundle: Bundle, monkeypatch: pytest.MonkeyPatch, found_out_by: str
) -> None:
    """It leaves the queue; and a worker that has just taken it leaves it out."""
    rows: list[int] = []
    run = Stage.run

    def noted(stage: Stage, feeds: Mapping[str, Array]) -> Outputs:
        rows.append(len(next(iter(feeds.values()))))
        return run(stage, feeds)

    monkeypatch.setattr(Stage, "run", noted)
    if found_out_by == "worker":
        monkeypatch.setattr(Workers, "withdraw", lambda *_: False)
    async with desk(residual_bundle, monkeypatch) as at:
        await at.hold()
        sent = [at.send(at.request(seed)) for seed in range(5)]
        await asyncio.sleep(0)
        for future in sent[1:4]:
            future.cancel()
        await asyncio.sleep(0)
        if found_out_by == "queue":
            assert at.engine._workers.queue.requests == 2
        rows.clear()
        at.gate.opened.set()
        await asyncio.gather(sent[0], sent[4])
    assert rows == [1, 2]  # what held the worker, and the two that were left


def _short(request: ModelInferRequest) -> None:
    request.raw_input_contents[0] = request.raw_input_contents[0][:-4]


def _claims_more_rows(request: ModelInferRequest) -> None:
    request.inputs[0].shape[0] = 2


def _of_another_shape(request: ModelInferRequest) -> None:
    request.inputs[0].shape[1] -= 1


def _of_another_type(request: ModelInferRequest) -> None:
    request.inputs[0].datatype = "FP64"


def _asks_for_nonsense(request: ModelInferRequest) -> None:
    request.outputs.add(name="nothing")


@pytest.mark.parametrize(
    "spoil", [_short, _claims_more_rows, _of_another_shape, _of_another_type, _asks_for_nonsense]
)
async def test_malformed_request_is_refused_alone_and_nothing_of_it_reaches_a_batch(
    residual_bundle: Bundle,
    monkeypatch: pytest.MonkeyPatch,
    spoil: Callable[[ModelInferRequest], None],
) -> None:
    async with desk(residual_bundle, monkeypatch) as at:
        requests = [at.request(seed) for seed in range(4)]
        alone = [await at.alone(request) for request in requests]
        spoil(requests[1])
        await at.hold()
        sent = [at.send(request) for request in requests]
        await asyncio.sleep(0)
        at.gate.opened.set()
        found = await asyncio.gather(*sent, return_exceptions=True)
    assert isinstance(found[1], TensorError)
    for which in (0, 2, 3):
        data = found[which]
        assert isinstance(data, bytes)
        params, outputs = read(data)
        assert params[PARAM_BATCH_SIZE] == 3
        assert_close(outputs, alone[which])


async def test_batch_that_fails_is_tried_one_by_one_and_only_the_culprit_fails(
    residual_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, calls = Stage.run, itertools.count()

    def touchy(stage: Stage, feeds: Mapping[str, Array]) -> Outputs:
        next(calls)
        if any(np.isnan(array).any() for array in feeds.values()):
            raise FaultError("the runtime failed on this input.")
        return run(stage, feeds)

    monkeypatch.setattr(Stage, "run", touchy)
    async with desk(residual_bundle, monkeypatch) as at:
        requests = [at.request(seed) for seed in range(3)]
        alone = [await at.alone(request) for request in requests]
        bad = crossing(residual_bundle, CUT, 9)
        bad = {name: np.full_like(array, np.nan) for name, array in bad.items()}
        await at.hold()
        sent = [at.send(request) for request in (*requests, request_for(at.bundle, CUT, bad))]
        await asyncio.sleep(0)
        calls = itertools.count()
        at.gate.opened.set()
        *found, fault = await asyncio.gather(*sent, return_exceptions=True)
    assert isinstance(fault, FaultError)
    for data, wanted in zip(found, alone, strict=True):
        assert isinstance(data, bytes)
        params, outputs = read(data)
        assert PARAM_BATCH_SIZE not in params
        assert_close(outputs, wanted)
    assert next(calls) == 1 + 4 + 1  # together, one by one, and what held the worker


async def test_tail_that_returns_other_rows_than_it_was_given_answers_nobody_with_them(
    residual_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Stage.run

    def short(stage: Stage, feeds: Mapping[str, Array]) -> Outputs:
        found = run(stage, feeds)
        rows = len(next(iter(feeds.values())))
        return {name: array[: max(1, rows - 1)] for name, array in found.items()}

    monkeypatch.setattr(Stage, "run", short)
    async with desk(residual_bundle, monkeypatch, depends=lambda _: "") as at:
        requests = [at.request(seed) for seed in range(3)]
        alone = [await at.alone(request) for request in requests]
        await at.hold()
        sent = [at.send(request) for request in requests]
        await asyncio.sleep(0)
        at.gate.opened.set()
        for data, wanted in zip(await asyncio.gather(*sent), alone, strict=True):
            assert_close(read(data)[1], wanted)


async def test_outputs_that_one_request_asks_for_go_to_that_one_alone(
    bundles: Callable[[str], Bundle], monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = bundles("two_towers")
    cut = next(cut.id for cut in bundle.manifest.cuts if len(cut.tail_outputs) > 1)
    monkeypatch.setattr("tests.cloud_server.engine.test_engine_batches.CUT", cut)
    async with desk(bundle, monkeypatch) as at:
        requests = [at.request(seed) for seed in range(2)]
        alone = [await at.alone(request) for request in requests]
        names = sorted(alone[0])
        requests[0].outputs.add(name=names[0])
        await at.hold()
        sent = [at.send(request) for request in requests]
        await asyncio.sleep(0)
        at.gate.opened.set()
        few, all_ = [read(data) for data in await asyncio.gather(*sent)]
    assert few[0][PARAM_BATCH_SIZE] == 2
    assert sorted(few[1]) == names[:1]
    assert sorted(all_[1]) == names


async def test_one_session_answers_batches_of_changing_size_as_it_answers_alone(
    residual_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with desk(residual_bundle, monkeypatch) as at:
        requests = [at.request(seed) for seed in range(8)]
        alone = [await at.alone(request) for request in requests]
        for size in (8, 1, 5, 2, 8, 3, 1, 7):
            await at.hold()
            sent = [at.send(request) for request in requests[:size]]
            await asyncio.sleep(0)
            at.gate.opened.set()
            for data, wanted in zip(await asyncio.gather(*sent), alone, strict=False):
                params, outputs = read(data)
                assert params.get(PARAM_BATCH_SIZE, 1) == size
                assert_close(outputs, wanted)
            await at.held


async def test_codecs_are_not_mixed_and_another_calibration_is_refused_alone(
    residual_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    (name, array), *_ = crossing(residual_bundle, CUT).items()
    channels = array.shape[1]
    known = Calibration({name: {4: ranges(4, channels)}}) if channels else Calibration({})
    monkeypatch.setattr(Bundle, "ranges", known)
    codecs = [RAW, get_codec("q4", known), get_codec("half"), get_codec("q4", known), RAW]
    async with desk(residual_bundle, monkeypatch) as at:
        requests = [
            request_for(at.bundle, CUT, crossing(at.bundle, CUT, seed), codec=codec)
            for seed, codec in enumerate(codecs)
        ]
        alone = [await at.alone(request) for request in requests]
        strange = request_for(at.bundle, CUT, crossing(at.bundle, CUT, 9), codec=codecs[1])
        strange.parameters[PARAM_CALIBRATION_DIGEST].string_param = "0" * 16
        await at.hold()
        sent = [at.send(request) for request in (*requests, strange)]
        await asyncio.sleep(0)
        at.gate.opened.set()
        *found, refused = await asyncio.gather(*sent, return_exceptions=True)
    assert isinstance(refused, CalibrationError)
    sizes = []
    for data, wanted in zip(found, alone, strict=True):
        assert isinstance(data, bytes)
        params, outputs = read(data)
        sizes.append(params.get(PARAM_BATCH_SIZE, 1))
        assert_close(outputs, wanted)
    assert sizes == [2, 2, 1, 2, 2]


async def test_tail_whose_rows_depend_on_one_another_is_never_batched(
    residual_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with desk(residual_bundle, monkeypatch, depends=lambda _: "they do") as at:
        await at.hold()
        sent = [at.send(at.request(seed)) for seed in range(3)]
        await asyncio.sleep(0)
        at.gate.opened.set()
        found = [read(data)[0] for data in await asyncio.gather(*sent)]
    assert all(PARAM_BATCH_SIZE not in params for params in found)


async def test_late_request_is_refused_by_a_timer_while_the_worker_is_held(
    residual_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with desk(residual_bundle, monkeypatch) as at:
        await at.hold()
        late, fine = at.request(1), at.request(2)
        late.parameters[PARAM_TIMEOUT].int64_param = 1
        sent = at.send(late), at.send(fine)
        with pytest.raises(LateError, match=r"has waited for residual\.cut-02 for longer"):
            await sent[0]  # the worker is held all the while
        assert not sent[1].done()
        at.gate.opened.set()
        assert PARAM_BATCH_SIZE not in read(await sent[1])[0]


async def test_request_that_nobody_waits_for_any_more_is_refused_by_the_same_timer(
    residual_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with desk(residual_bundle, monkeypatch) as at:
        await at.hold()
        data = at.request(1).SerializeToString()
        with pytest.raises(LateError):
            await answer(at.engine, Job(data, encode_response, remaining_s=1e-3))
        at.gate.opened.set()


async def test_request_that_became_late_before_any_timer_is_not_begun(
    residual_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with desk(residual_bundle, monkeypatch) as at:
        await at.hold()
        monkeypatch.setattr(Engine, "_set_alarm", lambda *_: None)
        request = at.request(1)
        request.parameters[PARAM_TIMEOUT].int64_param = 1
        sent = at.send(request), at.send(at.request(2))
        await asyncio.sleep(0)
        at.gate.opened.set()
        with pytest.raises(LateError):
            await sent[0]
        assert PARAM_BATCH_SIZE not in read(await sent[1])[0]


async def test_timeout_that_may_not_be_overridden_is_that_of_the_rules(
    residual_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    rules = BatchRules(default_queue_policy=QueuePolicy(allow_timeout_override=False))
    async with desk(residual_bundle, monkeypatch, rules) as at:
        request = at.request(1)
        request.parameters[PARAM_TIMEOUT].uint64_param = 1
        assert await at.send(request)


async def test_higher_level_goes_first_and_a_greedy_caller_after_its_share(
    residual_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with desk(residual_bundle, monkeypatch, BatchRules(priority_levels=2)) as at:
        ended: list[str] = []

        def send(name: str, caller: str, level: int) -> "asyncio.Future[bytes]":
            request = at.request(1)
            request.parameters[PARAM_PRIORITY].uint64_param = level
            future = at.send(request, caller)
            future.add_done_callback(lambda _: ended.append(name))
            return future

        await at.hold()
        sent = [send("greedy", "greedy", 2) for _ in range(6)]
        sent += [send("modest", "modest", 2), send("urgent", "greedy", 1)]
        await asyncio.sleep(0)
        at.gate.opened.set()
        await asyncio.gather(*sent)
    assert ended[0] == "urgent"
    assert ended.index("modest") <= 2


async def test_lone_request_is_not_held_back_and_a_delay_ends_by_itself(
    residual_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    rules = BatchRules(max_batch_size=8, preferred_batch_size=(2,), max_queue_delay_us=2000)
    async with desk(residual_bundle, monkeypatch, rules) as at:
        params, _ = read(await at.send(at.request(1)))
        assert params[PARAM_QUEUE_NS] >= 2000 * 1000  # alone, it waits for its delay
    rules = BatchRules(max_batch_size=8, preferred_batch_size=(2,), max_queue_delay_us=60_000_000)
    async with desk(residual_bundle, monkeypatch, rules) as at:
        pair = [
            read(data)[0] for data in await asyncio.gather(*(at.send(at.request(1)) for _ in "ab"))
        ]
        assert [params[PARAM_BATCH_SIZE] for params in pair] == [2, 2]
