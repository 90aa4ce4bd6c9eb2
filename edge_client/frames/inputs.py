"""The check of a caller's inputs: names, types and shapes, once, at the border."""

from collections.abc import Mapping, Sequence

import numpy as np

from protos.errors import TensorError
from protos.tensors import Array, TensorSpec

Inputs = Array | Mapping[str, Array]
"""One array (for models with one input) or arrays by input name."""


def check_inputs(inputs: object, wanted: Sequence[TensorSpec]) -> dict[str, Array]:
    """Return `inputs` by name, each of the wanted type and shape.

    An array that lacks only the batch axis gets one of size 1. Raises TensorError, which says what
    was found and what is wanted.
    """
    named = _by_name(inputs, wanted)
    checked = {spec.name: _check_one(named[spec.name], spec) for spec in wanted}
    batches = {spec.name: checked[spec.name].shape[0] for spec in wanted if spec.shape[:1] == (-1,)}
    if len(set(batches.values())) > 1:
        sizes = ", ".join(f"{name}: {size}" for name, size in batches.items())
        raise TensorError(f"the inputs disagree on the batch size ({sizes}). Give all the same.")
    return checked


def _by_name(inputs: object, wanted: Sequence[TensorSpec]) -> Mapping[str, object]:
    takes = ", ".join(f"{spec.name!r} {spec}" for spec in wanted)
    if isinstance(inputs, Mapping):
        if sorted(map(str, inputs)) != sorted(spec.name for spec in wanted):
            raise TensorError(
                f"the inputs are called {sorted(map(str, inputs))}, but the model takes exactly {takes}."
            )
        return inputs
    if len(wanted) != 1:
        raise TensorError(
            f"one {type(inputs).__name__} was given, but the model takes {len(wanted)} inputs: {takes}. "
            "Give a dict from name to array."
        )
    return {wanted[0].name: inputs}


def _check_one(value: object, spec: TensorSpec) -> Array:
    if not isinstance(value, np.ndarray):
        if not hasattr(value, "__array__"):
            raise TensorError(
                f"input {spec.name!r} is a {type(value).__name__}, but an array {spec} is wanted. "
                f"Make one with numpy.asarray(…, dtype={spec.dtype!r})."
            )
        value = np.asarray(value)
    array: Array = value
    if _lacks_batch(array, spec):
        array = array[np.newaxis]
    spec.check(array.dtype.name, array.shape)
    return array


def _lacks_batch(array: Array, spec: TensorSpec) -> bool:
    return spec.shape[:1] in ((-1,), (1,)) and spec.fits((1, *array.shape))
