"""ModelStreamInfer: many requests in flight, and none of them disturbs another."""

import queue
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import numpy as np
import pytest

from cloud_server.models import tails
from cloud_server.server import CloudServer
from partitioner.bundle.bundle import Bundle
from partitioner.runtime.sessions import RuntimeOptions, Stage
from protos.inference_pb2 import ServerLiveRequest
from protos.names import PARAM_ERROR_CODE, PARAM_RETRY_AFTER_MS, RETRY_AFTER_TRAILER
from protos.tensors import Array
from protos.wire.framing import decode_stream_response
from tests.kit.cloud_calls import (
    STREAM,
    TIMEOUT_S,
    Gate,
    connected,
    crossing,
    oip_stub,
    pending,
    refused,
    request_for,
    stream_all,
    uncut,
)
from tests.kit.waiting import until


@pytest.fixture
def server(residual_bundle: Bundle) -> Iterator[CloudServer]:
    with CloudServer(residual_bundle.path, workers=2, preload=("cloud",)) as server:
        yield server


def frame(bundle: Bundle, cut: str, seed: int, prefix: str = "") -> bytes:
    request = request_for(bundle, cut, crossing(bundle, cut, seed), frame_id=f"{prefix}{seed}")
    return bytes(request.SerializeToString())


def assert_equal(found: dict[str, Array], wanted: dict[str, Array]) -> None:
    for name, array in found.items():
        np.testing.assert_allclose(array, wanted[name], rtol=1e-4, atol=1e-5)


def test_streams_of_two_clients_do_not_mix(residual_bundle: Bundle, server: CloudServer) -> None:
    cuts = [cut for cut in residual_bundle.cuts if cut != "edge"]

    def client(number: int) -> dict[str, object]:
        # Both use the same ids and, at different times, the same cuts.
        frames = [
            frame(residual_bundle, cuts[(seed + number) % len(cuts)], seed + 100 * number)
            for seed in range(12)
        ]
        with connected(server.address) as channel:
            return dict(stream_all(channel, frames))

    with ThreadPoolExecutor(2) as pool:
        for number, answers in enumerate(pool.map(client, range(2))):
            assert set(answers) == {str(seed + 100 * number) for seed in range(12)}
            for seed, (error, _, outputs) in answers.items():
                assert error == ""
                assert_equal(outputs, uncut(residual_bundle, int(seed)))


def test_error_of_one_request_leaves_the_stream_alive(
    residual_bundle: Bundle, server: CloudServer
) -> None:
    bad = request_for(residual_bundle, "cloud", crossing(residual_bundle, "cloud"), frame_id="bad")
    bad.inputs[0].shape[0] = 2
    unknown = request_for(
        residual_bundle, "cloud", crossing(residual_bundle, "cloud"), frame_id="who"
    )
    unknown.model_name = "resnet"
    requests = [
        frame(residual_bundle, "cloud", 1),
        bad.SerializeToString(),
        b"\xff\xff\xff",
        unknown.SerializeToString(),
        frame(residual_bundle, "cloud", 2),
    ]
    with connected(server.address) as channel:
        answers = stream_all(channel, requests)
    codes = {
        header.id: header.parameters[PARAM_ERROR_CODE].string_param
        for error, header, _ in answers.values()
        if error
    }
    assert codes == {"bad": "INVALID_ARGUMENT", "": "INVALID_ARGUMENT", "who": "NOT_FOUND"}
    assert "came with 12,288 bytes" in answers["bad"][0]
    for seed in (1, 2):
        assert_equal(answers[str(seed)][2], uncut(residual_bundle, seed))


async def test_tail_that_loads_does_not_hold_up_those_that_are_loaded(
    residual_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = threading.Event()
    open_tail = Bundle.open_tail

    def held(bundle: Bundle, cut: str, options: RuntimeOptions | None = None) -> Stage:
        if cut != "cloud" and not opened.wait(TIMEOUT_S):
            raise TimeoutError("never opened")
        return open_tail(bundle, cut, options)

    interior = list(residual_bundle.cuts)[1]
    frames = [frame(residual_bundle, interior, 1), frame(residual_bundle, "cloud", 2)]
    monkeypatch.setattr(Bundle, "open_tail", held)
    async with (
        CloudServer(residual_bundle.path, workers=1, preload=("cloud",)) as server,
        grpc.aio.insecure_channel(server.address) as channel,
    ):
        call = channel.stream_stream(STREAM)(timeout=TIMEOUT_S)
        for data in frames:
            await call.write(data)
        await call.done_writing()
        assert decode_stream_response(await call.read())[1].id == "2"
        opened.set()
        assert decode_stream_response(await call.read())[1].id == "1"
        assert await call.read() is grpc.aio.EOF


def test_window_bounds_what_one_stream_has_in_the_server(
    residual_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate(monkeypatch)
    frames = [frame(residual_bundle, "cloud", seed) for seed in range(6)]
    with (
        CloudServer(residual_bundle.path, workers=6, stream_window=2, preload=("cloud",)) as server,
        connected(server.address) as channel,
    ):
        call = channel.stream_stream(STREAM)(iter(frames), timeout=TIMEOUT_S)
        assert gate.entered.acquire(timeout=TIMEOUT_S)
        assert gate.entered.acquire(timeout=TIMEOUT_S)
        with connected(server.address) as other:
            # A second client gets through, and by then a third request of the first would have too.
            second = other.stream_stream(STREAM)(iter(frames[:1]), timeout=TIMEOUT_S)
            assert gate.entered.acquire(timeout=TIMEOUT_S)
            assert not gate.entered.acquire(blocking=False)
            gate.opened.set()
            assert len(list(second)) == 1
        assert {decode_stream_response(data)[1].id for data in call} == set("012345")


def test_cancelled_stream_drops_what_has_not_begun(
    residual_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate(monkeypatch)
    with (
        CloudServer(residual_bundle.path, workers=1, preload=("cloud",)) as server,
        connected(server.address) as channel,
        connected(server.address) as other,
    ):
        frames = [frame(residual_bundle, "cloud", seed) for seed in range(8)]
        call = channel.stream_stream(STREAM)(iter(frames), timeout=TIMEOUT_S)
        assert gate.entered.acquire(timeout=TIMEOUT_S)
        call.cancel()
        with pytest.raises(grpc.RpcError):
            next(call)
        oip_stub(channel).ServerLive(ServerLiveRequest(), timeout=TIMEOUT_S)  # behind the cancel
        gate.opened.set()
        answers = stream_all(other, [frame(residual_bundle, "cloud", 9)])
    assert_equal(answers["9"][2], uncut(residual_bundle, 9))
    begun = 1 + sum(1 for _ in iter(lambda: gate.entered.acquire(blocking=False), False))
    assert begun < 8


def test_client_that_is_gone_gives_its_places_back_while_the_worker_is_held(
    residual_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate(monkeypatch)
    with (
        CloudServer(residual_bundle.path, workers=1, max_queue=3, preload=("cloud",)) as server,
        connected(server.address) as channel,
        connected(server.address) as other,
    ):
        request = request_for(residual_bundle, "cloud", crossing(residual_bundle, "cloud"))
        infer = oip_stub(other).ModelInfer
        frames = [frame(residual_bundle, "cloud", seed) for seed in range(4)]
        call = channel.stream_stream(STREAM)(iter(frames), timeout=TIMEOUT_S)
        error, header, _ = decode_stream_response(
            next(call)
        )  # the fourth, which tells that three are in
        assert ("3 requests" in error, header.id) == (True, "3")
        assert header.parameters[PARAM_RETRY_AFTER_MS].int64_param > 0
        with pytest.raises(grpc.RpcError) as full:
            infer(request, timeout=TIMEOUT_S)
        assert int(dict(full.value.trailing_metadata())[RETRY_AFTER_TRAILER]) > 0
        call.cancel()
        for _ in range(3):  # behind the cancel, and what the loop makes of it
            oip_stub(channel).ServerLive(ServerLiveRequest(), timeout=TIMEOUT_S)
        held = [infer.future(request, timeout=TIMEOUT_S) for _ in range(3)]
        code, _ = refused(lambda: infer(request, timeout=TIMEOUT_S))  # the three are in
        gate.opened.set()
        assert (code, *(each.code().name for each in held)) == ("RESOURCE_EXHAUSTED", *["OK"] * 3)


def test_message_over_the_limit_ends_its_stream_and_no_other(
    residual_bundle: Bundle, caplog: pytest.LogCaptureFixture
) -> None:
    values = crossing(residual_bundle, "cloud", batch=100)
    large = request_for(residual_bundle, "cloud", values).SerializeToString()
    with (
        CloudServer(residual_bundle.path, max_message_bytes=1 << 20) as server,
        connected(server.address) as channel,
    ):
        code, sentence = refused(lambda: stream_all(channel, [large]))
        assert stream_all(channel, [frame(residual_bundle, "cloud", 3)])["3"][0] == ""
    assert (code, "larger than max" in sentence) == ("RESOURCE_EXHAUSTED", True)
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


def test_client_that_vanishes_leaves_no_trace_but_a_debug_line(
    residual_bundle: Bundle, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    gate = Gate(monkeypatch)
    with CloudServer(residual_bundle.path, workers=12, preload=("cloud",)) as server:
        for _ in range(5):
            with connected(server.address) as channel:
                frames = [frame(residual_bundle, "cloud", seed) for seed in range(2)]
                call = channel.stream_stream(STREAM)(iter(frames), timeout=TIMEOUT_S)
                assert gate.entered.acquire(timeout=TIMEOUT_S)
                del call
        gate.opened.set()
        with connected(server.address) as channel:
            answers = stream_all(channel, [frame(residual_bundle, "cloud", 3)])
    assert answers["3"][0] == ""
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


def test_drain_answers_what_is_in_flight_and_ends_the_stream(
    residual_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate(monkeypatch)
    sent: queue.Queue[bytes | None] = queue.Queue()
    server = CloudServer(residual_bundle.path, preload=("cloud",), drain_s=30.0)
    with server, connected(server.address) as channel:
        call = channel.stream_stream(STREAM)(iter(sent.get, None), timeout=TIMEOUT_S)
        sent.put(frame(residual_bundle, "cloud", 5))
        assert gate.entered.acquire(timeout=TIMEOUT_S)
        with ThreadPoolExecutor(1) as pool:
            stopping = pool.submit(server.__exit__, None, None, None)
            gate.opened.set()
            error, header, _ = decode_stream_response(next(call))
            assert (error, header.id) == ("", "5")
            with pytest.raises(grpc.RpcError) as caught:
                next(call)
            assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
            stopping.result(TIMEOUT_S)
        sent.put(None)


def test_requests_beyond_the_queue_are_refused_at_once_by_their_id(
    residual_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate(monkeypatch)
    settings = {"workers": 1, "max_queue": 2, "preload": ("cloud",)}
    with (
        CloudServer(residual_bundle.path, **settings) as server,
        connected(server.address) as channel,
    ):
        requests: queue.Queue[bytes] = queue.Queue()
        answers = channel.stream_stream(STREAM)(iter(requests.get, b""), timeout=TIMEOUT_S)
        for seed in range(3):
            requests.put(frame(residual_bundle, "cloud", seed))
        error, header, _ = decode_stream_response(next(answers))
        assert header.id == "2"
        assert "2 requests waiting" in error
        assert header.parameters[PARAM_ERROR_CODE].string_param == "RESOURCE_EXHAUSTED"
        gate.opened.set()
        served = {decode_stream_response(next(answers))[1].id for _ in range(2)}
        assert served == {"0", "1"}
        requests.put(b"")


def test_requests_that_wait_for_a_load_are_counted_and_not_refused_after_it(
    residual_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on, load = threading.Event(), threading.Event(), tails.open_weighed

    def slowly(*args: Any) -> Any:
        begun.set()
        assert go_on.wait(TIMEOUT_S)
        return load(*args)

    monkeypatch.setattr(tails, "open_weighed", slowly)
    with (
        CloudServer(residual_bundle.path, workers=1, max_queue=2) as server,
        connected(server.address) as channel,
    ):
        requests: queue.Queue[bytes] = queue.Queue()
        answers = channel.stream_stream(STREAM)(iter(requests.get, b""), timeout=TIMEOUT_S)
        for seed in range(2):
            requests.put(frame(residual_bundle, "cloud", seed))
        assert begun.wait(TIMEOUT_S)
        until(lambda: pending(server) == 2)  # both wait for it
        requests.put(frame(residual_bundle, "cloud", 2))
        error, header, _ = decode_stream_response(next(answers))
        assert (header.id, "2 requests waiting" in error) == ("2", True)
        go_on.set()
        served = [decode_stream_response(next(answers)) for _ in range(2)]
        assert {(header.id, error) for error, header, _ in served} == {("0", ""), ("1", "")}
        requests.put(b"")
