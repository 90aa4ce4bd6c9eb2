"""JPEG for image-like inputs, so that the cut `cloud` costs what users would pay for it."""

import io
import warnings
from collections.abc import Sequence

import numpy as np
from PIL import Image

from protos.errors import TensorError
from protos.tensors import Array, Buffer, TensorSpec

_MODES = {1: "L", 3: "RGB"}


class JpegCodec:
    """Baseline JPEG, 4:2:0, of one uint8 image [1, height, width, 1 or 3]. Loses detail."""

    def __init__(self, quality: int) -> None:
        self.quality = quality
        self.name = f"jpeg-{quality}"

    def accepts(self, spec: TensorSpec) -> bool:
        """An image: uint8, channels last, with a batch axis of 1 (or any)."""
        return (
            spec.dtype == "uint8"
            and len(spec.shape) == 4
            and spec.shape[0] in (-1, 1)
            and spec.shape[3] in _MODES
        )

    def encode(self, array: Array) -> Buffer:
        """Return the JPEG file of the one image in `array`."""
        if array.shape[0] != 1:
            raise TensorError(
                f"codec {self.name} takes one image at a time, and the batch holds {array.shape[0]}. "
                "Send frames one by one, or use the codec raw."
            )
        pixels = np.squeeze(array[0], axis=2) if array.shape[3] == 1 else array[0]
        out = io.BytesIO()
        Image.fromarray(pixels).save(out, "JPEG", quality=self.quality)
        return out.getbuffer()

    def decode(self, data: Buffer, dtype: str, shape: Sequence[int], tensor: str) -> Array:
        """Return the image; its header's size is checked before any pixel is decoded."""
        if not self.accepts(TensorSpec(tensor, dtype, tuple(shape))):
            raise TensorError(
                f"tensor {tensor!r} is said to be {self.name} of {dtype}{list(shape)}, but a JPEG "
                "holds uint8[1, height, width, 1 or 3]. Send it raw."
            )
        _, height, width, channels = shape
        try:
            with warnings.catch_warnings(action="ignore", category=Image.DecompressionBombWarning):
                image = Image.open(io.BytesIO(data), formats=["JPEG"])
            if image.size != (width, height) or image.mode != _MODES[channels]:
                raise TensorError(
                    f"tensor {tensor!r} came as a JPEG of {image.width}x{image.height} {image.mode}, "
                    f"but {width}x{height} {_MODES[channels]} was announced."
                )
            return np.asarray(image).reshape(shape)
        except (OSError, Image.DecompressionBombError, SyntaxError, ValueError) as error:
            raise TensorError(f"tensor {tensor!r} holds no readable JPEG: {error}.") from error
