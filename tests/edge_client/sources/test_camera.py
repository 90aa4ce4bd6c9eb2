"""Cameras and videos behind an address: what stops is counted, and opened again after growing rests."""

import functools
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge_client.sources.camera import Camera, is_address, without_password
from edge_client.sources.pace import Pace
from edge_client.sources.source import open_source, play
from protos.errors import PASSING, SourceError
from protos.tensors import Array, TensorSpec

IMAGE = (TensorSpec("image", "uint8", (-1, 16, 24, 3)),)


class FakeCapture:
    """Brings so many frames, each of its number; None: cannot be opened."""

    def __init__(self, frames: int | None, length: float = 0.0) -> None:
        self.left, self.length = frames, length
        self.at = 0
        self.released = False

    def isOpened(self) -> bool:  # noqa: N802
        return self.left is not None

    def read(self) -> tuple[bool, Array | None]:
        if not self.left:
            return False, None
        self.left, self.at = self.left - 1, self.at + 1
        return True, np.full((16, 24, 3), self.at, np.uint8)

    def get(self, which: int) -> float:
        return self.length if which == cv2.CAP_PROP_FRAME_COUNT else 0.0

    def set(self, which: int, value: float) -> bool:
        assert which == cv2.CAP_PROP_POS_FRAMES
        self.at = int(value)
        return True

    def release(self) -> None:
        self.released = True


class Scene:
    """A camera whose captures, one after the other, a test decides; it keeps what was waited and said."""

    def __init__(self, *captures: FakeCapture) -> None:
        self.captures, self.opened = list(captures), 0
        self.rests: list[float] = []
        self.said: list[str] = []
        self.stops = 0
        self.camera = Camera(
            "rtsp://me:secret@cam/1", self.said.append, self._stopped, self._open, self.rests.append
        )

    def _stopped(self) -> None:
        self.stops += 1

    def _open(self, _url: str) -> FakeCapture:
        self.opened += 1
        return self.captures[self.opened - 1]

    def take(self, count: int) -> list[int]:
        frames = self.camera.frames()
        return [int(next(frames)[0, 0, 0]) for _ in range(count)]


def test_camera_that_stops_is_opened_again_after_rests_that_grow() -> None:
    away = [FakeCapture(None) for _ in range(8)]
    scene = Scene(FakeCapture(2), *away, FakeCapture(3))
    assert scene.take(4) == [1, 2, 1, 2]
    assert scene.rests == [0.5, 1, 2, 4, 8, 16, 30, 30, 30]
    assert scene.stops == 1
    assert all(capture.released for capture in scene.captures[:-1])
    (said,) = scene.said
    assert said.startswith(
        "rtsp://cam/1 has stopped after 2 frames; it is tried again after 500 ms"
    )


def test_rests_begin_anew_once_a_frame_has_come_and_not_when_it_merely_opens() -> None:
    scene = Scene(FakeCapture(1), FakeCapture(0), FakeCapture(1), FakeCapture(1))
    assert scene.take(3) == [1, 1, 1]
    assert scene.rests == [0.5, 1, 0.5]
    assert scene.stops == 2


def test_video_of_known_length_ends_and_goes_on_where_it_broke_off() -> None:
    scene = Scene(FakeCapture(2, length=5), FakeCapture(3, length=5))
    assert [int(frame[0, 0, 0]) for frame in scene.camera.frames()] == [1, 2, 3, 4, 5]
    assert scene.stops == 1


def test_video_that_announces_more_frames_than_it_has_ends() -> None:
    scene = Scene(FakeCapture(2, length=5), *(FakeCapture(0, length=5) for _ in range(3)))
    assert [int(frame[0, 0, 0]) for frame in scene.camera.frames()] == [1, 2]
    assert scene.rests == [0.5, 1, 2]
    assert scene.stops == 1
    assert scene.said[1:] == ["rtsp://cam/1 has no more than 2 frames, and announces 5"]


def test_address_that_cannot_be_opened_at_first_is_an_error_without_the_password() -> None:
    scene = Scene(FakeCapture(None))
    with pytest.raises(SourceError, match="rtsp://cam/1 cannot be opened") as caught:
        scene.take(1)
    assert "secret" not in str(caught.value)
    assert caught.value.exit_status == PASSING  # it may come up later


def test_addresses_are_told_from_files_and_shown_without_passwords() -> None:
    assert is_address("rtsp://cam/1")
    assert is_address("HTTP://cam/video.mp4")
    assert not is_address("folder/http/a.mp4")
    assert not is_address("C://frames")
    assert without_password("rtsp://me:a@b@cam:554/1?x=2") == "rtsp://cam:554/1?x=2"
    asked = "rtsp://cam/user=admin&password=123&channel=1/live?x=2&authToken=abc"
    assert without_password(asked) == "rtsp://cam/user=…&password=…&channel=1/live?x=2&authToken=…"


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves a folder, and breaks off so many transfers on the way."""

    breaks = 0

    def log_message(self, *args: Any) -> None:
        pass

    def copyfile(self, source: Any, outputfile: Any) -> None:
        content = source.read()
        if Quiet.breaks:
            Quiet.breaks -= 1
            content = content[: len(content) * 7 // 10]
        outputfile.write(content)


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a video of 40 frames, each of its own grey, over HTTP."""
    path = tmp_path / "grey.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 5, (24, 16))
    for number in range(40):
        writer.write(np.full((16, 24, 3), 6 * number, np.uint8))
    writer.release()
    monkeypatch.setattr("edge_client.sources.camera._FIRST_REST_S", 0.0)
    monkeypatch.setattr(Quiet, "breaks", 0)
    handler = functools.partial(Quiet, directory=tmp_path)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/grey.avi"
        server.shutdown()


@pytest.mark.parametrize("breaks", [0, 1])
def test_video_over_http_is_read_to_its_end_each_frame_once(
    served: str, monkeypatch: pytest.MonkeyPatch, breaks: int
) -> None:
    monkeypatch.setattr(Quiet, "breaks", breaks)
    source = open_source(served, IMAGE)
    assert not source.live
    frames = list(play(source, Pace()))
    assert [frame.source for frame in frames] == [f"{served}#{number}" for number in range(40)]
    means = [float(frame.inputs["image"].mean()) for frame in frames]
    assert means == pytest.approx(range(0, 240, 6), abs=2)
    assert source.stops == breaks


@pytest.mark.parametrize(
    ("address", "live"),
    [
        ("rtsp://cam/live.mp4", True),
        ("http://host/street.mp4?x=1", False),
        ("HTTPS://host/a.MKV", False),
        ("http://cam/stream", True),
    ],
)
def test_frames_of_a_camera_make_way_for_newer_ones_and_those_of_a_video_wait(
    address: str, live: bool
) -> None:
    source = open_source(address, IMAGE)
    assert (source.live, source.repeatable) == (live, not live)


def test_address_where_nobody_serves_is_an_error(served: str) -> None:
    missing = served.replace("grey", "blue")
    with pytest.raises(SourceError, match="blue.avi cannot be opened as a video or camera"):
        list(play(open_source(missing, IMAGE), Pace()))


def test_stops_are_counted_at_the_source(monkeypatch: pytest.MonkeyPatch) -> None:
    captures = [FakeCapture(1), FakeCapture(1)]
    monkeypatch.setattr("edge_client.sources.camera._open", lambda _url: captures.pop(0))
    monkeypatch.setattr("edge_client.sources.camera._FIRST_REST_S", 0.0)
    source = open_source("rtsp://cam/1", IMAGE)
    assert source.live
    frames = source.frames()
    assert [next(frames).source for _ in range(2)] == ["rtsp://cam/1#0", "rtsp://cam/1#1"]
    assert source.stops == 1


@pytest.mark.parametrize(
    ("url", "words", "absent"),
    [
        ("3", "the number or name", "password"),
        ("http://host/a.mp4", "if it asks for a password, write it as", "password in it"),
        ("rtsp://me:secret@cam/1", "the address, name and password.", "secret"),
    ],
)
def test_advice_for_what_cannot_be_opened_suits_what_was_given(
    url: str, words: str, absent: str
) -> None:
    closed = Camera(url, pytest.fail, pytest.fail, lambda _url: FakeCapture(None))
    with pytest.raises(SourceError) as caught:
        next(closed.frames())
    assert words in str(caught.value)
    assert absent not in str(caught.value)
