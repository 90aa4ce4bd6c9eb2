"""All cores of the machine, for work that falls into samples."""

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

from partitioner.runtime.sessions import RuntimeOptions

T = TypeVar("T")
R = TypeVar("R")


class Cores:
    """Maps a function over samples, as many at a time as the cores run sessions side by side.

    The runtime lets other threads run while it computes, and so do numpy and zstd in what takes long.
    """

    def __init__(self, options: RuntimeOptions | None = None) -> None:
        threads = (options or RuntimeOptions()).threads
        self.workers = max(1, _cores() // threads)

    def map(self, function: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
        """Yield the results in the order of the items; no more than twice `workers` are under way.

        The first error is raised, and what has not begun is not begun.
        """
        rest = iter(items)
        with ThreadPoolExecutor(self.workers, "calibration") as pool:
            waiting: list[Future[R]] = [
                pool.submit(function, item) for item in islice(rest, 2 * self.workers)
            ]
            try:
                while waiting:
                    yield waiting.pop(0).result()
                    waiting += [pool.submit(function, item) for item in islice(rest, 1)]
            finally:
                for one in waiting:
                    one.cancel()


def _cores() -> int:
    """Return the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
