"""A gRPC server of the Open Inference Protocol, with health and reflection."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import grpc
from grpc_health.v1 import health_pb2

from protos import inference_pb2
from protos.errors import UsageError
from protos.rpc.channels import server_options
from protos.security.server_tls import ServerTls
from protos.serving import inference
from protos.serving.answers import Answerer, Catalogue
from protos.serving.drain import Drain
from protos.serving.health import HealthService, add_health, add_reflection
from protos.serving.inference import InferenceService
from protos.serving.message_guard import GuardedServer


@dataclass(frozen=True)
class Service:
    """A service beside the protocol: its full name, its handlers, and the generated module it is from."""

    name: str
    handlers: grpc.GenericRpcHandler
    stubs: Any


class OipServer:
    """Serves the models of a catalogue until it is stopped. Made and used in one event loop.

    Requests over `max_message_bytes` are refused; `stream_window` and `extensions` as in
    InferenceService; `drain` is told when it stops; `interceptors` see every call first, in this order. With
    `tls` it speaks nothing else. `before`: handlers of methods that go before its own; `twins`: servers that
    have not started, which get its services, too; `shares_port`: as in server_options.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        answerer: Answerer,
        drain: Drain,
        *,
        max_message_bytes: int,
        stream_window: int,
        extensions: Sequence[str],
        beside: Sequence[Service] = (),
        interceptors: Sequence[grpc.aio.ServerInterceptor] = (),
        tls: ServerTls | None = None,
        before: Sequence[grpc.GenericRpcHandler] = (),
        twins: Sequence[grpc.aio.Server] = (),
        shares_port: bool = False,
    ) -> None:
        self.address = ""
        """HOST:PORT that it is bound to, once it has started."""
        self._drain = drain
        self._tls = tls
        self._looking: asyncio.Task[None] | None = None
        self._server = grpc.aio.server(
            interceptors=list(interceptors),
            options=server_options(max_message_bytes, shares_port=shares_port),
        )
        names = (inference.SERVICE, *(service.name for service in beside))
        self.health = HealthService(names, drain)
        service = InferenceService(catalogue, answerer, drain, stream_window, extensions)
        handlers = (service.handlers(), *(service.handlers for service in beside))
        for server in (self._server, *twins):
            guarded = GuardedServer(server)
            guarded.add_generic_rpc_handlers(before)
            add_health(guarded, self.health)
            add_reflection(guarded, (inference_pb2, *(service.stubs for service in beside)))
            guarded.add_generic_rpc_handlers(handlers)

    async def start(self, listen: str) -> None:
        """Bind HOST:PORT, port 0 for any free one, and serve; UsageError when gRPC cannot.

        gRPC also writes to stderr why it cannot: try the address with open_listener before.
        """
        try:
            port = self._add_port(listen)
        except RuntimeError as error:
            raise UsageError(
                f"cannot listen on {listen}: {error}. Choose another `listen`."
            ).passing() from error
        self.address = f"{listen.rpartition(':')[0]}:{port}"
        await self._server.start()
        if self._tls is not None:
            self._looking = asyncio.create_task(self._tls.look_after())
        await self.health.announce()

    def _add_port(self, listen: str) -> int:
        if self._tls is None:
            return self._server.add_insecure_port(listen)
        return self._server.add_secure_port(listen, self._tls.credentials())

    async def show(self, service: str, *, serving: bool) -> None:
        """Let the health service tell of one more service whether it is there."""
        status = health_pb2.HealthCheckResponse
        await self.health.set(service, status.SERVING if serving else status.NOT_SERVING)

    async def show_short(self, *, is_short: bool) -> None:
        """Be not ready, for all who ask, while processes of the server lack; what comes is served."""
        self._drain.is_short = is_short
        await (self.health.withdraw() if is_short else self.health.announce())

    async def announce_drain(self) -> None:
        """Be not ready from now on, for all who ask; what comes is served until `stop`."""
        self._drain.announce()
        await self.health.enter_graceful_shutdown()

    async def stop(self, grace_s: float) -> None:
        """Drain: refuse new calls, and let those in flight finish for `grace_s`."""
        if self._looking is not None:
            self._looking.cancel()
        await self.health.enter_graceful_shutdown()
        stopping = asyncio.create_task(self._server.stop(grace_s))
        self._drain.start()
        await stopping
