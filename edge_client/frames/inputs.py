"""A caller's inputs: read from files and images, and checked for names, types and shapes, at the border."""

import logging
import sys
from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from partitioner.common.units import plural
from partitioner.inputs.files import named_frames
from partitioner.inputs.images import IMAGE_SUFFIXES, ImageFitter
from partitioner.inputs.plain_arrays import plain_array
from protos.errors import SourceError, TensorError
from protos.tensors import Array, TensorSpec

if TYPE_CHECKING:
    from PIL.Image import Image

Inputs: TypeAlias = "Array | Mapping[str, Array] | Image | str | Path"
"""One array (for models with one input), arrays by input name, an image of PIL, or the path of an image, an
.npy or an .npz that holds one frame."""

_log = logging.getLogger(__name__)


def check_inputs(inputs: object, wanted: Sequence[TensorSpec]) -> dict[str, Array]:
    """Return `inputs` by name, each of the wanted type and shape.

    An array that lacks only the batch axis gets one of size 1, a plain number the wanted type; an image is
    resized to what the model takes. Arrays come out in this machine's byte order and without subclass.
    Raises TensorError, which says what was found and what is wanted, or SourceError for files and images.
    """
    named = _by_name(_read(inputs, wanted), wanted)
    checked = {spec.name: _check_one(named[spec.name], spec) for spec in wanted}
    batches = {spec.name: checked[spec.name].shape[0] for spec in wanted if spec.shape[:1] == (-1,)}
    if len(set(batches.values())) > 1:
        sizes = ", ".join(f"{name}: {size}" for name, size in batches.items())
        raise TensorError(f"the inputs disagree on the batch size ({sizes}). Give all the same.")
    return checked


def _read(inputs: object, wanted: Sequence[TensorSpec]) -> object:
    """Return the frame in a file or an image; anything else as it is."""
    if isinstance(inputs, str | Path):
        return _only_frame(Path(inputs), wanted)
    if _is_image(inputs):
        return _fitter(tuple(wanted)).from_image(inputs)
    return inputs


@lru_cache(maxsize=16)
def _fitter(wanted: tuple[TensorSpec, ...]) -> ImageFitter:
    """Return what fits images to these inputs: the same for every frame, so that each loss is said once."""
    return ImageFitter(wanted, _log.warning)


def _is_image(value: object) -> bool:
    images = sys.modules.get("PIL.Image")  # loaded by whoever has an image
    return images is not None and isinstance(value, images.Image)


def _only_frame(path: Path, wanted: Sequence[TensorSpec]) -> dict[str, Array]:
    if not path.exists():
        raise SourceError(f"there is no {path}. Give an image, an .npy or an .npz.")
    if path.suffix.lower() in IMAGE_SUFFIXES and not path.is_dir():
        return _fitter(tuple(wanted)).read(path)
    frames = [frame for _, frame in islice(named_frames(path, wanted), 2)]
    if len(frames) != 1:
        raise SourceError(
            f"{path} holds {'several frames' if frames else 'no frame'}, and infer() takes one. Give one, or "
            "the path to stream()."
        )
    return frames[0]


def _by_name(inputs: object, wanted: Sequence[TensorSpec]) -> Mapping[str, object]:
    if isinstance(inputs, Mapping):
        if sorted(map(str, inputs)) != sorted(spec.name for spec in wanted):
            raise TensorError(
                f"the inputs are called {sorted(map(str, inputs))}, but the model takes exactly "
                f"{_listed(wanted)}."
            )
        return inputs
    if len(wanted) != 1:
        raise TensorError(
            f"one {type(inputs).__name__} was given, but the model takes {plural(len(wanted), 'input')}: "
            f"{_listed(wanted)}. Give a dict from name to array."
        )
    return {wanted[0].name: inputs}


def _listed(wanted: Sequence[TensorSpec]) -> str:
    return ", ".join(f"{spec.name!r} {spec}" for spec in wanted)


def _check_one(value: object, spec: TensorSpec) -> Array:
    array = plain_array(value, spec)
    if _lacks_batch(array, spec):
        array = array[np.newaxis]
    spec.check(array.dtype.name, array.shape)
    return array


def _lacks_batch(array: Array, spec: TensorSpec) -> bool:
    return spec.shape[:1] in ((-1,), (1,)) and spec.fits((1, *array.shape))
