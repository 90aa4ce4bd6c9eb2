"""The relay: TCP connections through it see a link's rate and delay in both directions; needs no root."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from time import monotonic
from types import TracebackType
from typing import Self

from edge_client.relay.pacer import OneWay, Pacer
from partitioner.network.link import Link
from protos.errors import UsageError
from protos.rpc.addresses import check_server, not_listening, split_address

_log = logging.getLogger(__name__)

_QUEUE_BYTES = 32 << 10
"""A reader stops at twice this much per connection and direction; TCP then slows the sender."""
_EARLY_S = 0.0003
"""Seconds by which a sleep is usually late, in a loop whose timer is fine (see `fine_loop`)."""

Clock = Callable[[], float]
Sleep = Callable[[float], Awaitable[None]]
Mangle = Callable[[bytes], bytes]
"""Returns the bytes that arrive of a chunk; none, if they are lost."""


class Relay:
    """Listens at `listen`, connects each caller to `to` (both HOST:PORT), and behaves like `link`.

    All connections share the link's rate, in turn, chunk by chunk; half of the RTT is spent each way.
    What does not fit is left with the sender. To be used in one event loop:

        async with Relay("127.0.0.1:0", "127.0.0.1:50051", link) as relay:
            relay.address
    """

    def __init__(
        self,
        listen: str,
        to: str,
        link: Link,
        *,
        clock: Clock = monotonic,
        sleep: Sleep | None = None,
        mangle: Mangle | None = None,
    ) -> None:
        self._listen = split_address(listen)
        self._to = split_address(to, "to pass on to")
        check_server(to)
        self._link: Link | None = link
        up, down = _directions(link)
        self._up = _Direction(Pacer(up), clock, sleep or asyncio.sleep, mangle)
        self._down = _Direction(Pacer(down), clock, sleep or asyncio.sleep, mangle)
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self._is_refused = False

    @property
    def address(self) -> str:
        """HOST:PORT that callers connect to."""
        if self._server is None:
            raise UsageError("the relay does not listen yet. Start it first.")
        host, port = self._server.sockets[0].getsockname()[:2]
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    @property
    def link(self) -> Link | None:
        """The link as it is now; None in a black-out."""
        return self._link

    def set_link(self, link: Link | None) -> None:
        """Change the link, from the next bytes on. To be called in the relay's event loop.

        None is a black-out: connections stay, are even taken, and nothing gets through, not their end
        either; what the senders have not got rid of by then waits for the link's return.
        """
        self._link = link
        for direction in (self._up, self._down):
            direction.is_up.set() if link else direction.is_up.clear()
        if link is not None:
            for direction, line in zip((self._up, self._down), _directions(link), strict=True):
                direction.pacer.follow(line)

    @property
    def carried_bytes(self) -> tuple[int, int]:
        """Bytes that went up and down so far."""
        return self._up.carried_bytes, self._down.carried_bytes

    def reset_connections(self) -> None:
        """Reset every connection, as a link does that goes away; new ones are taken."""
        for connection in self._connections:
            connection.cancel()

    async def start(self) -> None:
        """Listen; UsageError when the address is taken or not of this machine."""
        host, port = self._listen
        try:
            self._server = await asyncio.start_server(self._serve, host, port, limit=_QUEUE_BYTES)
        except OSError as error:
            raise not_listening(f"{host}:{port}", "listen", error) from error

    async def stop(self) -> None:
        """Stop listening and reset every connection."""
        if self._server is not None:
            self._server.close()
        self.reset_connections()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # The streams' own task for this callback would report its cancelling as an error.
        task = asyncio.create_task(self._connect(reader, writer))
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)

    async def _connect(self, near: asyncio.StreamReader, near_out: asyncio.StreamWriter) -> None:
        """Join one caller to the server until both have said all, or one resets."""
        far_out: asyncio.StreamWriter | None = None
        try:
            far, far_out = await asyncio.open_connection(*self._to, limit=_QUEUE_BYTES)
            self._note(None)
            async with asyncio.TaskGroup() as both:
                both.create_task(self._up.carry(near, far_out))
                both.create_task(self._down.carry(far, near_out))
        except* OSError as reset:
            if far_out is None:
                self._note(reset.exceptions[0])
            near_out.transport.abort()  # no server, or reset: the other side has to see it too
        finally:
            for out in (near_out, far_out):
                if out is not None:
                    out.transport.abort() if _is_cancelled() else out.close()

    def _note(self, refusal: BaseException | None) -> None:
        """Log once that the server does not answer, and once that it does again: callers may try often."""
        if refusal and not self._is_refused:
            _log.warning("nobody answers at %s:%s: %s", *self._to, refusal)
        elif self._is_refused and not refusal:
            _log.warning("%s:%s answers again", *self._to)
        self._is_refused = refusal is not None


class _Direction:
    """One direction of the link, which all connections share."""

    def __init__(self, pacer: Pacer, clock: Clock, sleep: Sleep, mangle: Mangle | None) -> None:
        self.pacer = pacer
        self.carried_bytes = 0
        self.is_up = asyncio.Event()
        self.is_up.set()
        self._mangle = mangle
        self._clock = clock
        self._sleep = sleep
        self._turn = asyncio.Lock()  # wakes in the order of asking, which makes it fair

    async def carry(self, source: asyncio.StreamReader, out: asyncio.StreamWriter) -> None:
        """Carry one connection's bytes, and then its end."""
        travelling = _Travelling()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._deliver(travelling, out))
            while data := await source.read(self.pacer.chunk_bytes):
                if self._mangle and not (data := self._mangle(data)):
                    continue
                travelling.put(await self._admit(len(data)), data)
                await travelling.below(self.pacer.capacity_bytes)
            await self.is_up.wait()
            travelling.put(self._clock() + self.pacer.line.delay_s, b"")

    async def _admit(self, size: int) -> float:
        async with self._turn:
            await self.is_up.wait()
            while (wait_s := self.pacer.wait_s(self._clock())) > 0:
                await self._sleep(wait_s)
            self.carried_bytes += size
            return self.pacer.admit(size, self._clock())

    async def _deliver(self, travelling: "_Travelling", out: asyncio.StreamWriter) -> None:
        while True:
            due, data = await travelling.get()
            if (wait_s := due - self._clock() - _EARLY_S) > 0:
                await self._sleep(wait_s)
            if not data:
                with contextlib.suppress(OSError):
                    out.write_eof()
                return
            out.write(data)
            await out.drain()
            travelling.delivered(len(data))


class _Travelling:
    """The chunks of one connection that are on the line, and when each arrives."""

    def __init__(self) -> None:
        self._chunks: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
        self._bytes = 0
        self._less = asyncio.Event()

    def put(self, due: float, data: bytes) -> None:
        self._bytes += len(data)
        self._chunks.put_nowait((due, data))

    async def get(self) -> tuple[float, bytes]:
        return await self._chunks.get()

    def delivered(self, size: int) -> None:
        self._bytes -= size
        self._less.set()

    async def below(self, limit: int) -> None:
        """Wait until there is less than `limit`: the receiver may take it more slowly than it comes."""
        while self._bytes >= limit:
            self._less.clear()
            await self._less.wait()


def _directions(link: Link) -> tuple[OneWay, OneWay]:
    half_s = link.rtt_s / 2
    return OneWay(link.uplink_bps, half_s), OneWay(link.downlink_bps, half_s)


def _is_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
