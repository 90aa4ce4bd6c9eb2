"""Sixteen-bit floats: their bound, and infinities."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from protos.codecs.registry import get_codec
from protos.tensors import Array, TensorSpec

shapes = hnp.array_shapes(min_dims=1, max_dims=4, min_side=1, max_side=9)


@settings(max_examples=100)
@given(hnp.arrays(np.float32, shapes, elements=st.floats(width=32, allow_nan=False)))
def test_half_stays_within_its_bound_and_keeps_infinities(x: Array) -> None:
    codec = get_codec("half")
    data = codec.encode(x, "x")
    assert len(data) == 2 * x.size == codec.estimate_bytes(TensorSpec("x", "float32", x.shape))
    y = codec.decode(data, "float32", x.shape, "x").astype(np.float64)
    inf = np.isinf(x)
    np.testing.assert_array_equal(y[inf], x[inf])
    wanted = np.clip(x[~inf].astype(np.float64), -65504, 65504)
    assert (np.abs(y[~inf] - wanted) <= 2.0**-11 * np.abs(wanted) + 2.0**-25).all()
