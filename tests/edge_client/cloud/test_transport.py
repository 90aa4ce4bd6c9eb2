"""The transport of requests: which server they go to, and by what."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import grpc.aio

from edge_client.cloud.servers import Servers
from edge_client.cloud.transport import GrpcTransport
from protos import inference_pb2 as oip
from protos.errors import UnreachableError
from protos.rpc.endpoints import Endpoint
from tests.kit.waiting import PATIENCE_S, eventually


class SilentStreams(grpc.GenericRpcHandler):
    """A standard server whose streams take requests and never answer; single calls it answers at once."""

    def __init__(self) -> None:
        self.streamed = self.called = 0

    def service(self, details: grpc.HandlerCallDetails) -> Any:
        if details.method.endswith("/ModelStreamInfer"):
            return grpc.stream_stream_rpc_method_handler(self._stream)
        return grpc.unary_unary_rpc_method_handler(self._call)

    async def _stream(self, requests: AsyncIterator[bytes], _context: Any) -> AsyncIterator[bytes]:
        async for _ in requests:
            self.streamed += 1
        yield b""

    async def _call(self, _request: bytes, _context: Any) -> bytes:
        self.called += 1
        return bytes(oip.ModelInferResponse(model_name="m").SerializeToString())


@asynccontextmanager
async def serving(handler: grpc.GenericRpcHandler) -> AsyncIterator[str]:
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((handler,))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(None)


async def test_request_that_a_change_of_servers_ends_goes_to_neither_again() -> None:
    left, next_one = SilentStreams(), SilentStreams()
    async with serving(left) as first, serving(next_one) as second:
        transport = GrpcTransport(Servers([Endpoint(first), Endpoint(second)]))
        transport.note_kind(is_plain=True)
        try:
            asking = asyncio.create_task(transport.call("1", b"", PATIENCE_S))
            await eventually(lambda: left.streamed == 1)
            other = transport.servers.after(transport.endpoint, 0.0)
            await transport.switch_to(other)
            (ended,) = await asyncio.gather(asking, return_exceptions=True)
            assert isinstance(ended, UnreachableError)
            transport.note_kind(is_plain=True)
            asking = asyncio.create_task(transport.call("2", b"", PATIENCE_S))
            await eventually(lambda: next_one.streamed == 1)
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
            assert transport.address == second
            assert (left.called, next_one.streamed) == (0, 1)
        finally:
            await transport.end()
