"""Tensors as the Open Inference Protocol names and lays them out: little-endian, row-major."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from protos.errors import TensorError, plural
from protos.inference_pb2 import InferTensorContents

Array = npt.NDArray[np.generic]
Buffer = bytes | bytearray | memoryview

_OIP_OF_DTYPE = {
    "bool": "BOOL",
    "uint8": "UINT8",
    "uint16": "UINT16",
    "uint32": "UINT32",
    "uint64": "UINT64",
    "int8": "INT8",
    "int16": "INT16",
    "int32": "INT32",
    "int64": "INT64",
    "float16": "FP16",
    "float32": "FP32",
    "float64": "FP64",
}
_DTYPE_OF_OIP = {oip: dtype for dtype, oip in _OIP_OF_DTYPE.items()}
_CONTENTS_FIELD = {
    "BOOL": "bool_contents",
    "INT8": "int_contents",
    "INT16": "int_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "UINT8": "uint_contents",
    "UINT16": "uint_contents",
    "UINT32": "uint_contents",
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
}


BATCH_SIZE = -1
"""In a shape: the batch axis, which takes any size of at least 1."""

DATA_SIZE = -2
"""In a shape: an axis that the data size, such as the boxes that a detector found; 0 is a size too."""


@dataclass(frozen=True)
class TensorSpec:
    """A tensor's name, type and shape.

    `dtype` is numpy's name (`float32`); in `shape`, -1 is the batch axis and -2 one that the data size.
    `usual` has a size to expect for each -2, in their order: one that was seen. `drawn` is from where to
    where (exclusive) random values are drawn that the model takes; empty: normal floats, small integers.
    `white` is the number that is white in images of more than 8 bits; 0: the largest of 16 bits.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    usual: tuple[int, ...] = ()
    drawn: tuple[float, ...] = ()
    white: int = 0

    @property
    def oip_datatype(self) -> str:
        """The data type as the protocol names it (`FP32`)."""
        return _OIP_OF_DTYPE[self.dtype]

    @property
    def oip_shape(self) -> tuple[int, ...]:
        """The shape as the protocol writes it: -1 for every size that is not fixed."""
        return tuple(max(size, -1) for size in self.shape)

    @property
    def is_data_sized(self) -> bool:
        """True where the data size an axis, so that nothing but a tensor tells how large it is."""
        return DATA_SIZE in self.shape

    def sized(self, batch: int = 1) -> tuple[int, ...]:
        """Return the shape with `batch` in the place of every -1, and usual sizes for every -2."""
        known = self.shape
        if self.is_data_sized:
            usual = iter(self.usual)
            known = tuple(next(usual, 1) if size == DATA_SIZE else size for size in known)
        return tuple(batch if size == BATCH_SIZE else size for size in known)

    def nbytes(self, batch: int = 1) -> int:
        """Return the bytes of the tensor, uncompressed."""
        return math.prod(self.sized(batch)) * np.dtype(self.dtype).itemsize

    def fits(self, shape: Sequence[int]) -> bool:
        """Tell whether a tensor of `shape` may stand here."""
        if len(shape) != len(self.shape):
            return False
        for found, wanted in zip(shape, self.shape, strict=True):
            if found < _LEAST[wanted] if wanted in _LEAST else found != wanted:
                return False
        return True

    def check(self, dtype: str, shape: Sequence[int]) -> None:
        """Raise TensorError unless a tensor of `dtype` and `shape` may stand here."""
        if dtype != self.dtype or not self.fits(shape):
            raise TensorError(
                f"tensor {self.name!r} is {dtype}{list(shape)}, but {self} is wanted. "
                "Give the tensor that data type and shape."
            )

    def __str__(self) -> str:
        words = {BATCH_SIZE: "batch", DATA_SIZE: "any"}
        sizes = ", ".join(words.get(size, str(size)) for size in self.shape)
        return f"{self.dtype}[{sizes}]"


_LEAST = {BATCH_SIZE: 1, DATA_SIZE: 0}
"""The smallest sizes that an axis of open size may have."""


def is_carried(dtype: str) -> bool:
    """Tell whether tensors of numpy's `dtype` can cross the wire."""
    return dtype in _OIP_OF_DTYPE


def dtype_of(oip_datatype: str, tensor: str) -> str:
    """Return numpy's name of `oip_datatype`; TensorError names `tensor` if there is none."""
    try:
        return _DTYPE_OF_OIP[oip_datatype]
    except KeyError:
        raise TensorError(
            f"tensor {tensor!r} has the data type {oip_datatype!r}; this server takes "
            f"{', '.join(_DTYPE_OF_OIP)}."
        ) from None


def native(array: Array) -> Array:
    """Return `array` in this machine's byte order, itself if it is already so.

    Whoever reads an array's memory, such as the runtime, takes that order for granted.
    """
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))


def as_wire(array: Array) -> Array:
    """Return `array` as the wire wants it (little-endian, row-major), itself if it is already so."""
    little = array.dtype.newbyteorder("<")
    return np.ascontiguousarray(array, dtype=little)


def from_raw(data: Buffer, dtype: str, shape: Sequence[int], tensor: str) -> Array:
    """Return a read-only array over `data` without copying; it keeps `data` alive.

    Raises TensorError when the number of bytes is not what `dtype` and `shape` say.
    """
    wanted = math.prod(shape) * np.dtype(dtype).itemsize
    if len(data) != wanted:
        raise TensorError(
            f"tensor {tensor!r} came with {plural(len(data), 'byte')}, but {dtype}{list(shape)} takes "
            f"{wanted:,}. Send little-endian, row-major bytes of that shape."
        )
    try:
        return np.frombuffer(data, dtype=np.dtype(dtype).newbyteorder("<")).reshape(shape)
    except ValueError as error:  # such as two sizes below 0, whose product is right
        raise TensorError(f"tensor {tensor!r} has no shape {list(shape)}: {error}.") from error


def from_contents(
    contents: InferTensorContents, oip: str, shape: Sequence[int], tensor: str
) -> Array:
    """Return the array in typed `contents`; TensorError when their number is not what `shape` says."""
    dtype = dtype_of(oip, tensor)
    field = _CONTENTS_FIELD.get(oip)
    if field is None:
        raise TensorError(f"tensor {tensor!r}: {oip} travels in raw_input_contents only.")
    values = getattr(contents, field)
    if len(values) != math.prod(shape):
        raise TensorError(
            f"tensor {tensor!r} came with {plural(len(values), 'value')} in {field}, but shape {list(shape)} "
            f"takes {math.prod(shape)}."
        )
    try:
        return np.array(values, dtype=dtype).reshape(shape)
    except OverflowError as error:
        raise TensorError(f"tensor {tensor!r} has a value that is no {dtype}: {error}.") from error
