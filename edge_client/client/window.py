"""The window: a bounded number of frames at work at once, with their results in order."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


async def in_order(
    frames: AsyncIterator[T], run: Callable[[int, T], Awaitable[R]], window: int
) -> AsyncGenerator[R, None]:
    """Run `run(index, frame)` on up to `window` frames at once and yield what comes, in their order.

    A frame is taken only when there is room for it, and keeps its room until its result is handed
    on, so that neither frames nor results pile up. What `run` or `frames` raises is raised in its
    place, after the results before it; what is still running then is cancelled.
    """
    room = asyncio.Semaphore(window)
    running: set[asyncio.Task[R]] = set()
    started: asyncio.Queue[asyncio.Task[R] | None] = asyncio.Queue()
    feeder = asyncio.create_task(_feed(frames, run, room, running, started))
    try:
        while (task := await started.get()) is not None:
            result = await task
            room.release()
            yield result
        await feeder
    finally:
        feeder.cancel()
        for task in running:
            task.cancel()
        unread = [task for task in _taken_from(started) if task is not None]
        await asyncio.gather(feeder, *running, *unread, return_exceptions=True)


def _taken_from(queue: "asyncio.Queue[T]") -> Iterator[T]:
    """Take what is in a queue now."""
    while not queue.empty():
        yield queue.get_nowait()


async def _feed(
    frames: AsyncIterator[T],
    run: Callable[[int, T], Awaitable[R]],
    room: asyncio.Semaphore,
    running: set[asyncio.Task[R]],
    started: "asyncio.Queue[asyncio.Task[R] | None]",
) -> None:
    index = 0
    try:
        while True:
            await room.acquire()
            try:
                frame = await anext(frames)
            except StopAsyncIteration:
                return
            task = asyncio.ensure_future(run(index, frame))
            running.add(task)
            task.add_done_callback(running.discard)
            started.put_nowait(task)
            index += 1
    finally:
        started.put_nowait(None)
