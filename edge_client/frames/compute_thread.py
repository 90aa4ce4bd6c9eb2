"""The thread that computes on the device: of the frames that wait for it, the oldest goes first."""

import asyncio
import math
import queue
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from itertools import count
from typing import Any, TypeVar

from protos.errors import UsageError

R = TypeVar("R")

_Job = tuple[bool, float, int, "Future[Any]", Callable[[], Any]]
"""Whether it only fills pauses; when its frame arrived; its number; who waits for it; and the work."""


class ComputeThread:
    """Runs work on a thread of its own, by priority. The thread is started when first needed.

    The end of the program waits for what runs, whether this was closed or not: a thread that comes back from
    the runtime when the interpreter is gone would abort the process. So the thread is an executor's, and no
    daemon.
    """

    def __init__(self) -> None:
        self._jobs: queue.PriorityQueue[_Job] = queue.PriorityQueue()
        self._numbers = count()
        self._thread = ThreadPoolExecutor(1, "splitpoint-device")
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
        future: Future[R] = Future()
        self._jobs.put((fills_pauses, arrived_at, next(self._numbers), future, work))
        try:
            self._thread.submit(self._take)
        except RuntimeError as error:  # it is shut down, or the interpreter is about to end
            self._drop_waiting()
            raise _closed() from error
        self._given += 1
        return await asyncio.wrap_future(future)

    def close(self) -> None:
        """Let the thread end after what it runs; what waits for it fails. Does nothing twice."""
        self._thread.shutdown(wait=False, cancel_futures=True)
        self._drop_waiting()

    def _drop_waiting(self) -> None:
        while (job := self._next()) is not None:
            future, _ = job
            if future.set_running_or_notify_cancel():
                future.set_exception(_closed())

    def _take(self) -> None:
        """Run the job that is first now: each turn has one, unless this was closed meanwhile."""
        if (job := self._next()) is not None:
            self._work(*job)

    def _next(self) -> "tuple[Future[Any], Callable[[], Any]] | None":
        try:
            return self._jobs.get_nowait()[-2:]
        except queue.Empty:
            return None

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
