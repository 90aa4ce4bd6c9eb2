"""What callers give as an array: every layout becomes the same numbers, and what holds none is named."""

from typing import Any

import numpy as np
import pytest

from partitioner.inputs.plain_arrays import plain_array
from protos.errors import TensorError
from protos.tensors import TensorSpec
from tests.kit.layouts import ARRAY, LAYOUTS

X = TensorSpec("x", "float32", (-1, 3, 4, 5))
RATE = TensorSpec("rate", "int64", ())


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_is_the_same_plain_array_of_native_numbers(layout: str) -> None:
    found = plain_array(LAYOUTS[layout](), X)
    assert type(found) is np.ndarray
    assert found.dtype == np.float32
    assert found.dtype.isnative
    np.testing.assert_array_equal(found, ARRAY)


def test_plain_array_is_passed_on_without_a_copy() -> None:
    assert plain_array(ARRAY, X) is ARRAY


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        (ARRAY.astype(object), "holds Python objects"),
        (np.zeros(3, [("a", "f4"), ("b", "i4")]), "holds records"),
        (np.array(["a"]), "holds text"),
        (np.array([b"a"]), "holds text"),
        (np.array(["2020-01-01"], "M8[D]"), "holds dates"),
        (np.ma.masked_greater(ARRAY, 0), "masked values"),
        ([[1.0]], "is a list, but an array"),
        (None, "is a NoneType"),
        ("5", "is a str"),
        (2**70, "holds Python objects"),
    ],
)
def test_what_is_no_array_of_numbers_is_named(value: Any, sentence: str) -> None:
    with pytest.raises(TensorError, match=sentence):
        plain_array(value, X)


def test_array_of_another_library_that_refuses_says_why() -> None:
    class OnDevice:
        def __array__(self, *_: object, **__: object) -> None:
            raise TypeError("it lies on another device")

    with pytest.raises(TensorError, match="is a OnDevice that gives no array: it lies on another"):
        plain_array(OnDevice(), X)


@pytest.mark.parametrize(
    "value",
    [16000, np.int32(16000), np.array(16000, ">i8"), np.uint16(16000), 16000.0, np.array(16000.0)],
)
def test_plain_number_takes_the_type_that_is_wanted(value: Any) -> None:
    found = plain_array(value, RATE)
    assert (found.dtype, found.shape, int(found)) == (np.int64, (), 16000)


@pytest.mark.parametrize(
    ("value", "dtype"),
    [
        (0.5, "int64"),
        (300, "uint8"),
        (-1, "uint64"),
        (1e300, "float32"),
        (2, "bool"),
        (True, "int64"),
        (True, "float32"),
        (2.0**64, "uint64"),
        (2.0**63, "int64"),
        (float("nan"), "int64"),
        (2**24 + 1, "float32"),
    ],
)
def test_plain_number_that_would_change_keeps_its_type(value: Any, dtype: str) -> None:
    assert plain_array(value, TensorSpec("s", dtype, ())).dtype.name != dtype
