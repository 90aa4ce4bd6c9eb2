"""A method whose name is no UTF-8: it ends the call that names it, and neither the server nor a stream."""

import queue
import socket

import numpy as np

from cloud_server.server import CloudServer
from partitioner.bundle.bundle import Bundle
from protos.inference_pb2 import ServerLiveRequest
from protos.tensors import Array
from protos.wire.framing import decode_stream_response
from protos.wire.messages import unpack_response
from tests.kit.cloud_calls import STREAM, TIMEOUT_S, connected, crossing, oip_stub, request_for
from tests.kit.http2 import END, GOAWAY, HEADERS, PREFACE, SETTINGS, http2_frame, read_http2_frame


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
    return PREFACE + http2_frame(SETTINGS, 0, 0, b"") + http2_frame(HEADERS, END, 1, block)


def call_damaged(address: str) -> None:
    """Call what no server has, by a name that a bit was flipped in, and wait until that is answered."""
    host, _, port = address.rpartition(":")
    with socket.create_connection((host, int(port)), TIMEOUT_S) as connection:
        connection.sendall(request_of(b"/splitpoint.v1.Splitpoint/L\xe9stBundles"))
        with connection.makefile("rb") as heard:
            while (frame := read_http2_frame(heard))[1] != 1:
                assert frame[0] != GOAWAY, "the server has shut down"


def answered(data: bytes) -> Array:
    error, header, raw = decode_stream_response(data)
    assert not error
    (value,) = unpack_response(header, raw).values()
    return value


def test_damaged_method_ends_neither_the_server_nor_a_stream(residual_bundle: Bundle) -> None:
    request = request_for(residual_bundle, "cut-03", crossing(residual_bundle, "cut-03"))
    to_send: queue.Queue[bytes | None] = queue.Queue()
    with (
        CloudServer(residual_bundle.path) as server,
        connected(server.address) as channel,
    ):
        answers = channel.stream_stream(STREAM)(iter(to_send.get, None), timeout=TIMEOUT_S)
        to_send.put(request.SerializeToString())
        before = answered(next(answers))
        call_damaged(server.address)
        with connected(server.address) as another:
            assert oip_stub(another).ServerLive(ServerLiveRequest(), timeout=TIMEOUT_S).live
        to_send.put(request.SerializeToString())
        np.testing.assert_array_equal(answered(next(answers)), before)
        to_send.put(None)
