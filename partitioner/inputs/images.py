"""Images as the model takes them: uint8 [1, height, width, 3 or 1]."""

import io
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from partitioner.inputs.pixels import Depth, depth_of, shades_of
from protos.errors import SourceError, reason
from protos.tensors import Array, TensorSpec

Say = Callable[[str], None]

IMAGE_SUFFIXES = frozenset(
    ".jpg .jpeg .jpe .jfif .png .bmp .webp .gif .tif .tiff .pbm .pgm .ppm .pnm".split()
)
_IN_ONE_FILE = ("GIF", "PNG", "TIFF", "WEBP")
"""Formats that keep several images of one kind in a file; others keep previews beside theirs."""


class ImageFitter:
    """Makes frames of images for a model with one image input; says each kind of loss once.

    Raises SourceError when the model takes no images.
    """

    def __init__(self, inputs: Sequence[TensorSpec], say: Say) -> None:
        self._spec = image_input(inputs)
        _, self._height, self._width, self._channels = self._spec.shape
        self._say = say
        self._said: set[str] = set()

    def read(self, path: Path) -> dict[str, Array]:
        """Return the frame in an image file, the first if it has several; SourceError if it is unreadable."""
        # Here and not above: whoever streams arrays has no need of PIL in memory.
        from PIL import Image

        try:
            with (
                warnings.catch_warnings(action="error", category=Image.DecompressionBombWarning),
                Image.open(io.BytesIO(path.read_bytes())) as image,
            ):
                return self._from_image(image)
        except Exception as error:  # decoders raise what they like on broken files
            raise SourceError(
                f"{path} cannot be read as an image: {reason(error)}. Replace or remove it."
            ) from error

    def from_image(self, image: Any) -> dict[str, Array]:
        """Return the frame of an image of PIL; SourceError for what cannot be decoded or converted."""
        try:
            return self._from_image(image)
        except Exception as error:
            raise SourceError(
                f"an image of mode {image.mode} cannot be taken: {reason(error)}. Convert it first."
            ) from error

    def _from_image(self, image: Any) -> dict[str, Array]:
        """Return the frame of an image of PIL, upright as its EXIF data say."""
        from PIL import ImageOps

        if image.format in _IN_ONE_FILE and getattr(image, "is_animated", False):
            self._remark(
                "several",
                f"of images with several pictures, such as a {image.format}, the first is taken",
            )
        depth = depth_of(image)
        return self._fit(ImageOps.exif_transpose(image), depth)

    def from_pixels(self, pixels: Array) -> dict[str, Array]:
        """Return the frame of uint8 pixels [height, width, 3] in RGB."""
        height, width, channels = pixels.shape
        if (height, width, channels) == (self._height, self._width, self._channels):
            return {self._spec.name: pixels[np.newaxis]}
        from PIL import Image

        return self._fit(Image.fromarray(pixels))

    def _fit(self, image: Any, depth: Depth = Depth.USUAL) -> dict[str, Array]:
        from PIL import Image

        image = shades_of(image, self._channels, self._remark, self._spec.white, depth)
        if image.size != (self._width, self._height):
            self._remark(
                "size",
                f"frames of {image.width}x{image.height} are resized to {self._width}x{self._height}, "
                "which the model takes",
            )
            image = image.resize((self._width, self._height), Image.Resampling.BILINEAR)
        pixels = np.asarray(image).reshape(1, self._height, self._width, self._channels)
        return {self._spec.name: pixels}

    def _remark(self, kind: str, text: str) -> None:
        if kind not in self._said:
            self._said.add(kind)
            self._say(text)


def image_input(inputs: Sequence[TensorSpec]) -> TensorSpec:
    """Return the one input that takes a uint8 image; SourceError when there is none."""
    if len(inputs) == 1:
        shape = inputs[0].shape
        is_image = len(shape) == 4 and shape[0] in (-1, 1) and shape[3] in (1, 3)
        if inputs[0].dtype == "uint8" and is_image:
            return inputs[0]
    takes = ", ".join(f"{spec.name} {spec}" for spec in inputs)
    raise SourceError(
        f"images cannot be fed to this model: it takes {takes}, not uint8[batch, height, width, 3]. "
        "Import it again with `preprocess`, which puts scaling and layout into the graph, or give "
        "arrays as .npy or .npz."
    )
