"""JPEG and WebP: what they promise to keep, and what they say to lies."""

import io
import math

import numpy as np
import pytest
from PIL import Image

from protos.codecs.registry import get_codec
from protos.errors import TensorError
from protos.tensors import Array, TensorSpec


def photograph() -> Array:
    rows, columns = np.mgrid[0:48, 0:64]
    planes = [rows * 4, columns * 3, (rows + columns) * 2]
    return np.stack(planes, axis=-1).astype(np.uint8)[None]


def as_jpeg(size: tuple[int, int], mode: str = "RGB") -> bytes:
    out = io.BytesIO()
    Image.new(mode, size).save(out, "JPEG")
    return out.getvalue()


@pytest.mark.parametrize("quality", [50, 75, 95])
def test_jpeg_keeps_a_smooth_image_within_a_few_levels(quality: int) -> None:
    codec = get_codec(f"jpeg-{quality}")
    data = codec.encode(photograph(), "image")
    decoded = codec.decode(data, "uint8", (1, 48, 64, 3), "image")
    assert len(data) < photograph().nbytes / 4
    assert np.abs(decoded.astype(int) - photograph()).mean() < 4


@pytest.mark.parametrize(
    ("dtype", "shape", "taken"),
    [
        ("uint8", (1, 48, 64, 3), True),
        ("uint8", (-1, 48, 64, 1), True),
        ("uint8", (-1, 1, 1, 3), True),
        ("uint8", (2, 48, 64, 3), False),
        ("uint8", (-1, 48, 64, 4), False),
        ("uint8", (-1, 3, 48, 64), False),
        ("uint8", (48, 64, 3), False),
        ("uint8", (-1, 0, 64, 3), False),
        ("float32", (-1, 48, 64, 3), False),
    ],
)
def test_what_looks_like_one_image_is_taken(
    dtype: str, shape: tuple[int, ...], taken: bool
) -> None:
    spec = TensorSpec("image", dtype, shape)
    for name in ("jpeg", "webp"):
        assert get_codec(name).accepts(spec) is taken
    if taken:  # a bit a value
        assert get_codec("jpeg").estimate_bytes(spec) == math.prod(spec.sized()) // 8


def test_jpeg_payload_is_an_ordinary_jpeg_file() -> None:
    data = bytes(get_codec("jpeg").encode(photograph(), "image"))
    image = Image.open(io.BytesIO(data))
    assert (image.format, image.size) == ("JPEG", (64, 48))


def test_grey_images_are_jpegs_too() -> None:
    codec = get_codec("jpeg")
    for grey in (photograph()[..., :1], photograph()[:, :, :1, :1]):  # and one that is 1 wide
        decoded = codec.decode(codec.encode(grey, "image"), "uint8", grey.shape, "image")
        assert np.abs(decoded.astype(int) - grey).mean() < 4


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (b"", "no readable JPEG: cannot identify image file. Encode it again, or send it raw"),
        (b"\xff\xd8\xff" + b"\0" * 50, "no readable JPEG"),
        (as_jpeg((64, 48))[:-300], "no readable JPEG"),
        (as_jpeg((65, 48)), "65x48.*64x48"),
        (as_jpeg((20000, 20000), "L"), "400000000 pixels"),
        (as_jpeg((9000, 9000), "L"), "9000x9000.*64x48"),
        (as_jpeg((64, 48), "L"), "64x48 L.*RGB"),
    ],
)
def test_jpeg_that_lies_is_refused_before_its_pixels_are_decoded(data: bytes, match: str) -> None:
    with pytest.raises(TensorError, match=match):
        get_codec("jpeg").decode(data, "uint8", (1, 48, 64, 3), "image")


def test_other_formats_are_not_taken_for_jpegs() -> None:
    out = io.BytesIO()
    Image.new("RGB", (64, 48)).save(out, "PNG")
    with pytest.raises(TensorError, match="no readable JPEG"):
        get_codec("jpeg").decode(out.getvalue(), "uint8", (1, 48, 64, 3), "image")


def test_jpeg_of_floats_is_refused() -> None:
    with pytest.raises(TensorError, match="float32.*Send it raw"):
        get_codec("jpeg").decode(b"", "float32", (1, 48, 64, 3), "image")


def test_batch_of_images_is_refused_by_the_encoder() -> None:
    with pytest.raises(TensorError, match="one image at a time"):
        get_codec("jpeg").encode(np.concatenate([photograph()] * 2), "image")


def test_webp_keeps_a_smooth_image_within_a_few_levels() -> None:
    codec = get_codec("webp-80")
    data = codec.encode(photograph(), "image")
    assert Image.open(io.BytesIO(data)).format == "WEBP"
    decoded = codec.decode(data, "uint8", (1, 48, 64, 3), "image")
    assert len(data) < photograph().nbytes / 4
    assert np.abs(decoded.astype(int) - photograph()).mean() < 4
    grey = photograph()[..., :1]
    decoded = codec.decode(codec.encode(grey, "image"), "uint8", grey.shape, "image")
    assert np.abs(decoded.astype(int) - grey).mean() < 4


def webp(size: tuple[int, int], **how: bool) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", size).save(out, "WEBP", **how)
    return out.getvalue()


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (b"", "does not begin"),
        (as_jpeg((64, 48)), "does not begin"),
        (webp((64, 48), lossless=True), "does not begin"),
        (webp((64, 48))[:40], "no readable WEBP"),
        (webp((65, 48)), "65x48, not 64x48"),
        (webp((64, 48))[:26] + b"\xff\x3f\xff\x3f", "16383x16383, not 64x48"),
    ],
)
def test_webp_that_lies_is_refused_before_a_canvas_is_made(data: bytes, match: str) -> None:
    with pytest.raises(TensorError, match=match):
        get_codec("webp").decode(data, "uint8", (1, 48, 64, 3), "image")
