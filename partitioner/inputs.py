"""Inputs for a model from files: .npz by name, .npy for models with one input, images for image inputs."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from protos.errors import SourceError
from protos.tensors import Array, TensorSpec

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp"})


def load_inputs(path: Path, specs: tuple[TensorSpec, ...], limit: int = 8) -> dict[str, Array]:
    """Return up to `limit` inputs from `path`, stacked along the batch axis, by name.

    `path` is a folder of images, one image, an .npy or an .npz. Raises SourceError when it cannot be
    read, and TensorError when it holds something else than `specs` say.
    """
    if path.is_dir() or path.suffix.lower() in IMAGE_SUFFIXES:
        spec = image_spec(specs, path)
        files = sorted(_images_in(path)) if path.is_dir() else [path]
        if not files:
            raise SourceError(f"{path} holds no images ({', '.join(sorted(IMAGE_SUFFIXES))}).")
        found = {spec.name: np.concatenate([read_image(file, spec) for file in files[:limit]])}
    else:
        found = _load_arrays(path, specs)
    for spec in specs:
        if spec.name not in found:
            raise SourceError(
                f"{path} has {', '.join(found)}, but the model wants {', '.join(s.name for s in specs)}. "
                "Save one array for each input under its name."
            )
        array = found[spec.name]
        spec.check(array.dtype.name, (spec.sized()[0], *array.shape[1:]) if array.ndim else ())
    return {spec.name: found[spec.name][:limit] for spec in specs}


def image_spec(specs: tuple[TensorSpec, ...], source: object) -> TensorSpec:
    """Return the model's one image input; SourceError when it takes something else."""
    if len(specs) == 1 and specs[0].dtype == "uint8" and len(specs[0].shape) == 4:
        return specs[0]
    wanted = ", ".join(f"{spec.name} {spec}" for spec in specs)
    raise SourceError(
        f"{source} holds images, but the model takes {wanted}. Import the model with --preprocess "
        "(imagenet, say), or give .npy or .npz files."
    )


def read_image(path: Path, spec: TensorSpec) -> Array:
    """Return one image as uint8 [1, height, width, channels] of the size that `spec` says.

    Raises SourceError when the file cannot be read.
    """
    from PIL import Image

    _, height, width, channels = spec.shape
    try:
        with Image.open(path) as file:
            image = file.convert("L" if channels == 1 else "RGB")
            if image.size != (width, height):
                image = image.resize((width, height), Image.Resampling.BILINEAR)
            return np.asarray(image).reshape(1, height, width, channels)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise SourceError(f"{path} is no readable image: {error}.") from error


def _images_in(folder: Path) -> Iterable[Path]:
    return (path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES)


def _load_arrays(path: Path, specs: tuple[TensorSpec, ...]) -> dict[str, Array]:
    try:
        loaded = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise SourceError(
            f"{path} cannot be read: {error}. Give a folder of images, an image, an .npy or an .npz."
        ) from error
    if isinstance(loaded, np.ndarray):
        if len(specs) != 1:
            names = ", ".join(spec.name for spec in specs)
            raise SourceError(
                f"{path} holds one array, but the model takes {names}. Give an .npz with each."
            )
        return {specs[0].name: _with_batch(loaded, specs[0])}
    with loaded:
        known = {spec.name: spec for spec in specs}
        return {
            name: _with_batch(loaded[name], known[name]) if name in known else loaded[name]
            for name in loaded.files
        }


def _with_batch(array: Array, spec: TensorSpec) -> Array:
    return array[None] if array.ndim == len(spec.shape) - 1 else array
