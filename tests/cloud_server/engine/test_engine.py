"""The engine without a server around it: who is let in, what is decoded with what, and how it ends."""

import asyncio
import threading
from collections.abc import Mapping
from typing import Any

import pytest

from cloud_server.engine.admission import QueueLimits
from cloud_server.engine.engine import Engine
from cloud_server.models import tails
from cloud_server.models.model_store import ModelStore
from cloud_server.models.tails import TailLimits
from cloud_server.models.version import Version
from partitioner.bundle.bundle import Bundle
from partitioner.runtime.sessions import RuntimeOptions, Stage
from protos.codecs.calibration import Calibration
from protos.codecs.registry import get_codec
from protos.errors import OverloadedError, SplitpointError, UnreachableError
from protos.inference_pb2 import ModelInferRequest, ModelInferResponse
from protos.names import PARAM_CHECKSUM, PARAM_CODEC
from protos.serving.answers import Job, answer
from protos.tensors import Array, Buffer
from protos.wire.checksums import check_seal, seal
from protos.wire.framing import decode_response, encode_response
from protos.wire.messages import unpack_response
from tests.kit.calibrations import ranges
from tests.kit.cloud_calls import TIMEOUT_S, Gate, crossing, request_for
from tests.kit.frames import assert_same, whole

DECODED_BYTES = 1 << 20


def engine_of(bundle: Bundle, workers: int = 1, max_queue: int = 8) -> Engine:
    store = ModelStore([Version.of(bundle)], RuntimeOptions(), TailLimits(max_sessions=4))
    limits = QueueLimits(max_queue, nbytes=1 << 30, wait_s=60.0)
    return Engine(store, workers, limits, DECODED_BYTES)


def job(bundle: Bundle) -> Job:
    return Job(whole_request(bundle).SerializeToString(), encode_response)


def whole_request(bundle: Bundle) -> ModelInferRequest:
    return request_for(bundle, "cloud", crossing(bundle, "cloud"))


async def answer_to(
    engine: Engine, request: ModelInferRequest
) -> tuple[ModelInferResponse, list[Buffer]]:
    data = await answer(engine, Job(request.SerializeToString(), encode_response))
    header, views = decode_response(data)
    return header, list(views)


async def test_answer_is_sealed_if_its_request_was(residual_bundle: Bundle) -> None:
    engine, request = engine_of(residual_bundle), whole_request(residual_bundle)
    plain, _ = await answer_to(engine, request)
    assert PARAM_CHECKSUM not in plain.parameters
    seal(request, request.raw_input_contents)
    sealed, views = await answer_to(engine, request)
    assert PARAM_CHECKSUM in sealed.parameters
    check_seal(sealed, views)


async def test_low_bits_are_decoded_by_the_calibration_of_the_bundle(
    residual_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    (name, array), *_ = crossing(residual_bundle, "cloud").items()
    known = Calibration({name: {4: ranges(4)}})
    monkeypatch.setattr(Bundle, "ranges", known)
    codec = get_codec("q4", known)
    request = request_for(residual_bundle, "cloud", {name: array}, codec=codec)
    header, views = await answer_to(engine_of(residual_bundle), request)
    decoded = codec.decode(codec.encode(array, name), "float32", array.shape, name)
    assert_same(unpack_response(header, views), whole(residual_bundle, {name: decoded}))


async def test_one_worker_runs_one_job_at_a_time(
    residual_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads, run = set(), Stage.run

    def noted(stage: Stage, feeds: Mapping[str, Array]) -> dict[str, Array]:
        threads.add(threading.current_thread().name)
        return run(stage, feeds)

    engine, jobs = engine_of(residual_bundle), [job(residual_bundle) for _ in range(7)]
    await answer(engine, jobs.pop())  # loads the tail
    monkeypatch.setattr(Stage, "run", noted)
    await asyncio.gather(*(answer(engine, each) for each in jobs))
    assert threads == {"infer_0"}


async def test_answered_requests_leave_their_places_and_no_more(
    residual_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate(monkeypatch)
    gate.opened.set()
    engine = engine_of(residual_bundle, max_queue=2)
    for _ in range(3):  # the first of them loads its tail
        await answer(engine, job(residual_bundle))
    gate.opened.clear()
    held = [engine.submit(job(residual_bundle)) for _ in range(2)]
    with pytest.raises(
        OverloadedError,
        match=r"^this server has 2 requests waiting, and takes no more\. Try again later\.$",
    ):
        await engine.submit(job(residual_bundle))
    gate.opened.set()
    assert all(isinstance(found, bytes) for found in await asyncio.gather(*held))


@pytest.mark.parametrize("coded", [False, True])
async def test_rows_that_a_request_does_not_bring_are_not_reckoned(
    residual_bundle: Bundle, monkeypatch: pytest.MonkeyPatch, coded: bool
) -> None:
    gate = Gate(monkeypatch)
    gate.opened.set()
    engine = engine_of(residual_bundle)
    queue = engine._workers.queue
    await answer(engine, job(residual_bundle))  # loads the tail
    gate.opened.clear()
    running = engine.submit(job(residual_bundle))
    for _ in range(2):
        await asyncio.to_thread(gate.entered.acquire)
    honest = engine.submit(job(residual_bundle))
    cost_s = queue.cost_s
    lie = whole_request(residual_bundle)
    lie.inputs[0].shape[0] = 1 << 40
    if coded:
        lie.inputs[0].parameters[PARAM_CODEC].string_param = "q4"
    liar = engine.submit(Job(lie.SerializeToString(), encode_response))
    assert queue.cost_s == pytest.approx(2 * cost_s)
    assert queue.rows == 2
    gate.opened.set()
    with pytest.raises(SplitpointError):
        await liar
    assert all(isinstance(found, bytes) for found in await asyncio.gather(running, honest))


async def test_what_waits_for_a_tail_to_be_loaded_is_bounded_in_bytes(
    residual_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on, load = threading.Event(), threading.Event(), tails.open_weighed

    def slowly(*args: Any) -> Any:
        begun.set()
        assert go_on.wait(30)
        return load(*args)

    monkeypatch.setattr(tails, "open_weighed", slowly)
    store = ModelStore([Version.of(residual_bundle)], RuntimeOptions())
    one_bytes = sum(map(len, whole_request(residual_bundle).raw_input_contents))
    limits = QueueLimits(100, nbytes=2 * one_bytes, wait_s=60.0)
    engine = Engine(store, 1, limits, DECODED_BYTES)
    held = [asyncio.create_task(answer(engine, job(residual_bundle))) for _ in range(2)]
    await asyncio.to_thread(begun.wait)
    given_up = held.pop()
    for _ in range(2):
        with pytest.raises(OverloadedError, match="bytes waiting"):
            await engine.submit(job(residual_bundle))
    given_up.cancel()
    await asyncio.wait([given_up])
    held.append(asyncio.create_task(answer(engine, job(residual_bundle))))
    go_on.set()
    assert all(isinstance(found, bytes) for found in await asyncio.gather(*held))
    assert isinstance(await engine.submit(job(residual_bundle)), bytes)


async def test_what_comes_after_the_end_is_refused(
    residual_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on, load = threading.Event(), threading.Event(), tails.open_weighed

    def slowly(*args: Any) -> Any:
        begun.set()
        assert go_on.wait(30)
        return load(*args)

    monkeypatch.setattr(tails, "open_weighed", slowly)
    engine = engine_of(residual_bundle)
    waiting = asyncio.create_task(answer(engine, job(residual_bundle)))
    await asyncio.to_thread(begun.wait)
    engine.close()
    go_on.set()
    for late in (waiting, engine.submit(job(residual_bundle))):
        with pytest.raises(UnreachableError, match="shutting down"):
            await asyncio.wait_for(late, TIMEOUT_S)
    assert engine.book.pending == 0


async def test_closing_drops_what_waits_and_waits_for_nothing(
    residual_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate(monkeypatch)
    gate.opened.set()
    engine = engine_of(residual_bundle)
    await answer(engine, job(residual_bundle))
    gate.opened.clear()
    assert gate.entered.acquire(timeout=TIMEOUT_S)
    running, waiting = (engine.submit(job(residual_bundle)) for _ in range(2))
    await asyncio.to_thread(gate.entered.acquire)
    engine.close()  # while the gate is closed
    gate.opened.set()
    found: list[Any] = await asyncio.gather(running, waiting, return_exceptions=True)
    assert isinstance(found[0], bytes)
    assert isinstance(found[1], asyncio.CancelledError)
