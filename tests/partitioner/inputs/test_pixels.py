"""Pixels: every mode of PIL becomes 8 bits on the scale that the mode has."""

import struct
from io import BytesIO
from typing import Any
from zlib import compress, crc32

import numpy as np
import pytest
from PIL import Image

from partitioner.inputs.pixels import depth_of, shades_of

GREY = np.random.default_rng(0).integers(0, 256, (5, 7)).astype(np.uint8)
COLOUR = np.random.default_rng(1).integers(0, 256, (5, 7, 3)).astype(np.uint8)


def unheard(kind: str, text: str) -> None:
    pytest.fail(f"{kind}: {text}")


def shades(image: Any, channels: int = 1, white: int = 0) -> np.ndarray:
    return np.asarray(shades_of(image, channels, unheard, white))


def colour_png(values: np.ndarray) -> bytes:
    """Return a PNG of 16 bits of RGB [height, width, 3], which PIL reads and cannot write."""
    height, width, _ = values.shape

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", crc32(kind + data))

    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    head = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    chunks = chunk(b"IHDR", head) + chunk(b"IDAT", compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


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
    said: list[tuple[str, str]] = []
    image = Image.fromarray(np.full((2, 2), 4080, np.uint16))
    shades_of(image, 1, lambda *heard: said.append(heard))
    assert len(said) == 1
    assert "4080 is 16 of 255" in said[0][1]


@pytest.mark.parametrize("bits", [10, 12, 14, 16])
@pytest.mark.parametrize("dtype", [np.uint16, np.int32, np.float32])
def test_camera_of_any_bits_has_the_shades_of_its_own_white(bits: int, dtype: type) -> None:
    white = 2**bits - 1
    values = np.linspace(0, white, 35).reshape(5, 7).round().astype(dtype)
    wanted = np.rint(values.astype(np.float64) * 255 / white)
    np.testing.assert_array_equal(shades(Image.fromarray(values), white=white), wanted)


def test_values_above_white_are_white_and_said() -> None:
    said: list[tuple[str, str]] = []
    depths = Image.fromarray(np.array([[0, 2500, 5000, 40000]], np.uint16))
    found = shades_of(depths, 1, lambda *heard: said.append(heard), 5000)
    assert np.asarray(found).tolist() == [[0, 128, 255, 255]]
    assert [kind for kind, _ in said] == ["bright"]


def test_white_says_nothing_of_eight_bits() -> None:
    np.testing.assert_array_equal(shades(Image.fromarray(GREY), white=4095), GREY)


@pytest.mark.parametrize("kind", [b"P5", b"P2"])
def test_file_that_says_its_white_keeps_it(kind: bytes) -> None:
    values = np.array([[0, 1024, 2048, 4095]], ">u2")
    body = values.tobytes() if kind == b"P5" else b"0 1024 2048 4095\n"
    image = Image.open(BytesIO(kind + b"\n4 1\n4095\n" + body))
    depth = depth_of(image)
    image.load()
    # 1024 · 255 / 4095 = 63.8, 2048 · 255 / 4095 = 127.5
    for white in (0, 1023):
        found = np.asarray(shades_of(image, 1, unheard, white, depth)).tolist()
        assert found in ([[0, 64, 127, 255]], [[0, 64, 128, 255]])


def test_dark_colours_of_sixteen_bits_are_said_and_refused_where_white_is_said() -> None:
    image = Image.open(BytesIO(colour_png(np.full((4, 6, 3), 4000))))
    depth = depth_of(image)
    image.load()
    said: list[tuple[str, str]] = []
    found = np.asarray(shades_of(image, 3, lambda *heard: said.append(heard), 0, depth))
    assert (found == 4000 >> 8).all()
    assert [kind for kind, _ in said] == ["dim"]
    with pytest.raises(ValueError, match="16 bits of each colour.* white is 4095"):
        shades_of(image, 3, unheard, 4095, depth)


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
