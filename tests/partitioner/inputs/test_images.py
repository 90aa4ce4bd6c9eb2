"""Images as frames: upright, the first of several, and what cannot be one is an error with its reason."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from partitioner.inputs.images import ImageFitter
from protos.errors import SourceError
from protos.tensors import TensorSpec

COLOUR = (TensorSpec("image", "uint8", (-1, 4, 6, 3)),)
PIXELS = np.random.default_rng(0).integers(0, 256, (4, 6, 3)).astype(np.uint8)


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif", "ppm"])
def test_file_of_every_kind_gives_its_pixels(suffix: str, tmp_path: Path) -> None:
    Image.fromarray(PIXELS).save(tmp_path / f"a.{suffix}")
    found = ImageFitter(COLOUR, pytest.fail).read(tmp_path / f"a.{suffix}")
    np.testing.assert_array_equal(found["image"][0], PIXELS)


@pytest.mark.parametrize(("orientation", "turn"), [(3, 2), (6, 1), (8, 3)])
@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_image_is_turned_upright(orientation: int, turn: int, suffix: str, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(np.rot90(PIXELS, turn)).save(tmp_path / f"a.{suffix}", exif=exif)
    found = ImageFitter(COLOUR, pytest.fail).read(tmp_path / f"a.{suffix}")
    np.testing.assert_array_equal(found["image"][0], PIXELS)


@pytest.mark.parametrize("suffix", ["gif", "webp", "tif", "png"])
def test_first_of_several_pictures_is_taken_and_that_is_said_once(
    suffix: str, tmp_path: Path
) -> None:
    first, second = Image.new("RGB", (6, 4), (255, 0, 0)), Image.new("RGB", (6, 4), (0, 0, 255))
    for name in ("a", "b"):
        path = tmp_path / f"{name}.{suffix}"
        first.save(path, save_all=True, append_images=[second])
    said: list[str] = []
    fitter = ImageFitter(COLOUR, said.append)
    for path in sorted(tmp_path.iterdir()):
        red, _, blue = fitter.read(path)["image"][0, 0, 0]
        assert red > 250
        assert blue < 5
    assert len(said) == 1
    assert "the first is taken" in said[0]


def test_image_of_no_known_scale_is_refused_in_a_file_and_in_memory(tmp_path: Path) -> None:
    depth = Image.fromarray(np.full((4, 6), 3.7, np.float32))
    depth.save(tmp_path / "depth.tif")
    fitter = ImageFitter(COLOUR, pytest.fail)
    with pytest.raises(SourceError, match=r"depth.tif cannot be read as an image: its floats go"):
        fitter.read(tmp_path / "depth.tif")
    with pytest.raises(SourceError, match="an image of mode F cannot be taken: its floats go"):
        fitter.from_image(depth)
