"""Eight bits a value, with the range of every channel in the message itself: needs no calibration.

    byte 0       version, 1
    then         low, step of every channel: two float32 each
    then         one uint8 a value, row-major: value = low + step * symbol

Which axis holds the channels follows from the shape alone, so both sides know it.
"""

import math
from collections.abc import Sequence
from typing import cast

import numpy as np
import numpy.typing as npt

from protos.codecs.half import check_float32, holds_floats
from protos.errors import TensorError, plural
from protos.tensors import Array, Buffer, TensorSpec

_VERSION = 1
_TOP = 255
_LEAST_VALUES = 16
"""A channel with fewer values is not worth the eight bytes of its range."""

Floats = npt.NDArray[np.float32]


class Int8Codec:
    """float32 as uint8 between the least and the largest value of each channel.

    |decoded - x| <= (largest - least) / 510 of the channel, and the rounding of float32.
    """

    name = "int8"

    def accepts(self, spec: TensorSpec) -> bool:
        """Every float32 tensor with at least one axis and one value."""
        return holds_floats(spec)

    def estimate_bytes(self, spec: TensorSpec) -> int:
        """Return the exact size."""
        shape = spec.sized()
        return 1 + 8 * math.prod(_ranges_shape(shape)) + math.prod(shape)

    def encode(self, array: Array, tensor: str) -> Buffer:
        """Return ranges and symbols; TensorError for infinities, NaN, and spans beyond float32."""
        values = cast(Floats, array)
        axes = _shared_axes(values.shape)
        low = values.min(axis=axes, keepdims=True)
        with np.errstate(over="ignore", invalid="ignore"):
            step = (values.max(axis=axes, keepdims=True) - low) / np.float32(_TOP)
        if not (np.isfinite(low).all() and np.isfinite(step).all()):
            raise TensorError(f"tensor {tensor!r} holds values that are not finite. Send it raw.")
        steps = (values - low) / np.where(step > 0, step, np.float32(1))
        np.rint(steps, out=steps)
        np.clip(steps, 0, _TOP, out=steps)
        symbols = steps.astype(np.uint8)
        ranges = np.stack([low.reshape(-1), step.reshape(-1)], axis=1).astype("<f4")
        return b"".join([bytes([_VERSION]), ranges.tobytes(), symbols.tobytes()])

    def decode(self, data: Buffer, dtype: str, shape: Sequence[int], tensor: str) -> Array:
        """Return the values; sizes, version and ranges are checked before they are made."""
        check_float32(self.name, dtype, tensor)
        kept = _ranges_shape(shape)
        start = 1 + 8 * math.prod(kept)
        if len(data) != start + math.prod(shape):
            raise TensorError(
                f"tensor {tensor!r} came with {plural(len(data), 'byte')}, but int8 of {list(shape)} takes "
                f"{start + math.prod(shape)}."
            )
        view = memoryview(data)
        if view[0] != _VERSION:
            raise TensorError(
                f"tensor {tensor!r} came as int8 of version {view[0]}, and this side reads {_VERSION}. "
                "Update the older side."
            )
        ranges, symbols = split_int8(data, shape)
        low, step = ranges[:, 0].reshape(kept), ranges[:, 1].reshape(kept)
        with np.errstate(over="ignore", invalid="ignore"):
            tops = low + _TOP * step
        if not (np.isfinite(low).all() and np.isfinite(tops).all() and (step >= 0).all()):
            raise TensorError(f"tensor {tensor!r} came with a range that is none, as int8.")
        values = symbols.astype(np.float32)
        values *= step
        values += low
        return cast(Array, values)


def split_int8(data: Buffer, shape: Sequence[int]) -> tuple[Floats, npt.NDArray[np.uint8]]:
    """Return views of the ranges [channels, 2] and of the symbols, in the bytes of a tensor of `shape`."""
    start, view = 1 + 8 * math.prod(_ranges_shape(shape)), memoryview(data)
    ranges = np.frombuffer(view[1:start], "<f4").reshape(-1, 2)
    return ranges, np.frombuffer(view[start:], np.uint8).reshape(shape)


def channel_axis(shape: Sequence[int]) -> int | None:
    """Return the axis of the channels: 1 of [n, c, h, w, …], the last of [n, length, c]; else None."""
    axis = {0: None, 1: None, 2: None, 3: 2}.get(len(shape), 1)
    if axis is None or math.prod(shape) < _LEAST_VALUES * shape[axis]:
        return None
    return axis


def _shared_axes(shape: Sequence[int]) -> tuple[int, ...]:
    kept = channel_axis(shape)
    return tuple(axis for axis in range(len(shape)) if axis != kept)


def _ranges_shape(shape: Sequence[int]) -> tuple[int, ...]:
    kept = channel_axis(shape)
    return tuple(size if axis == kept else 1 for axis, size in enumerate(shape))
