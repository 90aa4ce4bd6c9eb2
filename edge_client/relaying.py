"""The relay as a process."""

import asyncio
import contextlib
import signal
from collections.abc import Callable

from edge_client.relay import Relay
from partitioner.link import Link


async def relay_until_stopped(
    listen: str, to: str, link: Link, ready: Callable[[str], None]
) -> None:
    """Relay until SIGINT or SIGTERM, which both end it well; `ready` hears the address."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    async with Relay(listen, to, link) as relay:
        for number in (signal.SIGINT, signal.SIGTERM):
            with contextlib.suppress(NotImplementedError):  # no signals in this kind of loop
                loop.add_signal_handler(number, stopped.set)
        ready(relay.address)
        await stopped.wait()
