"""What a frame costs on a machine beside its stages: waking up, and being handed to a worker."""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from statistics import median

_PAUSE_S = 0.02
"""Long enough for caches to be taken by others and cores to doze, as between the frames of a stream."""
_REPEATS = 15


def measure_resume_s(call: Callable[[], object]) -> float:
    """Return the seconds that `call` takes longer when an idle event loop hands it to an idle worker.

    Stages are timed back to back, in one thread. In a stream the event loop that takes the frame and the
    worker that computes have slept since the frame before. Takes about half a second. The loop is one of
    its own, in a thread of its own: the caller's may run already, as in a notebook.
    """
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, _compare(call)).result()


async def _compare(call: Callable[[], object]) -> float:
    loop, extra_s = asyncio.get_running_loop(), []
    with ThreadPoolExecutor(1) as worker:
        for _ in range(_REPEATS):
            await asyncio.sleep(_PAUSE_S)
            begun = time.perf_counter()
            await loop.run_in_executor(worker, call)
            handed_s = time.perf_counter() - begun
            extra_s.append(handed_s - await loop.run_in_executor(worker, _timed, call))
    return max(0.0, median(extra_s))


def _timed(call: Callable[[], object]) -> float:
    begun = time.perf_counter()
    call()
    return time.perf_counter() - begun
