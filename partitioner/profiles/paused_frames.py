"""Frames after a pause: the time beside their stages, for waking up and handing over, and how it varies."""

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from statistics import median
from types import TracebackType
from typing import Self

from partitioner.common.event_loop import LoopThread
from partitioner.profiles.timing import sample_call

_PAUSE_S = 0.1
"""Before a frame: long enough for caches to be taken by others and cores to doze. What it makes a stage
slower by is a third of that after 5 ms, and two thirds after 20 ms; 0.2 s make little more of it."""
_LEAST = 5
"""Frames that come after a pause; a call may take long."""
_CROSSING_PAUSE_S = 0.02
_CROSSINGS = 15


class PausedFrames:
    """Frames of a stream that pauses between them: an idle event loop hands `call` to an idle worker.

    Stages are timed back to back, in one thread. In a stream the event loop that takes the frame and the
    worker that computes have slept since the frame before, and the core and its caches with them; nor is
    a second call right after the first as fast as one of many. So such frames are timed as they are, in
    turns with the stages: they take `share` of the time since `begun` (of time.perf_counter). The loop
    is one of its own, in a thread of its own: the caller's may run already, as in a notebook.
    """

    def __init__(self, call: Callable[[], object], share: float, begun: float) -> None:
        self.seconds: list[float] = []
        """From the frame to its result, frame by frame."""
        self._in_a_row: list[float] = []
        self._call, self._share, self._begun = call, share, begun
        self._loop, self._worker = LoopThread("splitpoint-frames"), ThreadPoolExecutor(1)
        self._spent_s = 0.0
        self._loop.run(self._hand(0.0))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._worker.shutdown()
        self._loop.close()

    def keep_up(self) -> None:
        """Time one frame, if less than their share of the time was spent on them."""
        if self._spent_s < self._share * (time.perf_counter() - self._begun):
            self._sample()

    def complete(self, until: float, on_turn: Callable[[], None]) -> None:
        """Time frames until `until` (of time.perf_counter), five at least; before each, call `on_turn`."""
        while len(self.seconds) < _LEAST or time.perf_counter() < until:
            on_turn()
            self._sample()

    @property
    def resume_s(self) -> float:
        """What a frame takes longer than one of many calls in a row, which are timed right after each.

        Where the machine's pace wanders by a tenth between the timing of a stage and that of the frames, a
        stage of 100 ms would seem to take 10 ms to wake up.
        """
        pairs = zip(self.seconds, self._in_a_row, strict=True)
        return max(0.0, median(frame_s - usual_s for frame_s, usual_s in pairs))

    def _sample(self) -> None:
        begun = time.perf_counter()
        self.seconds.append(self._loop.run(self._hand(_PAUSE_S)))
        usual = self._worker.submit(sample_call, self._call, least=1)
        self._in_a_row.append(usual.result()[0])
        self._spent_s += time.perf_counter() - begun

    async def _hand(self, pause_s: float) -> float:
        await asyncio.sleep(pause_s)
        begun = time.perf_counter()
        await asyncio.get_running_loop().run_in_executor(self._worker, self._call)
        return time.perf_counter() - begun


def frame_factors(seconds: Sequence[float]) -> tuple[float, ...]:
    """Return how many times as long as the median frame each took, sorted."""
    middle_s = median(seconds)
    return tuple(sorted(one / middle_s for one in seconds))


def measure_crossing_s(read: Callable[[], object]) -> float:
    """Return the seconds that a frame which crosses costs the device beside encoding and the network.

    It is handed from the thread of the head to the event loop, which has slept; a task there sends it,
    and sleeps again until the answer comes, which `read` takes apart; and that wakes the caller. It is
    played here without a network, whose seconds are left out. Takes about half a second.
    """
    loop, extra_s = LoopThread("splitpoint-crossing"), []
    try:
        for _ in range(_CROSSINGS):
            time.sleep(_CROSSING_PAUSE_S)
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
        await asyncio.sleep(_CROSSING_PAUSE_S)
        came_at = time.perf_counter()
        read()
        answer.set_result((sent_at, came_at))

    sending = asyncio.create_task(exchange())
    sent_at, came_at = await answer
    done_at = time.perf_counter()
    await sending
    return sent_at, came_at, done_at
