"""Eight bits a value with a scale for each channel."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from protos.codecs.int8 import channel_axis
from protos.codecs.registry import get_codec
from protos.tensors import Array, TensorSpec

shapes = hnp.array_shapes(min_dims=1, max_dims=4, min_side=1, max_side=9)
finite = st.floats(-(2.0**100), 2.0**100, width=32)


@settings(max_examples=100)
@given(hnp.arrays(np.float32, shapes, elements=finite))
def test_int8_stays_within_half_a_step_of_each_channel(x: Array) -> None:
    codec = get_codec("int8")
    data = codec.encode(x, "x")
    assert len(data) == codec.estimate_bytes(TensorSpec("x", "float32", x.shape))
    y = codec.decode(data, "float32", x.shape, "x").astype(np.float64)
    kept = channel_axis(x.shape)
    axes = tuple(axis for axis in range(x.ndim) if axis != kept)
    wide = x.astype(np.float64)
    span = wide.max(axis=axes, keepdims=True) - wide.min(axis=axes, keepdims=True)
    largest = np.abs(wide).max(axis=axes, keepdims=True)
    assert (np.abs(y - wide) <= span / 510 + 1e-6 * (span + largest) + 1e-40).all()


def test_golden_bytes_of_int8_out_of_the_encoder() -> None:
    # low 0, step 1/255·255 = 1: symbols are the values themselves.
    x = np.array([[0.0, 1.0, 254.0, 255.0]], np.float32)
    assert (
        bytes(get_codec("int8").encode(x, "x")).hex() == "01" + "00000000" + "0000803f" + "0001feff"
    )


@pytest.mark.parametrize(
    ("shape", "axis"),
    [
        ((), None),
        ((5,), None),
        ((2, 640), None),
        ((1, 3, 16), None),  # 48 values are fewer than 16 a channel
        ((1, 16, 3), 2),
        ((1, 3, 4, 4), 1),
        ((1, 3, 3, 5), None),
        ((2, 3, 2, 4), 1),
        ((1, 2, 2, 2, 4), 1),
    ],
)
def test_axis_of_the_channels_follows_from_the_shape(
    shape: tuple[int, ...], axis: int | None
) -> None:
    assert channel_axis(shape) == axis
    ranges = 1 if axis is None else shape[axis]
    if shape:
        size = 1 + 8 * ranges + math.prod(shape)
        assert len(get_codec("int8").encode(np.zeros(shape, np.float32), "x")) == size
    else:  # no edge sends one, and a caller may
        data = b"\x01" + np.array([-1, 0.5], "<f4").tobytes() + b"\x03"
        assert get_codec("int8").decode(data, "float32", shape, "x") == 0.5


def test_channels_keep_ranges_of_their_own() -> None:
    # Channel 0 from 0 by steps of 1, channel 1 from -2 by steps of 2: symbols 0, 1 … 254, 255 in both.
    symbols = np.array([[[0, 1, 2, 3] * 4, [254, 255, 254, 255] * 4]] * 1, np.uint8)
    symbols[0, :, 0], symbols[0, :, -1] = 0, 255
    x = symbols.reshape(1, 2, 4, 4).astype(np.float32) * [[[[1]], [[2]]]] + [[[[0]], [[-2]]]]
    data = bytes(get_codec("int8").encode(x.astype(np.float32), "x"))
    assert data[:17].hex() == "01" + "00000000" + "0000803f" + "000000c0" + "00000040"
    assert data[17:] == symbols.tobytes()


def test_symbol_of_a_range_too_small_for_float32_ends_at_the_top_and_does_not_wrap() -> None:
    # 382 of the smallest numbers: a 255th is 1.498 of them and rounds to one, so the last is 382 steps off.
    least = np.finfo(np.float32).smallest_subnormal
    data = bytes(get_codec("int8").encode(np.array([0, 382 * least], np.float32), "x"))
    assert data[9:] == bytes([0, 255])
