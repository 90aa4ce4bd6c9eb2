"""The thread that computes on the device: of the frames that wait for it, the oldest goes first."""

import asyncio
import math
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from itertools import count
from typing import Any, TypeVar

from protos.errors import UsageError

R = TypeVar("R")

_Job = tuple[bool, float, int, "Future[Any] | None", Callable[[], Any]]
"""Whether it only fills pauses; when its frame arrived; its number; who waits for it; and the work."""


class ComputeThread:
    """Runs work on a thread of its own, by priority. The thread is a daemon, started when first needed."""

    def __init__(self) -> None:
        self._jobs: queue.PriorityQueue[_Job] = queue.PriorityQueue()
        self._numbers = count()
        self._thread: threading.Thread | None = None
        self._closed = False
        self._given = 0  # counted by the event loop
        self._done = 0  # counted by the thread

    @property
    def is_free(self) -> bool:
        """True while nothing runs, and nothing waits."""
        return self._given == self._done

    async def until_free(self) -> None:
        """Wait until nothing that is older than what comes next runs or waits."""
        await self.run(math.inf, _nothing)

    async def run(
        self, arrived_at: float, work: Callable[[], R], *, fills_pauses: bool = False
    ) -> R:
        """Return what `work` returns; of all that waits, what arrived first is run first.

        Work that `fills_pauses` is begun only when no other waits. Cancelled while it waits, work never
        runs; while it runs, it runs to its end, unheard. Raises UsageError when this is closed, or gets
        closed before its turn.
        """
        if self._closed:
            raise _closed()
        if self._thread is None:
            self._thread = threading.Thread(
                target=self._serve, name="splitpoint-device", daemon=True
            )
            self._thread.start()
        future: Future[R] = Future()
        self._given += 1
        self._jobs.put((fills_pauses, arrived_at, next(self._numbers), future, work))
        return await asyncio.wrap_future(future)

    def close(self) -> None:
        """Let the thread end; what waits for it fails. Does nothing twice."""
        self._closed = True
        self._jobs.put((False, -math.inf, next(self._numbers), None, _nothing))

    def _serve(self) -> None:
        while True:
            *_, future, work = self._jobs.get()
            if future is None:
                break
            self._work(future, work)
        while not self._jobs.empty():
            *_, future, _ = self._jobs.get()
            if future is not None and future.set_running_or_notify_cancel():
                future.set_exception(_closed())

    def _work(self, future: "Future[Any]", work: Callable[[], Any]) -> None:
        """Run one job, unless it was given up; who hears of its end finds the device free."""
        tell = _nothing
        if future.set_running_or_notify_cancel():
            try:
                tell = partial(future.set_result, work())
            except BaseException as error:  # noqa: BLE001 - it is raised where the work is awaited
                tell = partial(future.set_exception, error)
        self._done += 1
        tell()


def _nothing() -> None:
    """Take a turn, which comes when nothing else waits."""


def _closed() -> UsageError:
    return UsageError("the client was closed before this frame was done.")
