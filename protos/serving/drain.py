"""The drain of a server that stops: requests in flight finish, and endless calls are told to end."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Drain:
    """Tells long calls that the server is stopping. Belongs to the event loop's thread."""

    def __init__(self) -> None:
        self.announced = False
        """Whether the server says that it is not ready, though it still takes what comes."""
        self.started = False
        self.is_short = False
        """Whether processes of the server are not there now, though it serves on by the others."""
        self._listeners: set[Callable[[], object]] = set()
        self._working = 0
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def ready(self) -> bool:
        """Whether new work should be sent here."""
        return not (self.announced or self.started or self.is_short)

    @contextmanager
    def listener(self, end: Callable[[], object]) -> Iterator[None]:
        """Call `end` once if draining starts within the block, or at once if it has started."""
        if self.started:
            end()
        self._listeners.add(end)
        try:
            yield
        finally:
            self._listeners.discard(end)

    @contextmanager
    def work(self) -> Iterator[None]:
        """Count the block as work that is to finish before the server ends."""
        self._working += 1
        self._idle.clear()
        try:
            yield
        finally:
            self._working -= 1
            if not self._working:
                self._idle.set()

    async def finished(self, grace_s: float) -> bool:
        """Wait until all work is done, for at most `grace_s`; False if some is not."""
        try:
            async with asyncio.timeout(grace_s):
                await self._idle.wait()
        except TimeoutError:
            return False
        return True

    def announce(self) -> None:
        """Be not ready from now on."""
        self.announced = True

    def start(self) -> None:
        """Tell all long calls to end; further calls of `start` do nothing."""
        if self.started:
            return
        self.started = True
        for end in tuple(self._listeners):
            end()
