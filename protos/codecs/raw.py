"""The codec that changes nothing: little-endian, row-major bytes."""

from collections.abc import Sequence

import numpy as np

from protos.tensors import Array, Buffer, TensorSpec, as_wire, from_raw


class RawCodec:
    """Exact; takes every data type; neither side copies."""

    name = "raw"

    def accepts(self, spec: TensorSpec) -> bool:
        """Every tensor that can cross the wire travels raw."""
        del spec
        return True

    def estimate_bytes(self, spec: TensorSpec) -> int:
        """Return the tensor's own bytes."""
        return spec.nbytes()

    def encode(self, array: Array, tensor: str) -> Buffer:
        """Return a view of the array's memory (a copy, if it was not row-major)."""
        del tensor
        return as_wire(array).reshape(-1).view(np.uint8).data

    def decode(self, data: Buffer, dtype: str, shape: Sequence[int], tensor: str) -> Array:
        """Return a read-only view of `data`."""
        return from_raw(data, dtype, shape, tensor)
