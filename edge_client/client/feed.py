"""Frames from any iterable into the event loop: what blocks is waited for on a thread of its own."""

import asyncio
import contextlib
import math
import queue
import threading
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Iterator
from time import monotonic, perf_counter
from typing import Any, Generic, TypeVar

from edge_client.frames.compute_thread import ComputeThread

T = TypeVar("T")

_AT_ONCE = 0.25
"""Of the wait for the device: a frame that comes so soon after it might have come before."""
_HEARD_S = 0.5
"""A change of the rate takes effect within so long."""


class ThreadedFrames(Generic[T]):
    """An iterable as an async iterator. The next item is taken only when it is asked for.

    The thread is a daemon, so that a source which blocks for ever (stdin, a camera) holds up nobody.
    """

    def __init__(self, frames: Iterable[T]) -> None:
        self._frames = frames
        self._loop = asyncio.get_running_loop()
        self._asked: queue.SimpleQueue[asyncio.Future[T] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._serve, name="splitpoint-frames", daemon=True)
        self._thread.start()

    def __aiter__(self) -> AsyncIterator[T]:
        return self

    async def __anext__(self) -> T:
        future: asyncio.Future[T] = self._loop.create_future()
        self._asked.put(future)
        return await future

    async def aclose(self) -> None:
        """Let the thread end after the item that it is waiting for, and close a generator there."""
        self._asked.put(None)

    def _serve(self) -> None:
        iterator: Iterator[T] | None = None
        while (future := self._asked.get()) is not None:
            try:
                iterator = iter(self._frames) if iterator is None else iterator
                self._answer(future, next(iterator), None)
            except StopIteration:
                self._answer(future, None, StopAsyncIteration())
            except Exception as error:  # noqa: BLE001 - it belongs to whoever reads the frames
                self._answer(future, None, error)
            except BaseException as error:  # noqa: BLE001 - as above, but it would end the loop
                ended = RuntimeError(f"the source of frames has ended its thread: {error!r}")
                ended.__cause__ = error
                self._answer(future, None, ended)
        if iterator is not None and hasattr(iterator, "close"):
            iterator.close()

    def _answer(
        self, future: "asyncio.Future[T]", item: T | None, error: BaseException | None
    ) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has been closed: nobody waits any more
            self._loop.call_soon_threadsafe(_settle, future, item, error)


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


class WhenFree(Generic[T]):
    """Frames that are asked for only when the device is free, so that none misses its deadline in a queue.

    (A tail that a failing cloud leaves to the device may still begin while a frame is awaited.) `held`
    tells whether the last one might have come sooner: the source took next to no time once it was asked.
    (A camera's frame comes when it does, also while the device is busy; one that is busy for four fifths of
    the time between two counts as holding them, as what reads files does.)
    """

    def __init__(self, frames: AsyncIterator[T], device: ComputeThread) -> None:
        self.held = False
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
        self.held = perf_counter() - freed < _AT_ONCE * (freed - begun)
        return frame


def as_async(frames: Iterable[T] | AsyncIterable[T]) -> AsyncIterator[T]:
    """Return an async iterator over `frames`, which may be a plain iterable that blocks."""
    return aiter(frames) if isinstance(frames, AsyncIterable) else ThreadedFrames(frames)


def _settle(future: "asyncio.Future[Any]", item: object, error: BaseException | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(item)
    else:
        future.set_exception(error)
