"""JPEG and WebP for image-like inputs, so that the cut `cloud` costs what users would pay for it."""

import io
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from protos.errors import TensorError, reason
from protos.tensors import Array, Buffer, TensorSpec

_MODES = {1: "L", 3: "RGB"}
_GUESSED_BITS_PER_VALUE = 1
"""More than photographs take at quality 75."""


@dataclass(frozen=True)
class ImageFormat:
    """A file format as Pillow knows it: its name, and the mode in which an image of 1 or 3 channels travels.

    `read_size` returns width and height from a file's first bytes, or raises OSError; without it Pillow
    finds the size when it opens the file.
    """

    name: str
    modes: Mapping[int, str]
    read_size: Callable[[bytes], tuple[int, int]] | None = None

    def open(self, data: bytes, wanted: tuple[int, int]) -> Image.Image:
        """Return the image, whose pixels are not decoded yet; OSError when it is of another size."""
        if self.read_size is not None:
            width, height = self.read_size(data)
            if (width, height) != wanted:
                raise OSError(f"its size is {width}x{height}, not {wanted[0]}x{wanted[1]}")
        return Image.open(io.BytesIO(data), formats=[self.name])


class ImageCodec:
    """One uint8 image [1, height, width, 1 or 3] as a file of an image format. Loses detail."""

    def __init__(self, image_format: ImageFormat, quality: int) -> None:
        self.quality = quality
        self.name = f"{image_format.name.lower()}-{quality}"
        self._format = image_format

    def accepts(self, spec: TensorSpec) -> bool:
        """An image: uint8, channels last, with a batch axis of 1 (or any)."""
        return (
            spec.dtype == "uint8"
            and len(spec.shape) == 4
            and spec.shape[0] in (-1, 1)
            and spec.shape[3] in _MODES
            and 0 not in spec.shape
            and not spec.is_data_sized
        )

    def estimate_bytes(self, spec: TensorSpec) -> int:
        """Return a guess from photographs."""
        return spec.nbytes() * _GUESSED_BITS_PER_VALUE // 8

    def encode(self, array: Array, tensor: str) -> Buffer:
        """Return the file of the one image in `array`; TensorError for several, and for what is too large."""
        if array.shape[0] != 1:
            raise TensorError(
                f"codec {self.name} takes one image at a time, and {tensor!r} holds a batch of "
                f"{array.shape[0]}. Send frames one by one, or use the codec raw."
            )
        pixels = np.squeeze(array[0], axis=2) if array.shape[3] == 1 else array[0]
        out = io.BytesIO()
        try:
            Image.fromarray(pixels).save(out, self._format.name, quality=self.quality)
        except (OSError, ValueError) as error:
            raise TensorError(
                f"codec {self.name} cannot keep tensor {tensor!r} of {array.shape[2]}x{array.shape[1]}: "
                f"{error}. Send it raw."
            ) from error
        return out.getbuffer()

    def decode(self, data: Buffer, dtype: str, shape: Sequence[int], tensor: str) -> Array:
        """Return the image; its header's size is checked before any pixel is decoded."""
        if not self.accepts(TensorSpec(tensor, dtype, tuple(shape))):
            raise TensorError(
                f"tensor {tensor!r} is said to be {self.name} of {dtype}{list(shape)}, but a "
                f"{self._format.name} holds uint8[1, height, width, 1 or 3]. Send it raw."
            )
        _, height, width, channels = shape
        try:
            with warnings.catch_warnings(action="ignore", category=Image.DecompressionBombWarning):
                image = self._format.open(bytes(data), (width, height))
            found, wanted = image.mode, self._format.modes[channels]
            if image.size != (width, height) or found != wanted:
                raise TensorError(
                    f"tensor {tensor!r} came as a {self._format.name} of {image.width}x{image.height} "
                    f"{found}, but {width}x{height} {wanted} was announced."
                )
            kept = image if found == _MODES[channels] else image.convert(_MODES[channels])
            return np.asarray(kept).reshape(shape)
        except (OSError, Image.DecompressionBombError, SyntaxError, ValueError) as error:
            raise TensorError(
                f"tensor {tensor!r} holds no readable {self._format.name}: {reason(error)}. Encode it "
                "again, or send it raw."
            ) from error


def _webp_size(data: bytes) -> tuple[int, int]:
    """Return width and height from the header of a simple lossy file (RFC 9649, section 2.5)."""
    if data[:4] != b"RIFF" or data[8:16] != b"WEBPVP8 " or data[23:26] != b"\x9d\x01\x2a":
        raise OSError("it does not begin as a plain lossy WebP file does")
    width, height = np.frombuffer(data[26:30].ljust(4, b"\0"), "<u2").tolist()
    return width & 0x3FFF, height & 0x3FFF


JPEG = ImageFormat("JPEG", _MODES)
"""Baseline JPEG, 4:2:0."""

WEBP = ImageFormat("WEBP", dict.fromkeys(_MODES, "RGB"), _webp_size)
"""Lossy WebP, which knows no grey, so grey images travel as colour. Its size is read before Pillow opens it,
since Pillow makes room for the whole canvas then."""
