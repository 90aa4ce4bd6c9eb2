"""The sources of frames: folders, images, arrays, videos, cameras and stdin."""

import io
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

from edge_client.sources.camera import Camera, is_address, without_password
from edge_client.sources.live import Newest, video_frames
from edge_client.sources.pace import Pace
from edge_client.sources.paced_frames import paced
from partitioner.inputs.arrays import NPY_MAGIC, read_npy, read_npy_stream, read_npz
from partitioner.inputs.files import images_at
from partitioner.inputs.image_folder import ImageFile
from partitioner.inputs.images import IMAGE_SUFFIXES, ImageFitter, Say
from protos.errors import SourceError, UsageError
from protos.tensors import Array, TensorSpec

VIDEOS = frozenset({".mp4", ".avi", ".mkv", ".mov", ".webm", ".m4v"})
STDIN = "-"
_OF_FILES = frozenset({"http", "https"})
"""Schemes behind which a video may lie that waits until it is asked for."""


@dataclass(frozen=True)
class Frame:
    """One frame: the name of its source, and the model's inputs by name, with batch axis."""

    source: str
    inputs: dict[str, Array] = field(repr=False)


@dataclass
class FrameSource:
    """Frames to iterate once. `total` is their number, where it is known, `names` what images are called.

    `unreadable` and `dropped` count what was left out so far, `stops` how often a camera has stopped.
    """

    frames: Callable[[], Iterator[Frame]]
    live: bool = False
    total: int | None = None
    names: Sequence[str] = ()
    repeatable: bool = True
    unreadable: int = 0
    stops: int = 0
    newest: list[Newest[Frame]] = field(default_factory=list)

    @property
    def dropped(self) -> int:
        """Frames of a live source that made way for newer ones."""
        return sum(newest.dropped for newest in self.newest)

    def watch(self, newest: Newest[Frame]) -> None:
        """Count as dropped what these frames drop."""
        self.newest.append(newest)

    def stopped(self) -> None:
        """Count a camera that has stopped."""
        self.stops += 1

    def leave_out(self) -> None:
        """Count a frame that cannot be read."""
        self.unreadable += 1


def open_source(
    text: str,
    inputs: Sequence[TensorSpec],
    say: Say = lambda _text: None,
    stdin: IO[bytes] | None = None,
) -> FrameSource:
    """Return the source that `text` names; `say` hears remarks about frames.

    Raises SourceError when it does not exist, holds no frames, or does not suit the model's `inputs`.
    """
    path = Path(text)
    if text == STDIN:
        return _stdin(inputs, say, stdin)
    if text.isdigit() or text.startswith("/dev/video") or is_address(text):
        return _camera(text, ImageFitter(inputs, say), say)
    if path.is_dir():
        return _images(path, inputs, say)
    if not path.exists():
        raise SourceError(
            f"there is no {without_password(text)}. Give a folder of images, an image, .npy, .npz, a video, "
            "a camera's number, an address such as rtsp://camera/1, or - for stdin."
        )
    return _file(path, inputs, say)


def _camera(text: str, fitter: ImageFitter, say: Say) -> FrameSource:
    """Return the frames of a camera, or of a video or camera behind an address."""
    parts = urlsplit(text)
    # Over RTSP and its like frames come at their own pace, whatever the path is called.
    is_file = parts.scheme.lower() in _OF_FILES and Path(parts.path).suffix.lower() in VIDEOS

    def frames() -> Iterator[Frame]:
        camera = Camera(text, say, source.stopped)
        pixels = (fitter.from_pixels(frame) for frame in camera.frames())
        return _numbered(without_password(text), pixels)

    source = FrameSource(frames, live=not is_file, repeatable=is_file)
    return source


def play(source: FrameSource, pace: Pace) -> Iterator[Frame]:
    """Yield the frames of `source` as `pace` says; those that were dropped count for nothing."""
    if pace.loop and not source.repeatable:
        raise UsageError("this source cannot start again. Leave out `loop`.")
    frames: Iterable[Frame] = _again(source) if pace.loop else source.frames()
    if pace.fps is not None:
        frames = paced(frames, pace.fps)
    if source.live or pace.drop:
        newest = Newest(frames)
        source.watch(newest)
        frames = newest
    return islice(frames, pace.max_frames)


def _again(source: FrameSource) -> Iterator[Frame]:
    while True:
        some = False
        for frame in source.frames():
            some = True
            yield frame
        if not some:
            return  # nothing readable: asking for ever would not help


def _file(path: Path, inputs: Sequence[TensorSpec], say: Say) -> FrameSource:
    kind = path.suffix.lower()
    if kind in IMAGE_SUFFIXES:
        return _images(path, inputs, say)
    if kind == ".npy":
        read_npy(path, inputs)  # what is wrong with it is said now
        return FrameSource(lambda: _numbered(path.name, read_npy(path, inputs)))
    if kind == ".npz":
        next(read_npz(path, inputs), None)  # and here
        return FrameSource(lambda: _numbered(path.name, read_npz(path, inputs)))
    if kind in VIDEOS:
        fitter = ImageFitter(inputs, say)
        return FrameSource(lambda: _numbered(path.name, video_frames(str(path), fitter)))
    known = ", ".join(sorted(IMAGE_SUFFIXES | VIDEOS | {".npy", ".npz"}))
    raise SourceError(f"{path} is no kind of file that is known. Known are: {known}.")


def _images(path: Path, inputs: Sequence[TensorSpec], say: Say) -> FrameSource:
    fitter = ImageFitter(inputs, say)
    images = images_at(path, say)
    source = FrameSource(
        lambda: _read_images(images, fitter, say, source),
        total=len(images),
        names=[image.name for image in images],
    )
    return source


def _read_images(
    images: Iterable[ImageFile], fitter: ImageFitter, say: Say, source: FrameSource
) -> Iterator[Frame]:
    for image in images:
        try:
            inputs = fitter.read(image.path)
        except SourceError as error:
            source.leave_out()
            say(f"{error} It is left out.")
            continue
        yield Frame(image.name, inputs)


def _numbered(name: str, frames: Iterable[dict[str, Array]]) -> Iterator[Frame]:
    for number, inputs in enumerate(frames):
        yield Frame(f"{name}#{number}", inputs)


def _image(line: bytes) -> ImageFile:
    """Return the image whose path is in a line of stdin; SourceError when the line is no text."""
    try:
        text = line.decode().strip()
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise SourceError(
            "stdin holds neither paths, one a line, nor .npy arrays. Give one of these, or the file's "
            "name instead of -."
        )
    return ImageFile(Path(text), Path(text).name)


class _Pipe(io.BufferedReader):
    """Hides that it is a file: numpy would read straight from that, which needs a position to seek to."""

    def fileno(self) -> int:
        raise io.UnsupportedOperation("a pipe is read through its buffer only")


def _stdin(inputs: Sequence[TensorSpec], say: Say, stdin: IO[bytes] | None) -> FrameSource:
    # A file of our own: a thread that is blocked in sys.stdin would stop the interpreter's exit.
    file = stdin if stdin is not None else _Pipe(io.FileIO(os.dup(0)))

    def frames() -> Iterator[Frame]:
        if file.peek(len(NPY_MAGIC))[: len(NPY_MAGIC)] == NPY_MAGIC:  # type: ignore[attr-defined]
            yield from _numbered("stdin", read_npy_stream(file, inputs))
        else:
            images = (_image(line) for line in file if line.strip())
            yield from _read_images(images, ImageFitter(inputs, say), say, source)

    source = FrameSource(frames, repeatable=False)
    return source
