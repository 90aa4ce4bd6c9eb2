"""The drain of a server that stops: requests in flight finish, and endless calls are told to end."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Drain:
    """Tells long calls that the server is stopping. Belongs to the event loop's thread."""

    def __init__(self) -> None:
        self.started = False
        self._listeners: set[Callable[[], object]] = set()

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

    def start(self) -> None:
        """Tell all long calls to end; further calls of `start` do nothing."""
        if self.started:
            return
        self.started = True
        for end in tuple(self._listeners):
            end()
