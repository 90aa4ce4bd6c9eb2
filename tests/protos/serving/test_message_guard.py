"""Bytes that are no message, sent to every method that a server has."""

import logging
from collections.abc import Iterator
from types import ModuleType

import grpc
import pytest
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

from cloud_server.server import CloudServer
from partitioner.bundle.bundle import Bundle
from protos import inference_pb2, splitpoint_pb2
from protos.serving import bounded_log, message_guard
from protos.serving.message_guard import LARGEST_BYTES
from tests.kit.cloud_calls import TIMEOUT_S, connected

NO_MESSAGE = b"\xff" * 9  # a field of a wire type that does not exist


def methods() -> Iterator[tuple[str, bool, bool]]:
    """Every method of every service: its path, and whether its requests and its answers are streams."""
    modules: tuple[ModuleType, ...] = (inference_pb2, splitpoint_pb2, health_pb2, reflection_pb2)
    for module in modules:
        for service in module.DESCRIPTOR.services_by_name.values():
            for method in service.methods:
                yield (
                    f"/{service.full_name}/{method.name}",
                    method.client_streaming,
                    method.server_streaming,
                )


METHODS = [one for one in methods() if not one[0].endswith("/ModelStreamInfer")]
"""But the stream, which answers each broken request and goes on: see test_streams."""


@pytest.fixture(scope="module")
def address(residual_bundle: Bundle) -> Iterator[str]:
    with CloudServer(residual_bundle.path) as server:
        yield server.address


def status_of(address: str, path: str, data: bytes, *, sends: bool, gets: bool) -> grpc.RpcError:
    def call(channel: grpc.Channel) -> None:
        if sends:
            list(channel.stream_stream(path)(iter([data]), timeout=TIMEOUT_S))
        elif gets:
            list(channel.unary_stream(path)(data, timeout=TIMEOUT_S))
        else:
            channel.unary_unary(path)(data, timeout=TIMEOUT_S)

    with connected(address) as channel, pytest.raises(grpc.RpcError) as found:
        call(channel)
    return found.value


@pytest.mark.parametrize(("path", "sends", "gets"), METHODS, ids=[path for path, *_ in METHODS])
def test_bytes_that_are_no_message_are_an_invalid_argument(
    address: str, path: str, sends: bool, gets: bool, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        refused = status_of(address, path, NO_MESSAGE, sends=sends, gets=gets)
    if (
        refused.code() is grpc.StatusCode.UNIMPLEMENTED
    ):  # offered by standard servers, and not by this
        return
    assert refused.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "Check that both sides speak" in (refused.details() or "")
    assert [record for record in caplog.records if record.exc_info] == []


@pytest.mark.parametrize(("path", "sends", "gets"), METHODS, ids=[path for path, *_ in METHODS])
def test_request_that_would_take_seconds_to_decode_is_refused_before(
    address: str, path: str, sends: bool, gets: bool
) -> None:
    unknown = b"\xf8\x7f\x01" * (LARGEST_BYTES // 3 + 1)  # a field of a number that none has
    if path in ("/inference.GRPCInferenceService/ModelInfer", "/splitpoint.v1.Splitpoint/Probe"):
        return  # raw bytes, and one field alone
    refused = status_of(address, path, unknown, sends=sends, gets=gets)
    if refused.code() is not grpc.StatusCode.UNIMPLEMENTED:
        assert refused.code() is grpc.StatusCode.OUT_OF_RANGE
        assert "2,097,152 are allowed" in (refused.details() or "")


def test_probe_may_be_as_long_as_any_message(address: str) -> None:
    payload = splitpoint_pb2.ProbeRequest(payload=bytes(2 * LARGEST_BYTES)).SerializeToString()
    with connected(address) as channel:
        channel.unary_unary("/splitpoint.v1.Splitpoint/Probe")(payload, timeout=TIMEOUT_S)


def test_floods_of_them_fill_no_log(
    address: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = bounded_log.BoundedLog(logging.getLogger(message_guard.__name__), logging.INFO, lambda: 0)
    monkeypatch.setattr(message_guard, "_log", log)
    path = "/splitpoint.v1.Splitpoint/ListBundles"
    with caplog.at_level(logging.INFO), connected(address) as channel:
        calls = [channel.unary_unary(path).future(NO_MESSAGE, timeout=TIMEOUT_S) for _ in range(99)]
        codes = {call.code() for call in calls}
    assert codes == {grpc.StatusCode.INVALID_ARGUMENT}
    lines = [one.getMessage() for one in caplog.records if one.name == message_guard.__name__]
    assert len(lines) == bounded_log.LINES_AT_ONCE
    assert all("\n" not in line for line in lines)
