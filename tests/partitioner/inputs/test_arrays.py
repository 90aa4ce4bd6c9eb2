"""Arrays in files: every byte order and layout gives the same frames, and scalars are frames too."""

import io
from pathlib import Path

import numpy as np
import pytest

from partitioner.inputs.arrays import frames_of, read_npy, read_npy_stream, read_npz
from protos.errors import SourceError
from protos.tensors import TensorSpec

ROWS = (TensorSpec("x", "float32", (-1, 16)),)
VOICE = (TensorSpec("input", "float32", (1, 4)), TensorSpec("sr", "int64", ()))
DATA = np.random.default_rng(0).random((6, 16), dtype=np.float32)


@pytest.mark.parametrize("order", [">f4", "<f4"])
@pytest.mark.parametrize("layout", ["C", "F"])
@pytest.mark.parametrize("kind", ["npy", "npz", "stream"])
def test_frames_are_the_same_in_every_byte_order_and_layout(
    order: str, layout: str, kind: str, tmp_path: Path
) -> None:
    array = np.asarray(DATA, dtype=order, order=layout)  # type: ignore[call-overload]
    if kind == "npy":
        np.save(tmp_path / "x.npy", array)
        frames = list(read_npy(tmp_path / "x.npy", ROWS))
    elif kind == "npz":
        np.savez(tmp_path / "x.npz", x=array)
        frames = list(read_npz(tmp_path / "x.npz", ROWS))
    else:
        stream = io.BytesIO()
        np.save(stream, array)
        reader = io.BufferedReader(io.BytesIO(stream.getvalue()))  # type: ignore[arg-type]
        frames = list(read_npy_stream(reader, ROWS))
    assert all(frame["x"].dtype.isnative and type(frame["x"]) is np.ndarray for frame in frames)
    np.testing.assert_array_equal(np.concatenate([frame["x"] for frame in frames]), DATA)


def test_plain_number_counts_for_every_frame(tmp_path: Path) -> None:
    np.savez(tmp_path / "one.npz", input=np.ones((1, 4), np.float32), sr=16000)
    (frame,) = read_npz(tmp_path / "one.npz", VOICE)
    assert (frame["sr"].shape, int(frame["sr"])) == ((), 16000)
    np.savez(tmp_path / "many.npz", input=np.ones((3, 1, 4), np.float32), sr=np.int32(8000))
    frames = list(read_npz(tmp_path / "many.npz", VOICE))
    assert [(frame["sr"].dtype, int(frame["sr"])) for frame in frames] == [(np.int64, 8000)] * 3


def test_plain_numbers_alone_are_one_frame_and_a_row_of_them_many(tmp_path: Path) -> None:
    wanted = (TensorSpec("a", "float32", ()), TensorSpec("b", "int64", (1,)))
    np.savez(tmp_path / "x.npz", a=0.5, b=3)
    (frame,) = read_npz(tmp_path / "x.npz", wanted)
    assert (frame["a"].dtype, frame["a"].shape, frame["b"].shape) == (np.float32, (), (1,))
    rows = list(frames_of(np.arange(3, dtype=np.float32), wanted[0], "x"))
    assert [(row.shape, float(row)) for row in rows] == [((), 0), ((), 1), ((), 2)]


def test_floats_for_whole_numbers_are_to_be_scaled_before_they_are_cut_off(tmp_path: Path) -> None:
    pixels = TensorSpec("image", "uint8", (-1, 4, 4, 3))
    np.save(tmp_path / "x.npy", np.full((2, 4, 4, 3), 0.5, np.float32))
    with pytest.raises(SourceError, match="astype alone cuts fractions off") as found:
        read_npy(tmp_path / "x.npy", [pixels])
    advised = "numpy.rint(scale * array).astype('uint8'), with a scale of 255 for images of 0 to 1"
    assert advised in str(found.value)
    np.save(tmp_path / "x.npy", np.zeros((2, 4, 4, 3), np.int64))
    with pytest.raises(SourceError, match="Convert it, where its values fit: array.astype"):
        read_npy(tmp_path / "x.npy", [pixels])


def test_different_numbers_of_frames_beside_a_plain_number_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", input=np.ones((3, 1, 4), np.float32), sr=np.full(2, 8000))
    with pytest.raises(SourceError, match=r"\(input: 3, sr: 2\)"):
        list(read_npz(tmp_path / "x.npz", VOICE))


@pytest.mark.parametrize(
    ("array", "sentence"),
    [
        (DATA[:0], "is empty"),
        (DATA.astype(np.float64), r"Convert it: array.astype\('float32'\)"),
        (DATA.T, "Give it that shape"),
        (np.float32(3), "Give it that shape"),
        (np.array(["a", "b"]), "holds text"),
        (np.zeros(4, [("a", "f4")]), "holds records"),
    ],
)
def test_array_that_cannot_be_an_input_is_refused_for_its_own_reason(
    array: np.ndarray, sentence: str, tmp_path: Path
) -> None:
    np.save(tmp_path / "x.npy", array)
    with pytest.raises(SourceError, match=sentence):
        read_npy(tmp_path / "x.npy", ROWS)


def test_pickled_objects_are_refused_as_what_they_are(tmp_path: Path) -> None:
    ragged = np.array([DATA[0], DATA[1]], dtype=object)
    np.save(tmp_path / "x.npy", ragged, allow_pickle=True)
    np.savez(tmp_path / "x.npz", x=ragged, allow_pickle=True)
    stream = io.BufferedReader(io.BytesIO((tmp_path / "x.npy").read_bytes()))  # type: ignore[arg-type]
    with pytest.raises(SourceError, match="holds Python objects"):
        read_npy(tmp_path / "x.npy", ROWS)
    with pytest.raises(SourceError, match="holds Python objects"):
        list(read_npz(tmp_path / "x.npz", ROWS[:1]))
    with pytest.raises(SourceError, match="holds Python objects"):
        list(read_npy_stream(stream, ROWS))


def test_single_array_that_is_called_an_archive_is_refused_as_that(tmp_path: Path) -> None:
    with (tmp_path / "x.npz").open("wb") as file:
        np.save(file, DATA)
    with pytest.raises(SourceError, match=r"single array, and no archive of them\. Call it \.npy"):
        list(read_npz(tmp_path / "x.npz", ROWS))
