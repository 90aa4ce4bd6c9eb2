"""Looking after a cloud that no frame looks after: probes on a connection of their own.

While the breaker is open, a greeting finds out whether the cloud is back and has this bundle still.
While the policy keeps frames here, small transfers find out whether the link has become better. While
requests wait in silence for long, a probe tells a dead connection from a slow one.
"""

import asyncio
import contextlib
import math
from collections.abc import Awaitable, Callable
from time import perf_counter

import grpc
import grpc.aio

from edge_client.cloud.circuit_breaker import Breaker
from edge_client.cloud.greeting import ServerInfo, ask, greet
from edge_client.cloud.stream import GrpcTransport
from edge_client.control.controller import Controller
from partitioner.bundle.bundle import Bundle
from partitioner.common.event_loop import repeat
from partitioner.network.link_estimator import Transfer
from partitioner.policy.estimates import PROBE_EVERY_S, PROBE_IDLE_S, PROBE_LIMIT_S
from protos.errors import FaultError, NetworkError, SplitpointError
from protos.rpc.calls import translate
from protos.rpc.channels import channel_options
from protos.rpc.message_limits import DEFAULT_MAX_MESSAGE_BYTES
from protos.splitpoint_pb2 import ProbeRequest, ProbeResponse

TICK_S = 0.1
_SECOND_LOOKS = 2
"""At once after a probe that was far from what was expected, so that a step is known earlier."""
SILENCE_S = 2.0
"""Requests that wait without a sign of life for so long make the link presumed dead."""
_GREET_S = 1.0
_LONGEST_REST_S = 30.0
"""After a plan that failed, however long it had taken."""
GREET_EVERY_S = 5.0
"""While the cloud has another calibration: it may be restarted so quickly that nobody notices."""
_FIRST_BYTES, _GROWTH = 4096, 8
_FELT_S = 0.1
"""Over a new link: so many bytes at first, then so many times as many, until they take so long."""
_MORE_LOOKS, _PATIENCE_S = 2, 0.25
_PROBE_FRAMING = 200
"""Bytes of a probe beside its payload, and of its answer."""

OnBack = Callable[[ServerInfo], Awaitable[None]]


class CloudWatch:
    """Probes when there is reason to. `step` does what is due now; `run` calls it again and again."""

    def __init__(
        self,
        bundle: Bundle,
        transport: GrpcTransport,
        breaker: Breaker,
        controller: Controller,
        on_back: OnBack,
        clock: Callable[[], float] = perf_counter,
    ) -> None:
        self.probes = 0
        """How often the link was probed."""
        self._bundle = bundle
        self._transport = transport
        self._breaker = breaker
        self._controller = controller
        self._on_back = on_back
        self._clock = clock
        self._channel: grpc.aio.Channel | None = None
        self._probed_at = self._greeted_at = float("-inf")

    async def run(self) -> None:
        """Step until cancelled; a step that fails with a bug must not leave the cloud unwatched."""
        await repeat(self.step, TICK_S, "looking after the cloud")

    async def step(self) -> None:
        """Do what is due now, if anything is."""
        now_s = self._clock()
        if self._breaker.is_due(now_s):
            await self._look_for_the_cloud()
        elif self._distrusts and now_s - self._greeted_at >= GREET_EVERY_S:
            await self._greet_again(now_s)
        elif self._transport.silent_s > SILENCE_S and not self._breaker.is_open:
            await self._check_for_life()
        elif self._is_idle(now_s):
            await self._probe_link()

    async def close(self) -> None:
        """Let go of the connection."""
        await self._hang_up()

    @property
    def _distrusts(self) -> bool:
        return self._controller.distrusts is not None and not self._breaker.is_open

    def _is_idle(self, now_s: float) -> bool:
        known_at = max(self._probed_at, self._controller.learned.crossed_at)
        return (
            self._controller.adapts
            and not self._breaker.is_open
            and now_s - known_at >= PROBE_EVERY_S
            and now_s - self._controller.called_at < PROBE_IDLE_S
            and not self._transport.is_busy
        )

    async def _look_for_the_cloud(self) -> None:
        """Greet, over a new connection each time: an old one may still wait for what is lost."""
        await self._hang_up()
        planned_at = math.inf
        try:
            info = await greet(self._connect(), self._transport.address, self._bundle, _GREET_S)
            if self._controller.adapts and info.probes:
                self._controller.learned.measured(*await self._new_link())
            planned_at = self._clock()
            await self._on_back(info)
        except SplitpointError as error:
            await self._hang_up()
            self._not_back(error, planned_at)
            return
        except Exception as error:
            self._not_back(FaultError(f"looking for it failed: {error!r}"), planned_at)
            raise
        await self._transport.close()  # whatever hung there hangs no longer
        self._breaker.probed(None, self._clock())

    def _not_back(self, error: SplitpointError, planned_at: float) -> None:
        """Tell the breaker; both sides may have measured since `planned_at`, which is not begun anew at once.

        Unless it was the link that failed: it may be well again at any moment.
        """
        now_s = self._clock()
        measured_s = 0.0 if isinstance(error, NetworkError) else now_s - planned_at
        self._breaker.probed(error, now_s, wait_s=min(measured_s, _LONGEST_REST_S))

    async def _greet_again(self, now_s: float) -> None:
        """Look whether the cloud has this bundle's calibration by now, and its bundle still."""
        self._greeted_at = now_s
        try:
            info = await greet(self._connect(), self._transport.address, self._bundle, _GREET_S)
            await self._on_back(info)
        except (NetworkError, FaultError):
            await self._hang_up()  # frames will tell
        except SplitpointError as error:
            self._breaker.trip(error, self._clock())

    async def _check_for_life(self) -> None:
        try:
            await self._transfer(1)
        except NetworkError as error:
            await self._hang_up()
            if self._transport.silent_s > SILENCE_S:
                self._breaker.trip(error, self._clock())
                await self._transport.close()
        except SplitpointError:
            pass  # it answers, and that is life

    async def _probe_link(self) -> None:
        try:
            for seen in await self._transfers():
                self._controller.learned.crossed(seen)
            for _ in range(_SECOND_LOOKS):
                if not self._controller.learned.suspects:
                    break
                self._controller.learned.crossed(
                    await self._transfer(self._controller.probe_bytes())
                )
            self._controller.think_ahead()
        except NetworkError as error:
            await self._hang_up()
            self._breaker.trip(error, self._clock())
        except SplitpointError:
            pass  # a standard server knows no probes: then frames alone tell

    async def _transfers(self) -> tuple[Transfer, Transfer]:
        """Return a small transfer, which is all round trip, and a larger one."""
        self._probed_at = self._clock()
        if self._channel is None:
            await self._transfer(1)  # connects
        return await self._transfer(1), await self._transfer(self._controller.probe_bytes())

    async def _new_link(self) -> tuple[Transfer, Transfer]:
        """Return a small and a larger transfer over a link of which nothing is known any more.

        The larger one grows until its bytes are felt: what fitted the link of before may block this one
        for long. Each is the fastest of a few, since the first ones pay for a server and a connection that
        have just begun.
        """
        self._probed_at = self._clock()
        small = await self._fastest(await self._transfer(1))
        wanted = self._controller.probe_bytes()
        large = await self._transfer(size := min(_FIRST_BYTES, wanted))
        while size < wanted and large.network_s - small.network_s < _FELT_S:
            large = await self._transfer(size := min(_GROWTH * size, wanted))
        return small, await self._fastest(large)

    async def _fastest(self, first: Transfer) -> Transfer:
        """Return the fastest of a few transfers like the first one, unless that took long."""
        fastest, size = first, int(first.upload_bytes) - _PROBE_FRAMING
        for _ in range(_MORE_LOOKS):
            if self._clock() - first.begun_at > _PATIENCE_S:
                break
            again = await self._transfer(size)
            fastest = min(fastest, again, key=lambda seen: seen.network_s)
        return fastest

    async def _transfer(self, size: int) -> Transfer:
        channel, address = self._connect(), self._transport.address
        self.probes += 1
        request = ProbeRequest(payload=bytes(size), reply_bytes=1)
        begun_at = self._clock()
        try:
            reply = await ask(channel, address, "Probe", request, ProbeResponse, PROBE_LIMIT_S)
        except grpc.aio.AioRpcError as failure:
            raise translate(failure, address) from failure
        came_at, server_s = self._clock(), reply.server_ns / 1e9
        if server_s > came_at - begun_at:
            raise FaultError(f"{address} says that a probe took longer there than altogether.")
        return Transfer(size + _PROBE_FRAMING, _PROBE_FRAMING, begun_at, came_at, server_s)

    def _connect(self) -> grpc.aio.Channel:
        if self._channel is None:
            options = channel_options(DEFAULT_MAX_MESSAGE_BYTES)
            self._channel = grpc.aio.insecure_channel(self._transport.address, options=options)
        return self._channel

    async def _hang_up(self) -> None:
        channel, self._channel = self._channel, None
        if channel is not None:
            with contextlib.suppress(asyncio.CancelledError):
                await channel.close()
