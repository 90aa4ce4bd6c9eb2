"""Frames after a pause: what they take beside calls in a row, for handing over and for what has cooled."""

import asyncio
import math
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from statistics import median
from types import TracebackType
from typing import Self

from partitioner.common.event_loop import LoopThread
from partitioner.profiles.timing import Call, Repeated, sample_call

_PAUSE_S = 0.1
"""Before a frame: long enough for caches to be taken by others and cores to doze. What it makes a stage
slower by is a third of that after 5 ms, and two thirds after 20 ms; 0.2 s make little more of it."""
_LEAST = 5
"""Frames that come after a pause; a call may take long."""
_ALIKE = 12
"""Frames, of the stages that take nearest to as long as one, whose median tells what that one resumes in: a
median of the two or three frames that it gets itself would be off by a third of a millisecond."""
_SHORT_PAUSE_S = 0.02
_HANDINGS = 5
_CROSSINGS = 15


@dataclass(frozen=True)
class PausedFrame:
    """Seconds of one frame, from an idle loop to its result, and of a call in a row right behind it."""

    stage: Repeated
    frame_s: float
    usual_s: float

    @property
    def extra_s(self) -> float:
        """What the frame took longer; a machine that changes its pace changes it for both."""
        return self.frame_s - self.usual_s


class PausedFrames:
    """Frames of a stream that pauses between them: an idle event loop hands a stage to an idle worker.

    Stages are timed back to back, in one thread. In a stream the event loop that takes the frame and the
    worker that computes have slept since the frame before: caches, branch predictors, the core's clock and
    its wide vector units have to come back. A stage of 3 ms may lose as much by that as one of 30 ms, and a
    tail in the cloud as much as a head here. So frames of all `stages` are timed as they are, those with
    the fewest first, in turns with the stages: they take `share` of the time since `begun` (of
    time.perf_counter). The loop is one of its own, in a thread of its own: the caller's may run already, as
    in a notebook. `hand` is what a frame runs of which nothing is computed here: handing over and no more.
    """

    def __init__(self, stages: Sequence[Repeated], hand: Call, share: float, begun: float) -> None:
        self.frames: list[PausedFrame] = []
        self._stages, self._share, self._begun = stages, share, begun
        self._counts: Counter[Repeated] = Counter()
        self._loop, self._worker = LoopThread("splitpoint-frames"), ThreadPoolExecutor(1)
        self._spent_s = 0.0
        self._loop.run(self._hand(0.0, hand))
        handings = (self._loop.run(self._hand(_PAUSE_S, hand)) for _ in range(_HANDINGS))
        self.resume_s = median(handings)
        """What a frame takes to wake this machine up, and to be handed to a worker."""

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

    def keep_up(self, stage: Repeated, call: Call) -> None:
        """Time one frame of a stage with the fewest, if frames have not had their share of the time."""
        behind = self._spent_s < self._share * (time.perf_counter() - self._begun)
        if behind and self._counts[stage] == min(self._counts[each] for each in self._stages):
            self._sample(stage, call)

    def complete(self, on_turn: Callable[[], None]) -> None:
        """Time frames until there are five; before each, call `on_turn`."""
        while len(self.frames) < _LEAST:
            on_turn()
            stage = min(self._stages, key=self._counts.__getitem__)
            self._sample(stage, stage.prepared())

    def stage_resume_s(self, stage: Repeated) -> float:
        """Return what a stage takes longer in a frame than in a row, beside handing over."""
        usual_s = median(stage.seconds)
        nearest = sorted(self.frames, key=lambda frame: _distance(frame.usual_s, usual_s))
        extra_s = median(frame.extra_s for frame in nearest[:_ALIKE])
        return max(0.0, extra_s - self.resume_s)

    def factors(self) -> tuple[float, ...]:
        """Return how many times as long as usual each frame took, sorted, with a median of 1."""
        taken = [
            frame.frame_s
            / (median(frame.stage.seconds) + self.stage_resume_s(frame.stage) + self.resume_s)
            for frame in self.frames
        ]
        return frame_factors(taken)

    def _sample(self, stage: Repeated, call: Call) -> None:
        begun = time.perf_counter()
        if not self._counts[stage]:
            call()  # the first one loads and warms up
        frame_s = self._loop.run(self._hand(_PAUSE_S, call))
        usual = self._worker.submit(sample_call, call, least=1)
        self.frames.append(PausedFrame(stage, frame_s, usual.result()[0]))
        self._counts[stage] += 1
        self._spent_s += time.perf_counter() - begun

    async def _hand(self, pause_s: float, call: Call) -> float:
        await asyncio.sleep(pause_s)
        begun = time.perf_counter()
        await asyncio.get_running_loop().run_in_executor(self._worker, call)
        return time.perf_counter() - begun


def _distance(one_s: float, other_s: float) -> float:
    """Return how far two times are from each other, as a ratio; blind below a microsecond."""
    return abs(math.log((one_s + 1e-6) / (other_s + 1e-6)))


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
            time.sleep(_SHORT_PAUSE_S)
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
        await asyncio.sleep(_SHORT_PAUSE_S)
        came_at = time.perf_counter()
        read()
        answer.set_result((sent_at, came_at))

    sending = asyncio.create_task(exchange())
    sent_at, came_at = await answer
    done_at = time.perf_counter()
    await sending
    return sent_at, came_at, done_at
