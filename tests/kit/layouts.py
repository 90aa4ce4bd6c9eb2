"""One array in all the byte orders, memory layouts and classes that callers have."""

from collections.abc import Callable

import numpy as np

from protos.tensors import Array

ARRAY: Array = np.random.default_rng(0).standard_normal((1, 3, 4, 5)).astype(np.float32)


def _read_only() -> Array:
    array = ARRAY.copy()
    array.flags.writeable = False
    return array


class _Subclass(np.ndarray):  # type: ignore[type-arg]
    pass


LAYOUTS: dict[str, Callable[[], Array]] = {
    "big-endian": lambda: ARRAY.astype(">f4"),
    "little-endian": lambda: ARRAY.astype("<f4"),
    "Fortran": lambda: np.asfortranarray(ARRAY),
    "big-endian Fortran": lambda: np.asfortranarray(ARRAY.astype(">f4")),
    "transposed": lambda: np.ascontiguousarray(ARRAY.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2),
    "negative strides": lambda: ARRAY[:, :, ::-1].copy()[:, :, ::-1],
    "every second": lambda: np.repeat(ARRAY, 2, axis=2)[:, :, ::2],
    "read-only": _read_only,
    "subclass": lambda: ARRAY.view(_Subclass),
    "masked, none missing": lambda: np.ma.array(ARRAY),
}
