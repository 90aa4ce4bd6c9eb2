"""Cameras, and videos behind an address: opened by OpenCV, and opened again when they stop."""

import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from time import sleep
from typing import Any, Protocol
from urllib.parse import urlsplit

import numpy as np

from edge_client.sources.opencv import VideoCapture, opencv
from partitioner.common.units import format_duration, plural
from partitioner.inputs.images import Say
from protos.errors import SourceError
from protos.tensors import Array

SCHEMES = frozenset({"rtsp", "rtsps", "rtmp", "http", "https", "udp", "tcp", "srt"})
_PATIENCE_MS = 5_000
"""For OpenCV to open a stream, and for its next frame."""
_FIRST_REST_S, _LONGEST_REST_S = 0.5, 30.0
"""Between tries; each rest is twice as long as the one before, until a frame comes."""
_BARREN = 3
"""A video that so often opens again and has no frame has ended: its length may be an estimate."""
_SECRET = re.compile(r"((?:user|login|pass|pwd|token|key|secret|auth|sig)[\w-]*=)[^&/]*", re.I)


class Capture(Protocol):
    """What is used of OpenCV's VideoCapture."""

    def isOpened(self) -> bool:  # noqa: N802 - OpenCV's
        """Tell whether frames may come."""

    def read(self) -> tuple[bool, Any]:
        """Return whether a frame came, and its pixels [height, width, 3] in BGR."""

    def get(self, which: int) -> float:
        """Return a property."""

    def set(self, which: int, value: float) -> bool:
        """Set a property; tell whether it is possible."""

    def release(self) -> None:
        """Let go of the stream."""


def is_address(text: str) -> bool:
    """Tell whether a source is an address of the network, such as rtsp://camera/1."""
    return "://" in text and urlsplit(text).scheme.lower() in SCHEMES


def without_password(url: str) -> str:
    """Return an address as it may be shown: without the name, the password and keys in it."""
    parts = urlsplit(url)
    shown = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
    return _SECRET.sub(r"\1…", shown)


class Camera:
    """The frames of a camera (`0`, `/dev/video0`) or behind an address, RGB [height, width, 3].

    A video of known length ends with its last frame, or where it has no more however often it is opened.
    Anything else that ends has stopped: that is told to `on_stop`, and it is opened again after rests that
    grow. What cannot be opened at first is a SourceError, which may pass: a camera may come up later.
    """

    def __init__(
        self,
        url: str,
        say: Say,
        on_stop: Callable[[], None],
        open_capture: Callable[[str], Capture] | None = None,
        wait: Callable[[float], None] = sleep,
    ) -> None:
        self._url, self._name = url, without_password(url)
        self._say = say
        self._on_stop = on_stop
        self._open = open_capture or _open
        self._wait = wait
        self._taken = self._length = 0
        self._rest_s, self._barren = _FIRST_REST_S, 0

    def frames(self) -> Iterator[Array]:
        """Yield the frames."""
        capture = self._open(self._url)
        try:
            if not capture.isOpened():
                raise SourceError(_unopened(self._url)).passing()
            self._length = _length(capture)
            while True:
                found, pixels = capture.read()
                if found:
                    self._taken += 1
                    self._rest_s, self._barren = _FIRST_REST_S, 0
                    yield np.ascontiguousarray(pixels[:, :, ::-1])
                elif self._has_ended():
                    return
                else:
                    capture = self._again(capture)
        finally:
            capture.release()

    def _has_ended(self) -> bool:
        """Tell whether no frame is left, as far as can be known."""
        if not self._length or (self._taken < self._length and self._barren < _BARREN):
            return False
        if self._taken < self._length:
            frames = plural(self._taken, "frame")
            self._say(f"{self._name} has no more than {frames}, and announces {self._length:,}")
        return True

    def _again(self, capture: Capture) -> Capture:
        """Return a capture that is open again, however long that takes."""
        capture.release()
        self._barren += 1
        if self._barren == 1:  # else it was opened, and brought no frame
            self._on_stop()
            self._say(
                f"{self._name} has stopped after {plural(self._taken, 'frame')}; it is tried again after "
                f"{format_duration(_FIRST_REST_S)}, and after rests that grow to "
                f"{format_duration(_LONGEST_REST_S)}"
            )
        while True:
            self._wait(self._rest_s)
            self._rest_s = min(2 * self._rest_s, _LONGEST_REST_S)
            capture = self._open(self._url)
            if capture.isOpened():
                break
            capture.release()
        if self._length > 0:
            with suppress(Exception):  # OpenCV's own kinds; then it plays from its beginning
                capture.set(_POSITION, self._taken)
        return capture


_COUNT, _POSITION = 7, 1
"""CAP_PROP_FRAME_COUNT and CAP_PROP_POS_FRAMES of OpenCV, which need not be loaded for a fake."""


def _unopened(url: str) -> str:
    """Return the sentence for a device or an address that cannot be opened."""
    shown = f"{without_password(url)} cannot be opened as a video or camera. Check"
    if not is_address(url):
        return f"{shown} the number or name, that it is on, and that no other program holds it."
    with_name = "@" in urlsplit(url).netloc
    secret = ", name and password" if with_name else ""
    open_way = (
        "" if with_name else "; if it asks for a password, write it as SCHEME://NAME:PASSWORD@HOST"
    )
    return f"{shown} that something answers there, and the address{secret}{open_way}."


def _length(capture: Capture) -> int:
    """Return the number of frames of a video; 0 or less of what is live."""
    count = capture.get(_COUNT)
    return int(count) if np.isfinite(count) and 0 < count < 1e9 else 0


def _open(url: str) -> Capture:
    cv2 = opencv()
    if not is_address(url):
        return VideoCapture(int(url) if url.isdigit() else url)
    limits = [
        cv2.CAP_PROP_OPEN_TIMEOUT_MSEC,
        _PATIENCE_MS,
        cv2.CAP_PROP_READ_TIMEOUT_MSEC,
        _PATIENCE_MS,
    ]
    return VideoCapture(url, cv2.CAP_FFMPEG, limits)
