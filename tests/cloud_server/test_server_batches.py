"""Batches behind a real gRPC server: callers that come and go on connections of their own."""

import queue
from contextlib import ExitStack
from typing import Any

import numpy as np
import pytest

from cloud_server.server import CloudServer
from partitioner.bundle.bundle import Bundle
from protos.inference_pb2 import ModelInferResponse
from protos.names import PARAM_BATCH_SIZE
from protos.wire.framing import decode_stream_response
from tests.kit.cloud_calls import (
    STREAM,
    TIMEOUT_S,
    Gate,
    connected,
    crossing,
    oip_stub,
    outputs_of,
    pending,
    refused,
    request_for,
)
from tests.kit.waiting import until

CUT = "cut-02"
FOR_EVER_US = 10**9
THREE: dict[str, Any] = {
    "preload": (CUT,), "workers": 1, "max_batch_size": 8, "preferred_batch_size": (3,),
    "max_queue_delay_us": FOR_EVER_US,
}  # fmt: skip


class Callers:
    """Three who ask for one row each, on connections of their own."""

    def __init__(self, bundle: Bundle, server: CloudServer, stack: ExitStack) -> None:
        self.stubs = [oip_stub(stack.enter_context(connected(server.address))) for _ in range(3)]
        self.values = [crossing(bundle, CUT, seed) for seed in range(3)]
        self.requests = [request_for(bundle, CUT, values) for values in self.values]
        self.tail = bundle.open_tail(CUT)

    def ask(self, which: int) -> Any:
        return self.stubs[which].ModelInfer.future(self.requests[which], timeout=TIMEOUT_S)

    def check(self, which: int, answer: ModelInferResponse, size: int) -> None:
        assert answer.parameters[PARAM_BATCH_SIZE].int64_param == size
        wanted = self.tail.run(self.values[which])
        for name, array in outputs_of(answer).items():
            np.testing.assert_allclose(array, wanted[name], rtol=1e-5, atol=1e-6)


def test_first_of_three_callers_that_goes_away_leaves_the_other_two_served(
    residual_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate(monkeypatch)
    with CloudServer(residual_bundle.path, **THREE) as server, ExitStack() as stack:
        callers = Callers(residual_bundle, server, stack)
        calls = [callers.ask(which) for which in range(3)]
        assert gate.entered.acquire(timeout=TIMEOUT_S)  # all three are being computed
        calls[0].cancel()
        until(lambda: pending(server) == 2)
        gate.opened.set()
        for which in (1, 2):
            callers.check(which, calls[which].result(), 3)
        assert calls[0].cancelled()
        assert pending(server) == 0


def test_caller_that_goes_away_before_the_batch_is_no_part_of_it(residual_bundle: Bundle) -> None:
    two = THREE | {"preferred_batch_size": (2,)}
    with CloudServer(residual_bundle.path, **two) as server, ExitStack() as stack:
        callers = Callers(residual_bundle, server, stack)
        first = callers.ask(0)
        until(lambda: pending(server) == 1)
        first.cancel()
        until(lambda: pending(server) == 0)
        others = [callers.ask(which) for which in (1, 2)]
        for which, call in zip((1, 2), others, strict=True):
            callers.check(which, call.result(), 2)


def test_stream_whose_client_goes_away_takes_its_requests_along(residual_bundle: Bundle) -> None:
    two = THREE | {"preferred_batch_size": (4,)}
    with CloudServer(residual_bundle.path, **two) as server, ExitStack() as stack:
        callers = Callers(residual_bundle, server, stack)
        sent: queue.Queue[bytes] = queue.Queue()
        channel = stack.enter_context(connected(server.address))
        stream = channel.stream_stream(STREAM)(iter(sent.get, b""), timeout=TIMEOUT_S)
        for request in callers.requests:
            sent.put(request.SerializeToString())
        until(lambda: pending(server) == 3)
        stream.cancel()
        until(lambda: pending(server) == 0)
        sent.put(b"")


def test_requests_of_one_stream_share_a_batch_and_each_keeps_its_id(
    residual_bundle: Bundle,
) -> None:
    with CloudServer(residual_bundle.path, **THREE) as server, ExitStack() as stack:
        callers = Callers(residual_bundle, server, stack)
        sent = [request.SerializeToString() for request in callers.requests]
        for number, request in enumerate(callers.requests):
            request.id = str(number)
            sent[number] = request.SerializeToString()
        channel = stack.enter_context(connected(server.address))
        for data in channel.stream_stream(STREAM)(iter(sent), timeout=TIMEOUT_S):
            error, header, raw = decode_stream_response(data)
            assert error == ""
            answer = ModelInferResponse()
            answer.CopyFrom(header)
            answer.raw_output_contents.extend(bytes(view) for view in raw)
            callers.check(int(header.id), answer, 3)


def test_deadline_of_a_call_ends_it_in_time_while_its_batch_waits(residual_bundle: Bundle) -> None:
    with CloudServer(residual_bundle.path, **THREE) as server, ExitStack() as stack:
        callers = Callers(residual_bundle, server, stack)
        code, _ = refused(lambda: callers.stubs[0].ModelInfer(callers.requests[0], timeout=0.05))
        assert code == "DEADLINE_EXCEEDED"
        until(lambda: pending(server) == 0)
