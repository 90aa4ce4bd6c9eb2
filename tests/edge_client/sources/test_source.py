"""Sources: every kind of frame, what cannot be read, the pace, and what is dropped."""

import io
import random
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edge_client.sources.pace import Pace
from edge_client.sources.paced_frames import paced
from edge_client.sources.source import Frame, FrameSource, open_source, play
from protos.errors import SourceError, UsageError
from protos.tensors import TensorSpec
from tests.kit.settings import run_settings

IMAGE = (TensorSpec("image", "uint8", (-1, 4, 6, 3)),)
VECTOR = (TensorSpec("x", "float32", (-1, 5)),)
TWO = (TensorSpec("a", "float32", (-1, 2)), TensorSpec("b", "int64", (-1, 3)))


def frames_of(source: FrameSource, pace: Pace | None = None) -> list[Frame]:
    return list(play(source, pace or Pace()))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number, name in enumerate(["b.png", "a.png", "c.BMP"]):
        pixels = np.full((4, 6, 3), 10 * number, np.uint8)
        Image.fromarray(pixels).save(tmp_path / name)
    (tmp_path / "labels.csv").write_text("file,label\n")
    return tmp_path


@pytest.mark.parametrize("kind", ["x.npy", "x.npz"])
def test_array_with_any_bytes_damaged_is_unreadable_or_whole(kind: str, tmp_path: Path) -> None:
    path, rng = tmp_path / kind, random.Random(0)
    array = np.arange(40, dtype=np.float32).reshape(8, 5)
    np.save(path, array) if kind == "x.npy" else np.savez_compressed(path, x=array)
    good, refused = path.read_bytes(), 0
    for size in 150 * (1, 2, 4):
        damaged, at = bytearray(good), rng.randrange(min(150, len(good) - size))
        damaged[at : at + size] = rng.randbytes(size)
        path.write_bytes(damaged)
        try:
            frames_of(open_source(str(path), VECTOR))
        except SourceError:
            refused += 1
    assert refused > 200


def test_folder_is_read_in_order_of_names(folder: Path) -> None:
    source = open_source(str(folder), IMAGE)
    found = frames_of(source)
    assert [frame.source for frame in found] == ["a.png", "b.png", "c.BMP"]
    assert [int(frame.inputs["image"][0, 0, 0, 0]) for frame in found] == [10, 0, 20]
    assert {frame.inputs["image"].shape for frame in found} == {(1, 4, 6, 3)}
    assert source.total == 3


def test_unreadable_image_is_reported_and_counted_and_the_rest_goes_on(folder: Path) -> None:
    (folder / "aa.jpg").write_bytes(b"no image at all")
    whole = (folder / "a.png").read_bytes()
    (folder / "ab.png").write_bytes(whole[: len(whole) // 2])
    said: list[str] = []
    source = open_source(str(folder), IMAGE, said.append)
    assert [frame.source for frame in frames_of(source)] == ["a.png", "b.png", "c.BMP"]
    assert source.unreadable == 2
    assert "aa.jpg cannot be read as an image" in said[0]


def test_image_of_another_size_is_resized_and_that_is_said_once(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        Image.new("L", (12, 8), 77).save(tmp_path / name)
    said: list[str] = []
    found = frames_of(open_source(str(tmp_path), IMAGE, said.append))
    assert all((frame.inputs["image"] == 77).all() for frame in found)
    assert said == ["frames of 12x8 are resized to 6x4, which the model takes"]


def test_images_for_a_float_model_say_to_import_with_preprocess(folder: Path) -> None:
    with pytest.raises(SourceError, match="`preprocess`"):
        open_source(str(folder), VECTOR)


@pytest.mark.parametrize(("shape", "count"), [((7, 5), 7), ((5,), 1), ((1, 5), 1), ((3, 2, 5), 3)])
def test_npy_is_one_frame_or_many(tmp_path: Path, shape: tuple[int, ...], count: int) -> None:
    array = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    np.save(tmp_path / "x.npy", array)
    found = frames_of(open_source(str(tmp_path / "x.npy"), VECTOR))
    assert len(found) == count
    np.testing.assert_array_equal(
        np.concatenate([frame.inputs["x"] for frame in found]), array.reshape(-1, 5)
    )


def test_npy_that_does_not_suit_the_model_says_what_it_holds(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.zeros((7, 6), np.float32))
    with pytest.raises(SourceError, match=r"float32\[7, 6\], but 'x' takes float32\[batch, 5\]"):
        open_source(str(tmp_path / "x.npy"), VECTOR)  # now, not after measuring
    np.save(tmp_path / "y.npy", np.zeros((7, 5)))
    with pytest.raises(SourceError, match="float64"):
        open_source(str(tmp_path / "y.npy"), VECTOR)


def test_npz_feeds_models_with_several_inputs(tmp_path: Path) -> None:
    a, b = np.ones((4, 2), np.float32), np.arange(12).reshape(4, 3)
    np.savez(tmp_path / "x.npz", a=a, b=b)
    found = frames_of(open_source(str(tmp_path / "x.npz"), TWO))
    assert len(found) == 4
    np.testing.assert_array_equal(found[2].inputs["b"], b[2:3])
    np.savez(tmp_path / "y.npz", a=a, b=b[:2])
    with pytest.raises(SourceError, match="a: 4, b: 2"):
        open_source(str(tmp_path / "y.npz"), TWO)  # now, not after measuring
    np.savez(tmp_path / "z.npz", a=a)
    with pytest.raises(SourceError, match="takes exactly"):
        open_source(str(tmp_path / "z.npz"), TWO)


def test_stdin_brings_arrays_or_paths(folder: Path) -> None:
    stream = io.BytesIO()
    for number in range(3):
        np.save(stream, np.full((2, 5), number, np.float32))
    reader = io.BufferedReader(io.BytesIO(stream.getvalue()))  # type: ignore[arg-type]
    found = frames_of(open_source("-", VECTOR, stdin=reader))
    assert [float(frame.inputs["x"][0, 0]) for frame in found] == [0, 0, 1, 1, 2, 2]

    lines = f"{folder / 'a.png'}\n\n{folder / 'missing.png'}\n{folder / 'b.png'}\n".encode()
    reader = io.BufferedReader(io.BytesIO(lines))  # type: ignore[arg-type]
    source = open_source("-", IMAGE, stdin=reader)
    assert [frame.source for frame in frames_of(source)] == ["a.png", "b.png"]
    assert source.unreadable == 1


@pytest.mark.parametrize("content", [b"\x89PNG\r\n\x1a\n", b"a.png\x00b.png\n"])
def test_stdin_that_holds_something_else_is_said(content: bytes) -> None:
    reader = io.BufferedReader(io.BytesIO(content))  # type: ignore[arg-type]
    with pytest.raises(SourceError, match="neither paths, one a line, nor"):
        frames_of(open_source("-", IMAGE, stdin=reader))


def test_stream_of_arrays_that_breaks_off_is_an_error() -> None:
    stream = io.BytesIO()
    np.save(stream, np.zeros((2, 5), np.float32))
    np.save(stream, np.zeros((2, 5), np.float32))
    cut_off = io.BufferedReader(io.BytesIO(stream.getvalue()[:-8]))  # type: ignore[arg-type]
    with pytest.raises(SourceError, match="breaks off"):
        frames_of(open_source("-", VECTOR, stdin=cut_off))


def test_video_is_read_frame_by_frame(tmp_path: Path) -> None:
    cv2 = pytest.importorskip("cv2")
    path = tmp_path / "v.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10, (64, 48))
    for _ in range(5):
        writer.write(np.full((48, 64, 3), (200, 10, 10), np.uint8))  # blue, in OpenCV's order
    writer.release()
    found = frames_of(open_source(str(path), (TensorSpec("image", "uint8", (-1, 48, 64, 3)),)))
    assert len(found) == 5
    red, _, blue = found[0].inputs["image"][0, 0, 0]
    assert blue > 150 > red


def test_camera_without_opencv_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "cv2", None)
    with pytest.raises(SourceError, match=r"splitpoint\[video\]"):
        frames_of(open_source("0", IMAGE))


def test_what_does_not_exist_or_is_of_no_known_kind_is_said(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="there is no"):
        open_source(str(tmp_path / "nothing"), IMAGE)
    with pytest.raises(SourceError, match="holds no images"):
        open_source(str(tmp_path), IMAGE)
    (tmp_path / "x.doc").touch()
    with pytest.raises(SourceError, match="no kind of file"):
        open_source(str(tmp_path / "x.doc"), IMAGE)
    (tmp_path / "x.npy").write_bytes(b"rubbish")
    with pytest.raises(SourceError, match="cannot be read"):
        frames_of(open_source(str(tmp_path / "x.npy"), VECTOR))


def test_loop_starts_again_and_max_frames_ends_it(folder: Path) -> None:
    found = frames_of(open_source(str(folder), IMAGE), Pace(loop=True, max_frames=7))
    assert [frame.source[0] for frame in found] == list("abcabca")
    with pytest.raises(UsageError, match="`loop`"):
        frames_of(open_source("-", IMAGE, stdin=io.BufferedReader(io.BytesIO())), Pace(loop=True))  # type: ignore[arg-type]


def test_loop_over_nothing_readable_ends(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"rubbish")
    assert frames_of(open_source(str(tmp_path), IMAGE), Pace(loop=True)) == []


def test_pace_is_steady_and_a_long_pause_is_not_caught_up() -> None:
    now = 0.0
    waits: list[float] = []

    def wait(seconds: float) -> None:
        nonlocal now
        waits.append(round(seconds, 6))
        now += seconds

    frames = paced(range(6), 10.0, clock=lambda: now, wait=wait)
    assert [next(frames), next(frames)] == [0, 1]
    assert waits == [0.1]
    now += 0.03  # the consumer was slow, but within its beat
    assert next(frames) == 2
    assert waits[-1] == 0.07
    now += 5.0
    assert [next(frames), next(frames)] == [3, 4]
    assert waits[-1] == 0.1  # no burst of frames that were missed


@pytest.mark.parametrize("fps", [0, -1, 1e-308, 1e308, float("nan"), float("inf")])
def test_pace_that_nothing_keeps_is_refused(fps: float) -> None:
    with pytest.raises(UsageError, match="frames a second have no meaning. Give more than 0"):
        Pace(fps=fps)
    with pytest.raises(UsageError, match="--fps is wrong"):
        run_settings(None, bundle="b", source="x", fps=fps)
