"""The player of schedules: it changes a relay's link as time passes, as a process if wanted."""

import asyncio
import contextlib
import math
import select
import selectors
import signal
from collections.abc import Callable
from time import monotonic

from edge_client.relay.relay import Clock, Relay, Sleep
from edge_client.relay.schedule import Schedule
from partitioner.network.link import Link

OnChange = Callable[[float, Link | None], None]
"""Hears the moment, from the start on, and the link from then on; None in a black-out."""


async def play(
    relay: Relay,
    schedule: Schedule,
    on_change: OnChange = lambda _time_s, _link: None,
    *,
    clock: Clock = monotonic,
    sleep: Sleep = asyncio.sleep,
) -> None:
    """Let the relay follow the schedule until nothing changes any more, or for ever."""
    begun, now_s = clock(), 0.0
    while True:
        if relay.link != (link := schedule.link_at(now_s)):
            relay.set_link(link)
            on_change(now_s, link)
        following_s = schedule.next_change_s(now_s)
        if following_s == math.inf:
            return
        reset_at_s = schedule.next_reset_s(now_s)
        await sleep(max(0.0, begun + following_s - clock()))
        now_s = following_s
        if reset_at_s <= now_s:
            relay.reset_connections()


_SELECTABLE = 1024
"""`select` knows files with smaller numbers alone."""


class _FineSelector(selectors.EpollSelector):
    """Waits to the microsecond, as `select` does, for one file: that of epoll, which watches the others.

    A process that had more than a thousand files open before waits to the millisecond.
    """

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Return which files are ready, after `timeout` seconds at most; None waits for ever."""
        if self.fileno() >= _SELECTABLE:
            return super().select(timeout)
        if timeout is None or timeout > 0:
            select.select([self.fileno()], [], [], timeout)
        return super().select(0)


def fine_loop() -> asyncio.AbstractEventLoop:
    """Return an event loop that sleeps to the microsecond: epoll's timer only knows whole milliseconds."""
    return asyncio.SelectorEventLoop(_FineSelector())


async def relay_until_stopped(
    listen: str,
    to: str,
    schedule: Schedule,
    ready: Callable[[str], None],
    on_change: OnChange = lambda _time_s, _link: None,
) -> None:
    """Relay until SIGINT or SIGTERM, which both end it well; `ready` hears the address."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    async with Relay(listen, to, schedule.link) as relay:
        for number in (signal.SIGINT, signal.SIGTERM):
            with contextlib.suppress(NotImplementedError):  # no signals in this kind of loop
                loop.add_signal_handler(number, stopped.set)
        ready(relay.address)
        playing = asyncio.create_task(_play_on(relay, schedule, on_change))
        stopping = asyncio.create_task(stopped.wait())
        await asyncio.wait((playing, stopping), return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if playing.done():
            playing.result()  # it ends by itself only if it fails
        playing.cancel()


async def _play_on(relay: Relay, schedule: Schedule, on_change: OnChange) -> None:
    await play(relay, schedule, on_change)
    await asyncio.Event().wait()  # nothing changes any more, and the relay goes on
