"""What `infer` takes: arrays, images and files, each as `splitpoint-edge run` reads it."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edge_client.client.sync_client import EdgeClient
from edge_client.frames.inputs import check_inputs
from edge_client.sources.source import open_source
from partitioner.bundle.bundle import Bundle
from protos.errors import SourceError, TensorError
from protos.names import EDGE
from protos.tensors import Array, TensorSpec

IMAGE = (TensorSpec("image", "uint8", (-1, 8, 6, 3)),)
PAIR = (TensorSpec("a", "float32", (-1, 2)), TensorSpec("b", "float32", (-1, 3)))


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """A photograph of another size, lying on its side as a phone saves it."""
    pixels = np.random.default_rng(1).integers(0, 256, (20, 30, 3)).astype(np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees
    Image.fromarray(pixels).save(tmp_path / "photo.png", exif=exif)
    return tmp_path / "photo.png"


def of_run(path: Path, wanted: tuple[TensorSpec, ...]) -> list[dict[str, Array]]:
    return [frame.inputs for frame in open_source(str(path), wanted).frames()]


def test_path_and_image_become_the_frame_that_run_makes_of_the_file(photo: Path) -> None:
    (frame,) = of_run(photo, IMAGE)
    with Image.open(photo) as image:
        for given in (photo, str(photo), image):
            np.testing.assert_array_equal(check_inputs(given, IMAGE)["image"], frame["image"])


def test_file_of_arrays_holds_one_frame(tmp_path: Path) -> None:
    rows = {"a": np.ones((1, 2), np.float32), "b": np.ones((1, 3), np.float32)}
    np.savez(tmp_path / "one.npz", **rows)
    assert sorted(check_inputs(tmp_path / "one.npz", PAIR)) == ["a", "b"]
    np.save(tmp_path / "two.npy", np.ones((2, 8, 6, 3), np.uint8))
    with pytest.raises(SourceError, match=r"holds several frames, and infer\(\) takes one"):
        check_inputs(tmp_path / "two.npy", IMAGE)


def test_what_an_image_loses_is_said_once_for_all_frames(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    wanted = (TensorSpec("thermal", "uint8", (-1, 8, 6, 1)),)
    dark = Image.fromarray(np.full((8, 6), 1000, np.uint16))
    dark.save(tmp_path / "dark.png")
    for given in (dark, dark, tmp_path / "dark.png"):
        check_inputs(given, wanted)
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 1
    assert "nearly black" in said[0]


def test_file_that_is_not_there_or_an_image_for_a_model_of_vectors_is_named(photo: Path) -> None:
    with pytest.raises(SourceError, match=r"there is no nowhere\.png"):
        check_inputs("nowhere.png", IMAGE)
    with pytest.raises(SourceError, match="images cannot be fed to this model"):
        check_inputs(Image.new("RGB", (4, 4)), PAIR)
    with pytest.raises(TensorError, match=r"is uint8\[\], but uint8\[batch"):
        check_inputs(7, IMAGE)


def test_client_streams_files_images_and_whole_sources(image_bundle: Bundle, photo: Path) -> None:
    with EdgeClient(None, image_bundle, EDGE) as client, Image.open(photo) as image:
        alone = client.infer(photo).outputs
        given = [photo, str(photo), image, check_inputs(photo, image_bundle.inputs)]
        found = [*client.stream(given), *client.stream(photo.parent), *client.stream(str(photo))]
        assert len(found) == 6
        for result in found:
            for name, array in alone.items():
                np.testing.assert_array_equal(result.outputs[name], array)
        with pytest.raises(SourceError, match="there is no nowhere"):
            next(client.stream("nowhere"))


def test_client_that_gets_arrays_loads_no_reader_of_images() -> None:
    code = (
        "import sys, numpy as np\n"
        "from edge_client.frames.inputs import check_inputs\n"
        "from protos.tensors import TensorSpec\n"
        "check_inputs(np.zeros((1, 2), np.float32), [TensorSpec('x', 'float32', (-1, 2))])\n"
        "assert 'PIL.ImageOps' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
