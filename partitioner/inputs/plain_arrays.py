"""What callers and files give as an array, as a plain array of numbers: the border of every input."""

import numbers
from typing import Any

import numpy as np

from protos.errors import TensorError, reason
from protos.tensors import Array, TensorSpec, native

_NO_NUMBERS = {
    "O": "Python objects",
    "V": "records (a structured type)",
    "U": "text",
    "S": "text",
    "M": "dates",
    "m": "spans of time",
}


def plain_array(value: object, spec: TensorSpec) -> Array:
    """Return `value` as a plain ndarray of numbers in this machine's byte order, in the shape that it has.

    A plain number becomes the type that `spec` wants, if that can hold it. Other types are the caller's to
    compare. Raises TensorError for what is no array of numbers.
    """
    array = native(_as_array(value, spec))
    if wrong := _NO_NUMBERS.get(array.dtype.kind):
        raise TensorError(
            f"input {spec.name!r} holds {wrong}, but {spec} is wanted. Make one array of numbers: "
            f"numpy.asarray(…, dtype={spec.dtype!r})."
        )
    return _cast_number(array, spec) if array.ndim == 0 else array


def _as_array(value: object, spec: TensorSpec) -> Array:
    if np.ma.is_masked(value):
        raise TensorError(
            f"input {spec.name!r} is a masked array with masked values, and a model knows no mask. Fill "
            "them in: array.filled(0), say."
        )
    if not hasattr(value, "__array__") and not isinstance(value, numbers.Real):
        raise TensorError(
            f"input {spec.name!r} is a {type(value).__name__}, but an array {spec} is wanted. "
            f"Make one with numpy.asarray(…, dtype={spec.dtype!r})."
        )
    given: Any = value
    try:
        return np.asarray(given)
    except Exception as error:  # tensors of other libraries raise what they like
        raise TensorError(
            f"input {spec.name!r} is a {type(value).__name__} that gives no array: {reason(error)}. Make "
            f"an array {spec} of it."
        ) from error


def _cast_number(number: Array, spec: TensorSpec) -> Array:
    """Return a plain number in the type of `spec`, or as it is where that would change it.

    A fraction becomes the nearest that the type has; a truth value is no number.
    """
    dtype, found = np.dtype(spec.dtype), number.dtype.kind
    if dtype.kind not in "iuf" or found not in "iuf":
        return number
    with np.errstate(all="ignore"):
        cast = number.astype(dtype)
    if dtype.kind == found == "f":
        return cast if np.isfinite(cast) == np.isfinite(number) else number
    # Whole numbers and floats of Python compare by what they are, not rounded to one type.
    return cast if cast.item() == number.item() else number


def conversion(found: str, spec: TensorSpec) -> str:
    """Advise how an array of the type `found` becomes one of `spec`."""
    wanted = np.dtype(spec.dtype)
    if wanted.kind in "iu" and np.dtype(found).kind == "f":
        return (
            "It takes whole numbers, and astype alone cuts fractions off. Scale and round to what the model "
            f"means by them: numpy.rint(scale * array).astype({spec.dtype!r}), with a scale of 255 for "
            "images of 0 to 1 that it takes as 0 to 255."
        )
    fits = "" if np.can_cast(found, wanted, "same_kind") else ", where its values fit"
    return f"Convert it{fits}: array.astype({spec.dtype!r})."
