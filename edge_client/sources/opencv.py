"""OpenCV: imported when it is needed, and left before the interpreter ends."""

import atexit
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from protos.errors import SourceError

_PATIENCE_S = 2.0
"""For a call that is under way when the interpreter ends: a camera's next frame, the end of its stream."""


def opencv() -> Any:
    """Return the module cv2; SourceError where it is not installed."""
    try:
        import cv2
    except ImportError as error:
        raise SourceError(
            f"videos and cameras need OpenCV, which cannot be imported ({error}). "
            "Install it with: pip install 'splitpoint[video]'."
        ) from error
    return cv2


class NativeCalls:
    """The calls into a library that must not come back to an interpreter that has ended.

    Sources are read on daemon threads, as they may block for ever. CPython ends such a thread when it comes
    back, in OpenCV within a destructor, which aborts the process. So `end` lets no call begin any more, and
    waits a little for those under way.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._under_way = 0
        self._ended = False

    @contextmanager
    def one(self) -> Iterator[None]:
        """Make a call within the block; SourceError once the program ends."""
        with self._changed:
            if self._ended:
                raise SourceError("the program ends, and with it what reads this source.")
            self._under_way += 1
        try:
            yield
        finally:
            with self._changed:
                self._under_way -= 1
                self._changed.notify_all()

    def end(self, patience_s: float = _PATIENCE_S) -> None:
        """Let no call begin any more, and wait for at most so long for those under way."""
        with self._changed:
            self._ended = True
            self._changed.wait_for(lambda: not self._under_way, patience_s)


CALLS = NativeCalls()
"""Those into OpenCV."""
atexit.register(CALLS.end)


class VideoCapture:
    """OpenCV's VideoCapture, whose calls are CALLS. Raises SourceError where OpenCV is missing."""

    def __init__(self, *words: Any) -> None:
        cv2 = opencv()
        with CALLS.one():
            self._capture = cv2.VideoCapture(*words)

    def isOpened(self) -> bool:  # noqa: N802 - OpenCV's
        """Tell whether frames may come."""
        with CALLS.one():
            return bool(self._capture.isOpened())

    def read(self) -> tuple[bool, Any]:
        """Return whether a frame came, and its pixels [height, width, 3] in BGR."""
        with CALLS.one():
            found, pixels = self._capture.read()
        return found, pixels

    def get(self, which: int) -> float:
        """Return a property."""
        with CALLS.one():
            return float(self._capture.get(which))

    def set(self, which: int, value: float) -> bool:
        """Set a property; tell whether it is possible."""
        with CALLS.one():
            return bool(self._capture.set(which, value))

    def release(self) -> None:
        """Let go of the stream; at the end of the program the system does."""
        with suppress(SourceError), CALLS.one():
            self._capture.release()
