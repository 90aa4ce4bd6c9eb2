"""A proxy as Ray Serve has them, in this process and without Ray: bytes go to one replica's services."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import grpc.aio

from cloud_server.cluster.method_table import RefusedError
from cloud_server.cluster.options import ClusterOptions
from cloud_server.cluster.proxy_methods import add_methods
from cloud_server.cluster.tail_services import TailServices


class ServeContext:
    """What Serve hands to a replica of a call."""

    def __init__(self, peer: str = "ipv4:127.0.0.1:1") -> None:
        self._peer = peer
        self.code: grpc.StatusCode | None = None
        self.details = ""
        self.trailers: Sequence[tuple[str, str]] = ()

    def peer(self) -> str:
        return self._peer

    def set_code(self, code: grpc.StatusCode) -> None:
        self.code = code

    def set_details(self, details: str) -> None:
        self.details = details

    def set_trailing_metadata(self, trailers: Sequence[tuple[str, str]]) -> None:
        self.trailers = trailers

    def tell(self, call: Any) -> None:
        """Set on a call of gRPC what was set here."""
        if self.code is not None:
            call.set_code(self.code)
            call.set_details(self.details)
            call.set_trailing_metadata(tuple(self.trailers))


class ProxyServer:
    """Puts its own behaviour into the handlers that it gets, as Serve's proxies do."""

    def __init__(self, services: TailServices, server: grpc.aio.Server) -> None:
        self._services, self._server = services, server

    def add_generic_rpc_handlers(self, handlers: Any) -> None:
        for path, handler in handlers[0]._method_handlers.items():
            handlers[0]._method_handlers[path] = handler._replace(
                unary_unary=self._unary(path), unary_stream=self._stream(path)
            )
        self._server.add_generic_rpc_handlers(handlers)

    def _unary(self, path: str) -> Any:
        async def call(request: bytes, call: Any) -> bytes:
            context = ServeContext(call.peer())
            answer = await self._services.answer(path, request, context)
            context.tell(call)
            return answer.SerializeToString()

        return call

    def _stream(self, path: str) -> Any:
        async def call(request: bytes, call: Any) -> AsyncIterator[bytes]:
            context = ServeContext(call.peer())
            try:
                async for answer in self._services.answers(path, request, context):
                    yield answer.SerializeToString()
            except RefusedError:
                context.tell(call)

        return call


@asynccontextmanager
async def serve_proxy(bundles: Path, **options: Any) -> AsyncIterator[str]:
    """The HOST:PORT of a proxy before a replica with these options."""
    services = TailServices(ClusterOptions(bundles, **options))
    await services.look()
    server = grpc.aio.server()
    add_methods(object(), ProxyServer(services, server))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(0)
        services.close()
