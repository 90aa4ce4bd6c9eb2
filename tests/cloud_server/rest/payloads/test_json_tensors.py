"""Numbers of JSON become the bytes of tensors, or are refused."""

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from cloud_server.rest.payloads.json_tensors import read_numbers, write_numbers
from protos.errors import TensorError

DTYPES = {
    "BOOL": "bool", "UINT8": "u1", "UINT16": "<u2", "UINT32": "<u4", "UINT64": "<u8", "INT8": "i1",
    "INT16": "<i2", "INT32": "<i4", "INT64": "<i8", "FP32": "<f4", "FP64": "<f8",
}  # fmt: skip


@given(st.data(), st.sampled_from(sorted(DTYPES)))
def test_every_array_comes_back_from_json_bit_for_bit(data: st.DataObject, datatype: str) -> None:
    shapes = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4)
    array = data.draw(hnp.arrays(DTYPES[datatype], shapes))
    nested = array.tolist() if array.ndim else [array.item()]
    for numbers in (nested, array.ravel().tolist()):
        # Through text, as they travel: NaN and Infinity are words there.
        found = read_numbers(json.loads(json.dumps(numbers)), datatype, array.shape, "x")
        np.testing.assert_array_equal(np.frombuffer(found, DTYPES[datatype]), array.ravel())
    written = json.loads(json.dumps(write_numbers(array.tobytes(), datatype, "x")))
    np.testing.assert_array_equal(np.array(written, DTYPES[datatype]), array.ravel())


@pytest.mark.parametrize(
    ("datatype", "good", "bad"),
    [
        ("BOOL", [True, False], [0, 1, 1.0, "true", None]),
        ("UINT8", [0, 255], [-1, 256, 300, 1.0, True, "1", None, math.nan]),
        ("INT8", [-128, 127], [-129, 128, False]),
        ("INT32", [-(2**31), 2**31 - 1], [2**31, True, 1.5, 3.0]),
        ("INT64", [-(2**63), 2**63 - 1], [2**63, 10**30]),
        ("UINT64", [2**64 - 1], [2**64, -1]),
        ("FP32", [1, 2**24 + 1, 3.4e38, math.inf, math.nan, -0.0], [3.5e38, 10**39, True, "1", []]),
        ("FP64", [1, 1e308, -math.inf], [10**400, False, {}]),
    ],
)
def test_number_is_taken_if_it_is_one_of_the_data_type(
    datatype: str, good: list[Any], bad: list[Any]
) -> None:
    found = np.frombuffer(read_numbers(good, datatype, (len(good),), "x"), DTYPES[datatype])
    with np.errstate(over="raise"):
        np.testing.assert_array_equal(found, np.array(good).astype(DTYPES[datatype]))
    for value in bad:
        with pytest.raises(TensorError, match=f"'x' has a value that is no {datatype}: it is "):
            read_numbers([good[0], value], datatype, (2,), "x")


@pytest.mark.parametrize(
    ("data", "shape", "words"),
    [
        ([1, 2, 3], (4,), "came with 3 values where its shape .4. takes 4"),
        ([1, 2, 3], (2,), "came with 3 values"),
        ([1], (2**62, 2), "came with 1 value where"),
        ([[1, 2], [3]], (2, 2), "came with 1 value where"),
        ([[1, 2], 3], (2, 2), "came with no list where"),
        ([[1, 2], [3, 4]], (4,), "came with 2 values where"),
        ([[1, 2], [3, 4]], (2,), "of another kind"),
        ([[[1, 2]], [[3, 4]]], (2, 2), "came with 1 value where"),
        ([], (1,), "came with 0 values"),
    ],
)
def test_list_that_is_not_the_shape_is_refused(
    data: list[Any], shape: tuple[int, ...], words: str
) -> None:
    with pytest.raises(TensorError, match=words):
        read_numbers(data, "INT32", shape, "x")


@pytest.mark.parametrize("datatype", ["FP16", "BF16"])
def test_half_floats_travel_as_binary_data_alone(datatype: str) -> None:
    with pytest.raises(TensorError, match=f"{datatype} data via JSON is not supported"):
        read_numbers([1.0], datatype, (1,), "x")
    with pytest.raises(TensorError, match=f"{datatype} data via JSON .*binary tensor data"):
        write_numbers(bytes(2), datatype, "y")


def test_unknown_data_type_is_named() -> None:
    with pytest.raises(TensorError, match="data type 'BYTES'; this server takes BOOL"):
        read_numbers(["a"], "BYTES", (1,), "x")
