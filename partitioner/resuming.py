"""What a frame costs on a machine beside its stages: waking up, and being handed on."""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from statistics import median

from partitioner.loops import LoopThread

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


def measure_crossing_s(read: Callable[[], object]) -> float:
    """Return the seconds that a frame which crosses costs the device beside encoding and the network.

    It is handed from the thread of the head to the event loop, which has slept; a task there sends it,
    and sleeps again until the answer comes, which `read` takes apart; and that wakes the caller. It is
    played here without a network, whose seconds are left out. Takes about half a second.
    """
    loop, extra_s = LoopThread("splitpoint-crossing"), []
    try:
        for _ in range(_REPEATS):
            time.sleep(_PAUSE_S)
            begun = time.perf_counter()
            sent_at, came_at, done_at = loop.run(_cross(read))
            extra_s.append((sent_at - begun) + (done_at - came_at))
    finally:
        loop.close()
    return median(extra_s)


async def _cross(read: Callable[[], object]) -> tuple[float, float, float]:
    """Return when a request is sent, when its answer comes, and when its caller has it."""
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[tuple[float, float]] = loop.create_future()

    async def exchange() -> None:
        sent_at = time.perf_counter()
        await asyncio.sleep(_PAUSE_S)
        came_at = time.perf_counter()
        read()
        answer.set_result((sent_at, came_at))

    sending = asyncio.create_task(exchange())
    sent_at, came_at = await answer
    done_at = time.perf_counter()
    await sending
    return sent_at, came_at, done_at


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
