"""Codecs: bytes follow from the numbers alone, however these lie in memory."""

import numpy as np
import pytest

from protos.codecs.registry import get_codec
from protos.tensors import as_wire
from tests.kit.calibrations import KNOWN
from tests.kit.layouts import ARRAY, LAYOUTS


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("codec", ["raw", "half", "int8", "q2", "q4", "q6"])
def test_bytes_are_the_same_in_every_layout(codec: str, layout: str) -> None:
    chosen = get_codec(codec, KNOWN)
    assert bytes(chosen.encode(LAYOUTS[layout](), "x")) == bytes(chosen.encode(ARRAY, "x"))


@pytest.mark.parametrize("codec", ["jpeg-90", "webp-90"])
def test_images_are_the_same_in_every_layout(codec: str) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (1, 8, 6, 3)).astype(np.uint8)
    chosen = get_codec(codec, KNOWN)
    wanted = bytes(chosen.encode(pixels, "x"))
    for other in (np.asfortranarray(pixels), pixels[:, ::-1].copy()[:, ::-1]):
        assert bytes(chosen.encode(other, "x")) == wanted


@pytest.mark.parametrize("layout", LAYOUTS)
def test_wire_is_little_endian_and_row_major(layout: str) -> None:
    assert as_wire(LAYOUTS[layout]()).tobytes() == ARRAY.astype("<f4").tobytes()
