"""A few inputs for a model from files: a folder of images, one image, an .npy or an .npz."""

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import compress, repeat
from pathlib import Path

import numpy as np

from partitioner.inputs.arrays import read_npy, read_npz
from partitioner.inputs.division import choose_share
from partitioner.inputs.image_folder import ImageFile, read_folder
from partitioner.inputs.images import IMAGE_SUFFIXES, ImageFitter, Say
from protos.errors import SourceError
from protos.tensors import Array, TensorSpec

_log = logging.getLogger(__name__)


def load_inputs(
    path: Path, inputs: Sequence[TensorSpec], limit: int = 8, say: Say = _log.warning
) -> list[dict[str, Array]]:
    """Return up to `limit` inputs of one sample each from `path`, by name.

    `say` hears what is left out or lost. Raises SourceError when they cannot be read or are not what
    `inputs` say.
    """
    return [frame for _, frame in load_named(path, inputs, limit, say)]


def load_named(
    path: Path, inputs: Sequence[TensorSpec], limit: int, say: Say = _log.warning
) -> list[tuple[str, dict[str, Array]]]:
    """Return up to `limit` inputs with the names that labels call them by: `cat/1.jpg`, `all.npy#3`.

    Raises SourceError when they cannot be read, are not what `inputs` say, or when there are none.
    """
    frames = list(named_frames(path, inputs, limit, say))
    if not frames:
        raise SourceError(f"{path} holds no frames. Give images, an .npy or an .npz with some.")
    for name, frame in frames:
        _check_numbers(name, frame)
    return frames


def named_frames(
    path: Path, inputs: Sequence[TensorSpec], most: int | None = None, say: Say = _log.warning
) -> Iterator[tuple[str, dict[str, Array]]]:
    """Yield what `load_named` returns one by one, and perhaps nothing.

    Of more than `most` inputs so many are drawn with a seed, in their order: a folder may be sorted by class.
    """
    if path.is_dir() or path.suffix.lower() in IMAGE_SUFFIXES:
        fitter = ImageFitter(inputs, say)
        images = images_at(path, say)
        chosen = compress(images, _drawn(len(images), most))
        return ((image.name, fitter.read(image.path)) for image in chosen)
    readers = {".npy": read_npy, ".npz": read_npz}
    if reader := readers.get(path.suffix.lower()):
        count = sum(1 for _ in reader(path, inputs)) if most is not None else 0
        drawn = _drawn(count, most) if most is not None else repeat(True)
        return compress(_numbered(path.name, reader(path, inputs)), drawn)
    raise SourceError(
        f"{path} cannot be read as inputs. Give a folder of images, an image, an .npy or an .npz."
    )


def names_of(path: Path, inputs: Sequence[TensorSpec], most: int | None = None) -> list[str]:
    """Return the names of the inputs that `named_frames` yields; no image is decoded for it."""
    if not path.is_dir():
        return [name for name, _ in named_frames(path, inputs, most, lambda _: None)]
    names = [image.name for image in read_folder(path).images]
    return list(compress(names, _drawn(len(names), most)))


def images_at(path: Path, say: Say) -> Sequence[ImageFile]:
    """Return the images in a folder, or the one at `path`; `say` hears what a folder has besides."""
    if not path.is_dir():
        return [ImageFile(path, path.name)]
    folder = read_folder(path)
    if remark := folder.remark():
        say(remark)
    return folder.images


def _drawn(count: int, most: int | None) -> Iterable[bool]:
    return choose_share([None] * count, count if most is None else most)


def _check_numbers(name: str, frame: Mapping[str, Array]) -> None:
    """Raise SourceError for values that are no number: all that is measured with them would be void.

    Infinities may be meant, as in the mask of an attention.
    """
    for value, array in frame.items():
        if array.dtype.kind == "f" and np.isnan(array).any():
            raise SourceError(f"{name}: {value!r} holds NaN, which is no number. Leave it out.")


def _numbered(
    name: str, frames: Iterator[dict[str, Array]]
) -> Iterator[tuple[str, dict[str, Array]]]:
    return ((f"{name}#{number}", frame) for number, frame in enumerate(frames))
