"""Pixels: every mode of PIL becomes 8 bits on the scale that the mode has."""

from typing import Any

import numpy as np
import pytest
from PIL import Image

from partitioner.inputs.pixels import shades_of

GREY = np.random.default_rng(0).integers(0, 256, (5, 7)).astype(np.uint8)
COLOUR = np.random.default_rng(1).integers(0, 256, (5, 7, 3)).astype(np.uint8)


def shades(image: Any, channels: int = 1) -> np.ndarray:
    return np.asarray(shades_of(image, channels, pytest.fail))


@pytest.mark.parametrize(
    "image",
    [
        Image.fromarray(GREY),
        Image.fromarray(GREY.astype(np.uint16) * 257),
        Image.frombytes("I;16B", (7, 5), (GREY.astype(np.uint16) * 257).astype(">u2").tobytes()),
        Image.fromarray(GREY.astype(np.int32) * 257),
        Image.fromarray(GREY.astype(np.float32) / 255),
        Image.merge("LA", (Image.fromarray(GREY), Image.new("L", (7, 5), 0))),
    ],
    ids=lambda image: image.mode,
)
def test_grey_of_every_depth_is_the_same_grey(image: Any) -> None:
    np.testing.assert_array_equal(shades(image), GREY)
    np.testing.assert_array_equal(shades(image, 3), np.repeat(GREY[:, :, None], 3, axis=2))


def test_sixteen_bits_are_divided_over_the_whole_scale() -> None:
    values = np.array([[0, 128, 129, 32767, 32768, 65406, 65407, 65535]], np.uint16)
    # v · 255 / 65535 = v / 257, rounded: 128 / 257 = 0.498, 129 / 257 = 0.502, 65407 / 257 = 254.502
    assert shades(Image.fromarray(values)).tolist() == [[0, 0, 1, 127, 128, 254, 255, 255]]


def test_sixteen_bits_of_which_few_are_used_are_said_to_become_dark() -> None:
    said: list[str] = []
    shades_of(Image.fromarray(np.full((2, 2), 4080, np.uint16)), 1, said.append)
    assert len(said) == 1
    assert "4080 is 16 of 255" in said[0]


def test_bilevel_is_black_and_white() -> None:
    bits = Image.fromarray(GREY).convert("1")
    assert set(np.unique(shades(bits))) == {0, 255}


def test_transparency_is_left_out() -> None:
    for alpha in (0, 128, 255):
        bands = (*Image.fromarray(COLOUR).split(), Image.new("L", (7, 5), alpha))
        np.testing.assert_array_equal(shades(Image.merge("RGBA", bands), 3), COLOUR)


@pytest.mark.parametrize("transparency", [None, 3, bytes(range(35))])
def test_palette_gives_its_colours(transparency: Any) -> None:
    image = Image.fromarray(COLOUR).quantize(35)
    wanted = np.asarray(image.convert("RGB"))
    if transparency is not None:
        image.info["transparency"] = transparency
    np.testing.assert_array_equal(shades(image, 3), wanted)


def test_cmyk_is_converted() -> None:
    image = Image.fromarray(COLOUR).convert("CMYK")
    np.testing.assert_allclose(shades(image, 3), COLOUR, atol=1)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        (np.full((2, 2), 2.5, np.float32), r"floats go from 2.5 to 2.5, and 0 \(black\) to 1"),
        (np.full((2, 2), -0.1, np.float32), "floats go from -0.1"),
        (np.full((2, 2), np.nan, np.float32), "values that are no number"),
        (np.full((2, 2), 65536, np.int32), "integers go from 65536"),
        (np.full((2, 2), -1, np.int32), "integers go from -1"),
    ],
)
def test_numbers_of_no_known_scale_are_refused(values: np.ndarray, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        shades(Image.fromarray(values))
