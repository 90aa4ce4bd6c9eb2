"""A connection for probes alone: transfers of known size, and greetings, beside the stream of frames."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from time import perf_counter
from typing import TypeVar

import grpc
import grpc.aio

from edge_client.cloud.greeting import ServerInfo, greet
from edge_client.cloud.unary_call import OIP_SERVICE, ask
from partitioner.bundle.bundle import Bundle
from partitioner.estimators.cloud_checks import (
    PATIENT_GREET_S,
    PROBE_FRAMING,
    transfers_over_a_new_link,
)
from partitioner.estimators.transfer import Transfer
from partitioner.policy.estimates import PROBE_LIMIT_S
from protos.errors import FaultError, QuotaError, UnreachableError
from protos.rpc.calls import translate
from protos.rpc.endpoints import Endpoint
from protos.splitpoint_pb2 import ProbeRequest, ProbeResponse
from protos.wire.framing import padding

_WAITS, _LONGEST_WAIT_S = 3, 5.0
"""How often a quota is waited for, and how long at most: no frame is served by this server meanwhile."""

T = TypeVar("T")


class ProbeConnection:
    """Connects to `server` with the first call, and anew after `hang_up`. Used in one event loop.

    All calls raise NetworkError when the server does not answer in time, and FaultError for an answer
    that makes no sense.
    """

    def __init__(
        self,
        server: Endpoint,
        clock: Callable[[], float] = perf_counter,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.count = 0
        """Transfers so far,"""
        self.sent_bytes = 0
        """and the bytes that they have sent, with their framing."""
        self._server = server
        self._clock = clock
        self._sleep = sleep
        self._is_plain = False
        """Whether the server is known not to know our probes."""
        self._channel: grpc.aio.Channel | None = None

    async def turn_to(self, server: Endpoint) -> None:
        """Connect to this server with the next call, over a new connection."""
        await self.hang_up()
        self._server = server
        self._is_plain = False

    async def follow(self, server: Endpoint) -> None:
        """Connect to this server with the next call, unless it is the one that was connected to."""
        if server != self._server:
            await self.turn_to(server)

    async def greet(self, bundle: Bundle, patience_s: float = PATIENT_GREET_S) -> ServerInfo:
        """Ask the server who it is and compare bundles; see greeting.greet."""
        return await self._patiently(
            lambda: greet(self._connected(), self._server, bundle, patience_s)
        )

    async def transfer(self, size: int) -> Transfer:
        """Send `size` bytes and as good as nothing back."""
        return await self._patiently(lambda: self._transfer(size))

    async def _patiently(self, ask_once: Callable[[], Awaitable[T]]) -> T:
        """Ask again after as long as a server tells this device to wait for its quota, a few times."""
        for _ in range(_WAITS):
            try:
                return await ask_once()
            except QuotaError as error:
                if not 0 < error.retry_after_s <= _LONGEST_WAIT_S:
                    raise
                await self._sleep(error.retry_after_s)
        return await ask_once()

    async def _transfer(self, size: int) -> Transfer:
        channel = self._connected()
        self.count += 1
        self.sent_bytes += size + PROBE_FRAMING
        request = ProbeRequest(payload=bytes(size), reply_bytes=1)
        if self._is_plain:
            return await self._padded(channel, size)
        begun_at = self._clock()
        try:
            reply = await ask(channel, self._server, "Probe", request, ProbeResponse, PROBE_LIMIT_S)
        except grpc.aio.AioRpcError as failure:
            if failure.code() is grpc.StatusCode.UNIMPLEMENTED:
                self._is_plain = True
                return await self._padded(channel, size)
            raise translate(failure, self._server) from failure
        came_at, server_s = self._clock(), reply.server_ns / 1e9
        if server_s > came_at - begun_at:
            raise FaultError(f"{self._server} says that a probe took longer there than altogether.")
        return Transfer(size + PROBE_FRAMING, PROBE_FRAMING, begun_at, came_at, server_s)

    async def _padded(self, channel: grpc.aio.Channel, size: int) -> Transfer:
        """Ask a standard server whether it lives, with padding that it skips in as good as no time."""
        method: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]
        method = channel.unary_unary(f"{OIP_SERVICE}ServerLive")
        begun_at = self._clock()
        try:
            await method(padding(size), timeout=PROBE_LIMIT_S)
        except grpc.aio.AioRpcError as failure:
            raise translate(failure, self._server) from failure
        except grpc.aio.UsageError as error:
            raise UnreachableError(f"the connection to {self._server} is closed.") from error
        return Transfer(size + PROBE_FRAMING, PROBE_FRAMING, begun_at, self._clock(), 0.0)

    async def two_over_a_new_link(self, large_bytes: int) -> tuple[Transfer, Transfer]:
        """Return a small and a larger transfer over a link of which nothing is known any more."""
        measuring = transfers_over_a_new_link(large_bytes)
        size = next(measuring)
        while True:
            seen = await self.transfer(size)
            try:
                size = measuring.send(seen)
            except StopIteration as measured:
                small, large = measured.value
                return small, large

    async def hang_up(self) -> None:
        """Let go of the connection; the next call makes another one."""
        channel, self._channel = self._channel, None
        if channel is not None:
            with contextlib.suppress(asyncio.CancelledError):
                await channel.close()

    def _connected(self) -> grpc.aio.Channel:
        if self._channel is None:
            self._channel = self._server.open_async(reconnects=False)
        return self._channel
