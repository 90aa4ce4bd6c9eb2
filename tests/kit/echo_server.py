"""A server that says back what it is told, and tells who called it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import grpc.aio


class Echo(grpc.GenericRpcHandler):
    """Answers each message with itself; keeps the metadata of every call."""

    def __init__(self) -> None:
        self.seen: list[dict[str, Any]] = []

    def service(self, details: grpc.HandlerCallDetails) -> Any:
        self.seen.append(dict(details.invocation_metadata or ()))
        kind = details.method.rpartition("/")[2]
        if kind == "stream":
            return grpc.stream_stream_rpc_method_handler(self._each)
        if kind == "list":
            return grpc.unary_stream_rpc_method_handler(self._list)
        if kind == "sum":
            return grpc.stream_unary_rpc_method_handler(self._sum)
        return grpc.unary_unary_rpc_method_handler(self._one)

    async def _one(self, request: bytes, _context: Any) -> bytes:
        return request

    async def _each(self, requests: AsyncIterator[bytes], _context: Any) -> AsyncIterator[bytes]:
        async for request in requests:
            yield request

    async def _list(self, request: bytes, _context: Any) -> AsyncIterator[bytes]:
        yield request

    async def _sum(self, requests: AsyncIterator[bytes], _context: Any) -> bytes:
        return b"".join([request async for request in requests])


@asynccontextmanager
async def echoing(
    credentials: grpc.ServerCredentials | None = None, echo: Echo | None = None
) -> AsyncIterator[str]:
    """Serve an echo on a free port of this machine; gives its address."""
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    server.add_generic_rpc_handlers((echo or Echo(),))
    if credentials is None:
        port = server.add_insecure_port("127.0.0.1:0")
    else:
        port = server.add_secure_port("127.0.0.1:0", credentials)
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(None)
