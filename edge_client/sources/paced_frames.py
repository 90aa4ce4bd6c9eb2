"""Frames that are paced: at a steady rate, below a rate that may change, or when the device is free."""

import asyncio
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from time import monotonic, perf_counter, sleep
from typing import Generic, Protocol, TypeVar

T = TypeVar("T")

_AT_ONCE = 0.25
"""Share of the wait for the device: a frame that comes so soon after it might have come before."""
_HEARD_S = 0.5
"""A change of the rate takes effect within so long."""


class ComputesFrames(Protocol):
    """Whatever computes one frame after the other, and may have some that wait."""

    @property
    def is_free(self) -> bool:
        """True while nothing runs, and nothing waits."""

    async def until_free(self) -> None:
        """Wait until nothing runs or waits."""


def paced(
    frames: Iterable[T],
    fps: float,
    clock: Callable[[], float] = monotonic,
    wait: Callable[[float], None] = sleep,
) -> Iterator[T]:
    """Yield `frames` at most `fps` a second, on a steady beat; who comes a whole beat late starts anew."""
    beat_s = 1 / fps
    due = clock()
    for frame in frames:
        if (left_s := due - clock()) > 0:
            wait(left_s)
        yield frame
        due += beat_s
        if clock() - due > beat_s:
            due = clock()


class Limited(Generic[T]):
    """Frames at most so many a second, where the rate may change at any time; None: as they come.

    A frame is asked for only when its time has come, so that one of a live source is not old. The beat is
    steady; who comes a whole beat late starts it anew.
    """

    def __init__(
        self,
        frames: AsyncIterator[T],
        most_fps: Callable[[], float | None],
        clock: Callable[[], float] = monotonic,
        wait: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._frames = frames
        self._most_fps = most_fps
        self._clock = clock
        self._wait = wait
        self._taken_at = -math.inf

    def __aiter__(self) -> AsyncIterator[T]:
        return self

    async def __anext__(self) -> T:
        while (left_s := self._due_at - self._clock()) > 0:
            await self._wait(min(left_s, _HEARD_S))  # the rate may rise meanwhile
        late_s = self._clock() - self._due_at
        self._taken_at = self._due_at if late_s < self._beat_s else self._clock()
        return await anext(self._frames)

    @property
    def _beat_s(self) -> float:
        most_fps = self._most_fps()
        return 1 / most_fps if most_fps else 0.0

    @property
    def _due_at(self) -> float:
        return self._taken_at + self._beat_s


class Asked(Generic[T]):
    """Frames, with the moment at which the last one was asked for, as there was room for it: `asked_at`."""

    def __init__(self, frames: AsyncIterator[T]) -> None:
        self.asked_at = -math.inf
        self._frames = frames

    def __aiter__(self) -> AsyncIterator[T]:
        return self

    async def __anext__(self) -> T:
        asked_at = perf_counter()
        frame = await anext(self._frames)
        self.asked_at = asked_at
        return frame


class WhenFree(Generic[T]):
    """Frames that are asked for only when the device is free, so that none misses its deadline in a queue.

    (A tail that a failing cloud leaves to the device may still begin while a frame is awaited.) `asked_at`
    is when the last one was asked for, or earlier than all if it would not have come sooner: the source
    took its time all the same. (A camera's frame comes when it does, also while the device is busy; one
    that is busy for four fifths of the time between two counts as holding them, as what reads files does.)
    """

    def __init__(self, frames: AsyncIterator[T], device: ComputesFrames) -> None:
        self.asked_at = -math.inf
        self._frames = frames
        self._device = device

    def __aiter__(self) -> AsyncIterator[T]:
        return self

    async def __anext__(self) -> T:
        await asyncio.sleep(0)  # so that the frame before is with the device
        begun = freed = perf_counter()
        if not self._device.is_free:
            await self._device.until_free()
            freed = perf_counter()
        frame = await anext(self._frames)
        held = perf_counter() - freed < _AT_ONCE * (freed - begun)
        self.asked_at = freed if held else -math.inf
        return frame
