"""A few inputs for a model from files: a folder of images, one image, an .npy or an .npz."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import compress, repeat
from pathlib import Path

import numpy as np

from partitioner.inputs.arrays import read_npy, read_npz
from partitioner.inputs.division import choose_share
from partitioner.inputs.images import IMAGE_SUFFIXES, ImageFitter
from protos.errors import SourceError
from protos.tensors import Array, TensorSpec


def load_inputs(path: Path, inputs: Sequence[TensorSpec], limit: int = 8) -> list[dict[str, Array]]:
    """Return up to `limit` inputs of one sample each from `path`, by name.

    Raises SourceError when they cannot be read or are not what `inputs` say.
    """
    return [frame for _, frame in load_named(path, inputs, limit)]


def load_named(
    path: Path, inputs: Sequence[TensorSpec], limit: int
) -> list[tuple[str, dict[str, Array]]]:
    """Return up to `limit` inputs with the names that labels call them by: `cat.jpg`, `all.npy#3`.

    Raises SourceError when they cannot be read, are not what `inputs` say, or when there are none.
    """
    frames = list(named_frames(path, inputs, limit))
    if not frames:
        raise SourceError(f"{path} holds no frames. Give images, an .npy or an .npz with some.")
    for name, frame in frames:
        _check_numbers(name, frame)
    return frames


def named_frames(
    path: Path, inputs: Sequence[TensorSpec], most: int | None = None
) -> Iterator[tuple[str, dict[str, Array]]]:
    """Yield what `load_named` returns one by one, and perhaps nothing.

    Of more than `most` inputs so many are drawn with a seed, in their order: a folder may be sorted by class.
    """
    if path.is_dir() or path.suffix.lower() in IMAGE_SUFFIXES:
        fitter = ImageFitter(inputs, lambda _: None)
        files = sorted(path.iterdir()) if path.is_dir() else [path]
        images = [file for file in files if file.suffix.lower() in IMAGE_SUFFIXES]
        chosen = compress(images, _drawn(len(images), most))
        return ((file.name, fitter.read(file)) for file in chosen)
    readers = {".npy": read_npy, ".npz": read_npz}
    if reader := readers.get(path.suffix.lower()):
        count = sum(1 for _ in reader(path, inputs)) if most is not None else 0
        drawn = _drawn(count, most) if most is not None else repeat(True)
        return compress(_numbered(path.name, reader(path, inputs)), drawn)
    raise SourceError(
        f"{path} cannot be read as inputs. Give a folder of images, an image, an .npy or an .npz."
    )


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
