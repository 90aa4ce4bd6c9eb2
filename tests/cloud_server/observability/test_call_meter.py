"""Calls of a real server are counted, in whatever way they end."""

import queue
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from cloud_server.observability.call_book import CallBook, Method, MethodCounts
from cloud_server.server import CloudServer
from partitioner.bundle.bundle import Bundle
from protos import splitpoint_pb2 as sp
from protos.inference_pb2 import ModelInferRequest
from protos.serving.answers import NO_MODEL
from protos.wire.framing import decode_stream_response
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
from tests.kit.devices import enrol
from tests.kit.waiting import until


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
        until(lambda: bool(counts_of(book, "ModelInfer").ended))
        gate.opened.set()
    assert counts_of(book, "ModelInfer").ended == {"CANCELLED": 1}


def test_stream_is_open_until_it_ends_and_says_so_when_the_server_goes(
    residual_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
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


def test_device_on_two_connections_is_one_and_its_refusals_count(
    residual_bundle: Bundle, tmp_path: Path
) -> None:
    path = tmp_path / "devices.json"
    token = enrol(path, "camera", "infer", models=["residual"])
    request = request_for(residual_bundle, "cloud", crossing(residual_bundle, "cloud"))
    hidden = ModelInferRequest(model_name="secret", id="no").SerializeToString()
    bearer = (("authorization", f"Bearer {token.text}"),)
    sent: list[queue.Queue[bytes | None]] = [queue.Queue(), queue.Queue()]
    streams = []  # one that nobody holds is cancelled
    with (
        CloudServer(residual_bundle.path, devices=path) as server,
        connected(server.address) as one,
        connected(server.address) as two,
    ):
        for channel, out in zip((one, two), sent, strict=True):
            answers = channel.stream_stream(STREAM)(
                iter(out.get, None), timeout=TIMEOUT_S, metadata=bearer
            )
            streams.append(answers)
            out.put(request.SerializeToString())
            assert decode_stream_response(next(answers))[0] == ""
            out.put(hidden)
            assert "may not use the model 'secret'" in decode_stream_response(next(answers))[0]
        book = server.served.calls
        assert (book.streams, book.devices) == (2, 1)
        failures = server.served.requests.tallies[NO_MODEL].failures
        for out in sent:
            out.put(None)
        call = one.unary_unary(STREAM.replace("ModelStreamInfer", "RepositoryIndex"))
        assert refused(lambda: call(b"", timeout=TIMEOUT_S))[0] == "UNAUTHENTICATED"
        refusal = refused(lambda: call(b"", timeout=TIMEOUT_S, metadata=bearer))
        assert refusal[0] == "PERMISSION_DENIED"
        (counted,) = (method for method in book.methods if method.name == "RepositoryIndex")
        assert counted.kind == "unary"
    assert failures == {"PERMISSION_DENIED": 2}
    index = counts_of(book, "RepositoryIndex")
    assert index.ended == {"UNAUTHENTICATED": 1, "PERMISSION_DENIED": 1}
