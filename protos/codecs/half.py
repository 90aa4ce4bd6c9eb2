"""IEEE half precision: half the bytes, and hardly ever a visible loss."""

from collections.abc import Sequence
from typing import cast

import numpy as np
import numpy.typing as npt

from protos.errors import TensorError
from protos.tensors import Array, Buffer, TensorSpec, from_raw

_LARGEST = 65504.0


class HalfCodec:
    """float32 as little-endian float16; finite values beyond ±65504 are clipped to that.

    |decoded - x| <= 2^-11 |x| + 2^-25 within ±65504; infinities and NaN stay what they are.
    """

    name = "half"

    def accepts(self, spec: TensorSpec) -> bool:
        """Every float32 tensor with at least one axis and one value."""
        return holds_floats(spec)

    def estimate_bytes(self, spec: TensorSpec) -> int:
        """Return half of the tensor's bytes."""
        return spec.nbytes() // 2

    def encode(self, array: Array, tensor: str) -> Buffer:
        """Return two bytes a value."""
        del tensor
        values = cast(npt.NDArray[np.float32], array)
        clipped = np.clip(values, -_LARGEST, _LARGEST)
        np.copyto(clipped, values, where=np.isinf(values))
        return np.ascontiguousarray(clipped, dtype="<f2").reshape(-1).view(np.uint8).data

    def decode(self, data: Buffer, dtype: str, shape: Sequence[int], tensor: str) -> Array:
        """Return the values as float32."""
        check_float32(self.name, dtype, tensor)
        return from_raw(data, "float16", shape, tensor).astype(np.float32)


def holds_floats(spec: TensorSpec) -> bool:
    """Tell whether a tensor is float32, no scalar, and never empty."""
    full = 0 not in spec.shape and not spec.is_data_sized
    return spec.dtype == "float32" and len(spec.shape) > 0 and full


def check_float32(codec: str, dtype: str, tensor: str) -> None:
    """Raise TensorError unless `dtype` is what the codec called `codec` holds."""
    if dtype != "float32":
        raise TensorError(
            f"tensor {tensor!r} is said to be {codec} of {dtype}, but {codec} holds float32. Send it raw."
        )
