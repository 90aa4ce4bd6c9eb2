"""Frames after a pause: what they take beside calls in a row, for handing over and for what has cooled."""

import asyncio
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
_HALF_S = 0.001
"""A stage that takes so long resumes in half of what the longest do: a short one has less in the caches to
lose. Of MobileNetV2, on two cores, stages of 1 to 2 ms took 0.8 ms longer, of 2 to 4 1.0, of 4 to 12 1.1."""
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
        self._spent_s, self._most_s, self._most_of = 0.0, 0.0, 0
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

    def stage_resume_s(self, seconds: float) -> float:
        """Return what a stage that takes so long takes longer in a frame than in a row, beside handing over.

        All frames tell it together, see most_resume_s, as each stage has few of its own. So it never falls
        where stages grow, and no accident of one frame makes a longer head cheaper than a shorter one.
        """
        if self._most_of != len(self.frames):
            usual_s = [median(frame.stage.seconds) for frame in self.frames]
            extra_s = [frame.extra_s - self.resume_s for frame in self.frames]
            self._most_s, self._most_of = most_resume_s(usual_s, extra_s), len(self.frames)
        return self._most_s * _share(seconds)

    def factors(self) -> tuple[float, ...]:
        """Return how many times as long as usual each frame took, sorted, with a median of 1."""
        taken = []
        for frame in self.frames:
            usual_s = median(frame.stage.seconds)
            taken.append(frame.frame_s / (usual_s + self.stage_resume_s(usual_s) + self.resume_s))
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


def _share(seconds: float) -> float:
    """Return which share of the most that stages resume in is that of one which takes so long."""
    return seconds / (seconds + _HALF_S)


def most_resume_s(usual_s: Sequence[float], extra_s: Sequence[float]) -> float:
    """Return the most that stages resume in, by what frames took longer whose stages take `usual_s`.

    With it the absolute differences of `extra_s` from what it makes of them have the least sum: it is the
    median of what each frame would make it, weighed by its share. Not below 0.
    """
    shares = [_share(seconds) for seconds in usual_s]
    half, told = sum(shares) / 2, 0.0
    for most_s, share in sorted(
        (extra / share, share) for extra, share in zip(extra_s, shares, strict=True) if share
    ):
        told += share
        if told >= half:
            return max(0.0, most_s)
    return 0.0


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
