"""Eight bits a value with a scale for each channel."""

import numpy as np
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
