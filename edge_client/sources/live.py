"""Live sources: the newest frames of what comes by itself, and the frames of videos and cameras."""

import threading
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Generic, TypeVar

import numpy as np

from edge_client.sources.opencv import VideoCapture
from partitioner.inputs.images import ImageFitter
from protos.errors import SourceError
from protos.tensors import Array

T = TypeVar("T")


class Newest(Generic[T]):
    """Frames of a live source, taken as they come: those that are not asked for make way for newer ones.

    Iterates `frames` on a thread of its own, from the first request on; `dropped` counts what made way.
    """

    def __init__(self, frames: Iterable[T], capacity: int = 1) -> None:
        self.dropped = 0
        self._frames = frames
        self._waiting: deque[T] = deque()
        self._capacity = capacity
        self._news = threading.Condition()
        self._ended = self._closed = False
        self._error: Exception | None = None

    def __iter__(self) -> Iterator[T]:
        threading.Thread(target=self._take, name="splitpoint-live", daemon=True).start()
        try:
            while True:
                with self._news:
                    self._news.wait_for(lambda: self._waiting or self._ended)
                    if not self._waiting:
                        break
                    frame = self._waiting.popleft()
                yield frame
            if self._error is not None:
                raise self._error
        finally:
            self._closed = True

    def _take(self) -> None:
        try:
            for frame in self._frames:
                if self._closed:
                    break
                with self._news:
                    if len(self._waiting) == self._capacity:
                        self._waiting.popleft()
                        self.dropped += 1
                    self._waiting.append(frame)
                    self._news.notify()
        except Exception as error:  # noqa: BLE001 - raised where the frames are read
            self._error = error
        finally:
            with self._news:
                self._ended = True
                self._news.notify()


def video_frames(source: str, fitter: ImageFitter) -> Iterator[dict[str, Array]]:
    """Yield the frames of a video file until it ends.

    Raises SourceError when OpenCV is missing or the source cannot be opened.
    """
    capture = VideoCapture(source)
    try:
        if not capture.isOpened():
            raise SourceError(
                f"{source} cannot be opened as a video. Check that it is one, and that it may be read."
            )
        while True:
            found, pixels = capture.read()
            if not found:
                return
            yield fitter.from_pixels(np.ascontiguousarray(pixels[:, :, ::-1]))
    finally:
        capture.release()
