"""Calls of a real server are counted, in whatever way they end."""

from typing import Any

import grpc
import pytest
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from cloud_server.observability.call_book import CallBook, Method, MethodCounts
from cloud_server.server import CloudServer
from partitioner.bundle.bundle import Bundle
from protos import splitpoint_pb2 as sp
from protos.inference_pb2 import ModelInferRequest
from tests.kit.cloud_calls import (
    STREAM,
    TIMEOUT_S,
    Gate,
    connected,
    crossing,
    oip_stub,
    refused,
    request_for,
    splitpoint_stub,
    stream_all,
)
from tests.kit.rest_calls import until


def counts_of(book: CallBook, name: str) -> MethodCounts:
    (found,) = (counts for method, counts in book.methods.items() if method.name == name)
    return found


def test_calls_messages_and_codes_are_counted(residual_bundle: Bundle) -> None:
    request = request_for(residual_bundle, "cloud", crossing(residual_bundle, "cloud"))
    with CloudServer(residual_bundle.path) as server:
        book = server.served.calls
        with connected(server.address) as channel:
            stub: Any = oip_stub(channel)
            stub.ModelInfer(request, timeout=TIMEOUT_S)
            lost = ModelInferRequest(model_name="nowhere")
            assert refused(lambda: stub.ModelInfer(lost, timeout=TIMEOUT_S))[0] == "NOT_FOUND"
            bad = channel.unary_unary("/inference.GRPCInferenceService/ServerLive")
            assert refused(lambda: bad(b"\xff", timeout=TIMEOUT_S))[0] == "INVALID_ARGUMENT"
            stream_all(channel, [request.SerializeToString()] * 3)
            fetch = sp.FetchBundleRequest(name="residual")
            chunks = list(splitpoint_stub(channel).FetchBundle(fetch, timeout=TIMEOUT_S))
            reflected = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo(
                iter([reflection_pb2.ServerReflectionRequest(list_services="")]), timeout=TIMEOUT_S
            )
            assert len(list(reflected)) == 1
            for path in ("/nowhere/Made", "/inference.GRPCInferenceService/Up"):
                made_up = channel.unary_unary(path)
                assert refused(lambda: made_up(b"", timeout=TIMEOUT_S))[0] == "UNIMPLEMENTED"  # noqa: B023

    infer = counts_of(book, "ModelInfer")
    assert (infer.started, infer.received, infer.sent) == (2, 2, 1)
    assert infer.ended == {"OK": 1, "NOT_FOUND": 1}
    assert infer.times.count == 2
    assert counts_of(book, "ServerLive").ended == {"INVALID_ARGUMENT": 1}
    stream = counts_of(book, "ModelStreamInfer")
    assert (stream.started, stream.received, stream.sent, stream.ended) == (1, 3, 3, {"OK": 1})
    fetched = counts_of(book, "FetchBundle")
    assert (fetched.received, fetched.sent, fetched.ended) == (1, len(chunks), {"OK": 1})
    assert counts_of(book, "ServerReflectionInfo").ended == {"OK": 1}
    # What callers make up is no method.
    assert {method.service for method in book.methods} == {
        "inference.GRPCInferenceService",
        "splitpoint.v1.Splitpoint",
        "grpc.reflection.v1alpha.ServerReflection",
    }
    assert Method(STREAM, "bidi_stream") in book.methods
    assert book.streams == 0


def test_call_that_its_client_gives_up_is_cancelled(
    residual_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate(monkeypatch)
    request = request_for(residual_bundle, "cloud", crossing(residual_bundle, "cloud"))
    with CloudServer(residual_bundle.path) as server, connected(server.address) as channel:
        call = oip_stub(channel).ModelInfer.future(request, timeout=TIMEOUT_S)
        assert gate.entered.acquire(timeout=TIMEOUT_S)
        call.cancel()
        book = server.served.calls
        server._thread.run(until(lambda: bool(counts_of(book, "ModelInfer").ended)))  # type: ignore[union-attr]
        gate.opened.set()
    assert counts_of(book, "ModelInfer").ended == {"CANCELLED": 1}


def test_stream_is_open_until_it_ends_and_says_so_when_the_server_goes(
    residual_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    import queue

    request = request_for(residual_bundle, "cloud", crossing(residual_bundle, "cloud"))
    sent: queue.Queue[bytes | None] = queue.Queue()
    with CloudServer(residual_bundle.path) as server, connected(server.address) as channel:
        book = server.served.calls
        answers = channel.stream_stream(STREAM)(iter(sent.get, None), timeout=TIMEOUT_S)
        sent.put(request.SerializeToString())
        next(answers)
        assert (book.streams, book.devices) == (1, 1)
        server._thread.run(server.stop())  # type: ignore[union-attr]
        with pytest.raises(grpc.RpcError) as caught:
            next(answers)
        sent.put(None)
        assert caught.value.code() == grpc.StatusCode.UNAVAILABLE
    assert counts_of(book, "ModelStreamInfer").ended == {"UNAVAILABLE": 1}
    assert (book.streams, book.devices) == (0, 0)
