"""Pixels of an image of PIL, whatever its mode, as 8 bits of grey or RGB.

8 bits, palettes, CMYK, YCbCr     as PIL converts them; transparency is left out, what lies below it shows
1 bit                             0 and 255
16 bits of grey                   over the whole scale: 65535 is 255, as 16 bits of colour become 8
floats                            0 is black and 1 is white
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]

_TOP_16 = 65535
_DIM = 4096
"""A 16-bit image all of whose values lie below is left with 16 shades or fewer."""


def shades_of(image: Any, channels: int, say: Callable[[str], None]) -> Any:
    """Return an image of PIL in mode L (one channel) or RGB (three); `say` hears what is lost.

    Raises ValueError for numbers of no known scale, and for modes that PIL cannot convert.
    """
    if image.mode == "F":
        image = _grey(_from_floats(np.asarray(image)))
    elif image.mode.startswith("I"):
        image = _grey(_from_integers(np.asarray(image), say))
    elif image.mode == "P":  # PIL warns of palettes whose transparency is lost on the way
        image = image.convert("RGBA")
    return image.convert("RGB" if channels == 3 else "L")


def _grey(pixels: Pixels) -> Any:
    from PIL import Image

    return Image.fromarray(pixels)


def _from_floats(values: npt.NDArray[Any]) -> Pixels:
    if not np.isfinite(values).all():
        raise ValueError("it holds values that are no number")
    if values.min() < 0 or values.max() > 1:
        raise ValueError(
            f"its floats go from {values.min():g} to {values.max():g}, and 0 (black) to 1 (white) is wanted"
        )
    shades: Pixels = np.rint(values * 255).astype(np.uint8)
    return shades


def _from_integers(values: npt.NDArray[Any], say: Callable[[str], None]) -> Pixels:
    least, most = int(values.min()), int(values.max())
    if least < 0 or most > _TOP_16:
        raise ValueError(
            f"its integers go from {least} to {most}, and 0 (black) to {_TOP_16} (white) is wanted"
        )
    if 0 < most < _DIM:
        say(
            f"16-bit images such as one whose largest value is {most} of {_TOP_16} become nearly black: "
            f"{most} is {round(most * 255 / _TOP_16)} of 255. Spread their values first"
        )
    shades: Pixels = ((values.astype(np.uint32) * 255 + _TOP_16 // 2) // _TOP_16).astype(np.uint8)
    return shades
