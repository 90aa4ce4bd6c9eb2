"""A gRPC server of the Open Inference Protocol with health and reflection, from its start to its drain."""

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from protos import inference_pb2
from protos.channels import server_options
from protos.errors import UsageError
from protos.printable import printable
from protos.serving import inference
from protos.serving.answering import Answerer, Catalogue
from protos.serving.drain import Drain
from protos.serving.health import HealthService, add_reflection
from protos.serving.inference import InferenceService

_LONGEST_CALL_S = 3600.0
"""What a call may last that a server had taken before it ended by itself."""
_AGAIN_S = 1.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Service:
    """A service beside the protocol: its full name, its handlers, and the generated module it is from."""

    name: str
    handlers: grpc.GenericRpcHandler
    stubs: Any


class OipServer:
    """Serves the models of a catalogue until it is stopped. Made and used in one event loop.

    Requests over `max_message_bytes` are refused; `stream_window` and `extensions` as in
    InferenceService; `drain` is told when it stops.
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
    ) -> None:
        self.address = ""
        """HOST:PORT that it is bound to, once it has started."""
        self._drain = drain
        self._options = server_options(max_message_bytes)
        self._stubs = (inference_pb2, *(service.stubs for service in beside))
        names = (inference.SERVICE, *(service.name for service in beside))
        self.health = HealthService(names, drain)
        service = InferenceService(catalogue, answerer, drain, stream_window, extensions)
        self._handlers = (service.handlers(), *(service.handlers for service in beside))
        self._server = self._make()
        self._ended: dict[grpc.aio.Server, asyncio.Task[None]] = {}
        self._guard: asyncio.Task[None] | None = None

    async def start(self, listen: str) -> None:
        """Bind HOST:PORT, port 0 for any free one, and serve; UsageError when gRPC cannot.

        gRPC also writes to stderr why it cannot: try the address with open_listener before.
        """
        try:
            port = self._server.add_insecure_port(listen)
        except RuntimeError as error:
            raise UsageError(
                f"cannot listen on {listen}: {error}. Choose another --listen."
            ) from error
        self.address = f"{listen.rpartition(':')[0]}:{port}"
        await self._server.start()
        await self.health.announce()
        self._guard = asyncio.create_task(self._keep_up())

    async def show(self, service: str, *, serving: bool) -> None:
        """Let the health service tell of one more service whether it is there."""
        status = health_pb2.HealthCheckResponse
        await self.health.set(service, status.SERVING if serving else status.NOT_SERVING)

    async def stop(self, grace_s: float) -> None:
        """Drain: refuse new calls, and let those in flight finish for `grace_s`."""
        if self._guard is not None:
            self._guard.cancel()
        await self.health.enter_graceful_shutdown()
        servers = (self._server, *self._ended)
        stopping = [asyncio.create_task(server.stop(grace_s)) for server in servers]
        self._drain.start()
        await asyncio.gather(*stopping)

    def _make(self) -> grpc.aio.Server:
        server = grpc.aio.server(options=self._options)
        health_pb2_grpc.add_HealthServicer_to_server(self.health, server)
        add_reflection(server, self._stubs)
        server.add_generic_rpc_handlers(self._handlers)
        return server

    async def _keep_up(self) -> None:
        """Listen again where gRPC's server has ended by itself: one method whose name is no UTF-8 does that.

        The calls that it has taken go on, and end in their own time.
        """
        while True:
            await _until_deaf(self.address)
            server = self._make()
            try:
                server.add_insecure_port(self.address)
            except RuntimeError as error:  # it does listen, or somebody else does
                _log.error("nobody answers at %s: %s", self.address, printable(error))
                await asyncio.sleep(_AGAIN_S)
                continue
            _log.error("gRPC has ended its server at %s; a new one listens there", self.address)
            self._wind_up(self._server)
            self._server = server
            await server.start()

    def _wind_up(self, server: grpc.aio.Server) -> None:
        async def end() -> None:
            with contextlib.suppress(Exception):  # what has ended it comes up once more
                await server.stop(_LONGEST_CALL_S)
            del self._ended[server]

        self._ended[server] = asyncio.create_task(end())


async def _until_deaf(address: str) -> None:
    """Return when nobody listens at an address: a line to it is hung up then, and not taken again."""
    options = (("grpc.enable_http_proxy", 0), ("grpc.use_local_subchannel_pool", 1))
    async with grpc.aio.insecure_channel(address, options) as line:
        state = line.get_state(try_to_connect=True)
        while state is not grpc.ChannelConnectivity.TRANSIENT_FAILURE:
            await line.wait_for_state_change(state)
            state = line.get_state(try_to_connect=True)
