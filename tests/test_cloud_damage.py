"""A method whose name is no UTF-8, by which gRPC's server ends: ours listens again, and no call is lost."""

import queue
import socket
import struct
from collections.abc import Iterator

import numpy as np
import pytest

from cloud_server import CloudServer
from partitioner.bundle import Bundle
from protos.inference_pb2 import ServerLiveRequest
from protos.messages import unpack_response
from protos.tensors import Array
from protos.wire import decode_stream_response
from tests.cloud_calls import STREAM, TIMEOUT_S, connected, crossing, oip_stub, request_for

_HEADERS, _SETTINGS, _END = 1, 4, 5
"""Types of HTTP/2 frames, and the flags that end a request's headers and the request."""


def http2_frame(kind: int, flags: int, stream: int, body: bytes) -> bytes:
    return struct.pack(">I", len(body))[1:] + struct.pack(">BBI", kind, flags, stream) + body


def request_of(path: bytes) -> bytes:
    """What a client of gRPC sends to call `path`, without a message (RFC 9113, RFC 7541 section 6.2.2)."""
    fields = {
        b":method": b"POST",
        b":scheme": b"http",
        b":path": path,
        b":authority": b"here",
        b"te": b"trailers",
        b"content-type": b"application/grpc",
    }
    block = b"".join(
        b"\0" + bytes([len(name)]) + name + bytes([len(value)]) + value
        for name, value in fields.items()
    )
    preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + http2_frame(_SETTINGS, 0, 0, b"")
    return preface + http2_frame(_HEADERS, _END, 1, block)


def call_damaged(address: str) -> None:
    """Call what no server has, by a name that a bit was flipped in, and wait until it has been heard."""
    host, _, port = address.rpartition(":")
    with socket.create_connection((host, int(port)), TIMEOUT_S) as connection:
        connection.sendall(request_of(b"/splitpoint.v1.Splitpoint/L\xe9stBundles"))
        heard = b""
        while b"shutdown" not in heard:
            data = connection.recv(4096)
            assert data, "the server has let go before it shut down"
            heard += data


def answered(data: bytes) -> Array:
    error, header, raw = decode_stream_response(data)
    assert not error
    (value,) = unpack_response(header, raw).values()
    return value


@pytest.mark.parametrize("times", [1, 3])
def test_damaged_method_ends_neither_the_server_nor_a_stream(
    residual_bundle: Bundle, times: int
) -> None:
    request = request_for(residual_bundle, "cut-03", crossing(residual_bundle, "cut-03"))
    to_send: queue.Queue[bytes | None] = queue.Queue()

    def frames() -> Iterator[bytes]:
        while (data := to_send.get()) is not None:
            yield data

    with (
        CloudServer(residual_bundle.path) as server,
        connected(server.address) as channel,
    ):
        answers = channel.stream_stream(STREAM)(frames(), timeout=TIMEOUT_S)
        for _ in range(times):
            to_send.put(request.SerializeToString())
            before = answered(next(answers))
            call_damaged(server.address)
            with connected(server.address) as another:
                live = oip_stub(another).ServerLive(
                    ServerLiveRequest(), timeout=TIMEOUT_S, wait_for_ready=True
                )
                assert live.live
        to_send.put(request.SerializeToString())
        np.testing.assert_array_equal(answered(next(answers)), before)
        to_send.put(None)
