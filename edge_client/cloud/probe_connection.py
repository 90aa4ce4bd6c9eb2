"""A connection for probes alone: transfers of known size, and greetings, beside the stream of frames."""

import asyncio
import contextlib
from collections.abc import Callable
from time import perf_counter

import grpc
import grpc.aio

from edge_client.cloud.greeting import ServerInfo, ask, greet
from partitioner.bundle.bundle import Bundle
from partitioner.estimators.link_estimator import Transfer
from partitioner.policy.estimates import PROBE_LIMIT_S
from protos.errors import FaultError
from protos.rpc.calls import translate
from protos.rpc.channels import channel_options
from protos.rpc.message_limits import DEFAULT_MAX_MESSAGE_BYTES
from protos.splitpoint_pb2 import ProbeRequest, ProbeResponse

_GREET_S = 1.0
_FIRST_BYTES, _GROWTH = 4096, 8
_FELT_S = 0.1
"""Over a new link: so many bytes at first, then so many times as many, until they take so long."""
_MORE_LOOKS, _PATIENCE_S = 2, 0.25
_PROBE_FRAMING = 200
"""Bytes of a probe beside its payload, and of its answer."""


class ProbeConnection:
    """Connects to `address` with the first call, and anew after `hang_up`. Used in one event loop.

    All calls raise NetworkError when the server does not answer in time, and FaultError for an answer
    that makes no sense.
    """

    def __init__(self, address: str, clock: Callable[[], float] = perf_counter) -> None:
        self.count = 0
        """Transfers so far."""
        self.probed_at = float("-inf")
        """When the link was last measured by two transfers."""
        self._address = address
        self._clock = clock
        self._channel: grpc.aio.Channel | None = None

    async def greet(self, bundle: Bundle) -> ServerInfo:
        """Ask the server who it is and compare bundles; see greeting.greet."""
        return await greet(self._connected(), self._address, bundle, _GREET_S)

    async def transfer(self, size: int) -> Transfer:
        """Send `size` bytes and as good as nothing back."""
        channel = self._connected()
        self.count += 1
        request = ProbeRequest(payload=bytes(size), reply_bytes=1)
        begun_at = self._clock()
        try:
            reply = await ask(
                channel, self._address, "Probe", request, ProbeResponse, PROBE_LIMIT_S
            )
        except grpc.aio.AioRpcError as failure:
            raise translate(failure, self._address) from failure
        came_at, server_s = self._clock(), reply.server_ns / 1e9
        if server_s > came_at - begun_at:
            raise FaultError(
                f"{self._address} says that a probe took longer there than altogether."
            )
        return Transfer(size + _PROBE_FRAMING, _PROBE_FRAMING, begun_at, came_at, server_s)

    async def two_transfers(self, large_bytes: int) -> tuple[Transfer, Transfer]:
        """Return a small transfer, which is all round trip, and a larger one."""
        self.probed_at = self._clock()
        if self._channel is None:
            await self.transfer(1)  # connects
        return await self.transfer(1), await self.transfer(large_bytes)

    async def two_over_a_new_link(self, large_bytes: int) -> tuple[Transfer, Transfer]:
        """Return a small and a larger transfer over a link of which nothing is known any more.

        The larger one grows until its bytes are felt: what fitted the link of before may block this one
        for long. Each is the fastest of a few, since the first ones pay for a server and a connection that
        have just begun.
        """
        self.probed_at = self._clock()
        small = await self._fastest(await self.transfer(1))
        large = await self.transfer(size := min(_FIRST_BYTES, large_bytes))
        while size < large_bytes and large.network_s - small.network_s < _FELT_S:
            large = await self.transfer(size := min(_GROWTH * size, large_bytes))
        return small, await self._fastest(large)

    async def hang_up(self) -> None:
        """Let go of the connection; the next call makes another one."""
        channel, self._channel = self._channel, None
        if channel is not None:
            with contextlib.suppress(asyncio.CancelledError):
                await channel.close()

    async def _fastest(self, first: Transfer) -> Transfer:
        """Return the fastest of a few transfers like the first one, unless that took long."""
        fastest, size = first, int(first.upload_bytes) - _PROBE_FRAMING
        for _ in range(_MORE_LOOKS):
            if self._clock() - first.begun_at > _PATIENCE_S:
                break
            again = await self.transfer(size)
            fastest = min(fastest, again, key=lambda seen: seen.network_s)
        return fastest

    def _connected(self) -> grpc.aio.Channel:
        if self._channel is None:
            options = channel_options(DEFAULT_MAX_MESSAGE_BYTES)
            self._channel = grpc.aio.insecure_channel(self._address, options=options)
        return self._channel
