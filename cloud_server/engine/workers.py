"""The workers: threads that take batches from the queue whenever they are free."""

import logging
import math
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, TypeVar

from cloud_server.engine.batch_queue import BatchQueue, Waiting
from protos.errors import UnreachableError
from protos.serving.refusals import DRAINING

W = TypeVar("W", bound=Waiting)

_LONGEST_S = 3600.0
"""That a thread sleeps: the system has a limit of its own."""

_log = logging.getLogger(__name__)


class Workers(Generic[W]):
    """Runs what the queue has ready on a fixed number of threads; nobody polls.

    A worker that is done takes the next batch itself, without asking the event loop. Where batches only wait
    to grow, one idle worker sleeps until the first of them has waited for long enough. Methods may be called
    from any thread.
    """

    def __init__(self, number: int, run: Callable[[Sequence[W]], None]) -> None:
        self.queue: BatchQueue[W] = BatchQueue()
        """Read its counts only; what changes it goes through the workers."""
        self._number, self._run = number, run
        self._busy = 0
        self._closed = self._is_watched = False
        self._changed = threading.Condition()
        self._executor = ThreadPoolExecutor(number, thread_name_prefix="infer")

    def offer(self, one: W) -> None:
        """Queue one. Raises OverloadedError, see BatchQueue, and UnreachableError once this was closed."""
        with self._changed:
            self.check_open()
            self.queue.offer(one)
            self._wake()

    def check_open(self) -> None:
        """Raise UnreachableError once this was closed: nobody would ever begin what is offered."""
        if self._closed:
            raise UnreachableError(DRAINING)

    def withdraw(self, one: W) -> bool:
        """Take one out again; False if it has begun."""
        with self._changed:
            return self.queue.withdraw(one)

    def expire(self) -> tuple[list[W], float]:
        """Take out what is late, and say when to call again: a moment of perf_counter_ns, or infinity."""
        with self._changed:
            late = self.queue.expire(time.perf_counter_ns())
            return late, self.queue.alarm_ns()

    def close(self) -> list[W]:
        """Begin nothing more, and return what waited; what runs ends by itself."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            waiting = self.queue.clear()
        self._executor.shutdown(wait=False)
        return waiting

    def _wake(self) -> None:
        """See to it that somebody looks at the queue."""
        if self._is_watched:
            self._changed.notify()
        elif self._busy < self._number and not self._closed:
            self._busy += 1
            self._executor.submit(self._work)

    def _work(self) -> None:
        while batch := self._next():
            try:
                self._run(batch)
            except Exception:  # noqa: BLE001 - whoever runs batches tells the callers; a worker goes on
                _log.exception("a batch has failed")

    def _next(self) -> list[W]:
        """Return the next batch; none: this worker is idle from now on."""
        with self._changed:
            while not self._closed:
                if batch := self.queue.take(time.perf_counter_ns()):
                    if self.queue.requests:
                        self._wake()
                    return batch
                ready_ns = self.queue.ready_ns()
                if self._is_watched or ready_ns == math.inf:
                    break
                self._is_watched = True
                wait_s = (ready_ns - time.perf_counter_ns()) / 1e9
                self._changed.wait(min(max(0.0, wait_s), _LONGEST_S))
                self._is_watched = False
            self._busy -= 1
            return []
