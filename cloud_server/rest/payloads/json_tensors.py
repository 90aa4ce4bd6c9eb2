"""Tensors as JSON has them: numbers in, flat or nested, each checked against its data type, and numbers out.

FP16 has no JSON form, as the protocol says; it travels as binary data only. NaN, Infinity and -Infinity
are written as these words, which is what Triton, Python and most parsers read and write.
"""

import math
from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np

from protos.errors import TensorError, plural
from protos.tensors import Array, Buffer, as_wire, dtype_of

BINARY_ONLY = ("FP16", "BF16")


def read_numbers(data: list[Any], datatype: str, shape: Sequence[int], tensor: str) -> Buffer:
    """Return the little-endian, row-major bytes of the numbers in `data`.

    Raises TensorError unless they are exactly as many as `shape` says, flat or nested as it says, and each
    one is a value of the data type: a whole number may be a float, but neither is true or false a number
    nor 300 a UINT8, and a number too large for FP32 is not taken for infinity.
    """
    if datatype in BINARY_ONLY:
        raise _binary_only(datatype, f"input {tensor!r}")
    dtype = np.dtype(dtype_of(datatype, tensor))
    flat = _flat(data, shape, tensor)
    kinds = set(map(type, flat))
    if not kinds <= _KINDS[dtype.kind]:
        raise _no_value(tensor, datatype, "is of another kind")
    return as_wire(_array(flat, dtype, datatype, tensor)).data.cast("B")


def write_numbers(raw: Buffer, datatype: str, tensor: str) -> list[Any]:
    """Return the numbers in `raw`, flat; TensorError for data types that have no JSON form."""
    if datatype in BINARY_ONLY:
        raise _binary_only(datatype, f"output {tensor!r}")
    values = np.frombuffer(raw, np.dtype(dtype_of(datatype, tensor)).newbyteorder("<"))
    found: list[Any] = values.tolist()
    return found


_KINDS: dict[str, set[type]] = {"b": {bool}, "i": {int}, "u": {int}, "f": {int, float}}
"""Which values of JSON are values of a data type, by numpy's letter for its kind."""


def _flat(data: list[Any], shape: Sequence[int], tensor: str) -> list[Any]:
    """Return the innermost values of `data`, whose nesting is none or that of `shape`."""
    nested = bool(data) and isinstance(data[0], list)
    level: list[Any] = [data]
    for size in shape if nested else (math.prod(shape),):
        if wrong := [row for row in level if not isinstance(row, list) or len(row) != size]:
            found = plural(len(wrong[0]), "value") if isinstance(wrong[0], list) else "no list"
            raise TensorError(
                f"tensor {tensor!r} came with {found} where its shape {list(shape)} takes {size:,}. "
                "Send one flat, row-major list, or one that is nested as the shape is."
            )
        level = list(chain.from_iterable(level))
    return level


def _array(flat: list[Any], dtype: "np.dtype[Any]", datatype: str, tensor: str) -> Array:
    if dtype.kind in "iu" and flat:
        limits = np.iinfo(dtype)
        for extreme in (min(flat), max(flat)):
            if not limits.min <= extreme <= limits.max:
                raise _no_value(tensor, datatype, f"is beyond {limits.min:,} to {limits.max:,}")
    if dtype.kind != "f":
        return np.array(flat, dtype)
    try:
        wide = np.array(flat, np.float64)
    except OverflowError as error:
        raise _no_value(tensor, datatype, "is too large") from error
    with np.errstate(over="ignore"):
        values = wide.astype(dtype)
    if np.any(np.isinf(values) & np.isfinite(wide)):
        raise _no_value(tensor, datatype, "is too large")
    return values


def _no_value(tensor: str, datatype: str, why: str) -> TensorError:
    return TensorError(
        f"tensor {tensor!r} has a value that is no {datatype}: it {why}. Send values of that data type."
    )


def _binary_only(datatype: str, which: str) -> TensorError:
    return TensorError(
        f"{datatype} data via JSON is not supported, for {which}. Use the binary tensor data extension."
    )
