"""Any iterable of frames as an asynchronous one: a thread of its own waits for sources that block."""

import asyncio
import contextlib
import queue
import threading
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Generic, TypeAlias, TypeVar

from edge_client.frames.inputs import Inputs
from edge_client.sources.pace import Pace
from edge_client.sources.source import open_source, play
from protos.tensors import TensorSpec

T = TypeVar("T")

Source: TypeAlias = Iterable[Inputs] | AsyncIterable[Inputs] | str | Path
"""Frames to come, or where they come from: a folder of images, a file, a video, a camera's number."""


class ThreadedFrames(Generic[T]):
    """An iterable as an async iterator. The next item is taken only when it is asked for.

    The thread is a daemon, so that a program can end while its source blocks for ever (stdin, a camera).
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
            except Exception as error:  # noqa: BLE001 - it is raised where the frames are read
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
        with contextlib.suppress(RuntimeError):  # the loop has been closed, and with it the stream
            self._loop.call_soon_threadsafe(_settle, future, item, error)


def as_async(frames: Iterable[T] | AsyncIterable[T]) -> AsyncIterator[T]:
    """Return an async iterator over `frames`, which may be a plain iterable that blocks."""
    return aiter(frames) if isinstance(frames, AsyncIterable) else ThreadedFrames(frames)


def opened(
    frames: Source, wanted: Sequence[TensorSpec]
) -> Iterable[Inputs] | AsyncIterable[Inputs]:
    """Return frames to iterate; those of a source that is named as for the command `run`, played.

    Raises SourceError where the source does not exist or does not suit the `wanted` inputs.
    """
    if isinstance(frames, str | Path):
        return (frame.inputs for frame in play(open_source(str(frames), wanted), Pace()))
    return frames


def _settle(future: "asyncio.Future[Any]", item: object, error: BaseException | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(item)
    else:
        future.set_exception(error)
