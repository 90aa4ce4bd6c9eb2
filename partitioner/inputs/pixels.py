"""Pixels of an image of PIL, whatever its mode, as 8 bits of grey or RGB.

8 bits, palettes, CMYK, YCbCr     as PIL converts them; transparency is left out, what lies below it shows
1 bit                             0 and 255
16 bits of grey                   over the whole scale: 65535 is 255
floats                            0 is black and 1 is white
16 bits of colour                 the upper 8, which is all that PIL reads

An input may say another white for what has more than 8 bits; what is above becomes white too. PNM files say
their own, by which PIL spreads them over 16 bits.
"""

from collections.abc import Callable
from enum import Enum
from typing import Any

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]

_TOP_16 = 65535
_DIM = 4096
"""A 16-bit image all of whose values lie below is left with 16 shades or fewer."""

Say = Callable[[str, str], None]
"""Hears what is lost: its kind, and a sentence."""


class Depth(Enum):
    """What a file has for each pixel, before PIL reads it."""

    USUAL = "as many bits as PIL keeps"
    SCALED = "numbers that PIL spreads over 16 bits, by the white that the file says"
    HALVED = "16 bits of each colour, of which PIL reads the upper 8"


def depth_of(image: Any) -> Depth:
    """Return what the file of an image of PIL has, which only tells it before its pixels are loaded."""
    for tile in getattr(image, "tile", ()):
        if ";16" in str(tile[3]) and len(image.getbands()) > 1:
            return Depth.HALVED
        if tile[0].startswith("ppm") and tile[3][-1] != _TOP_16:
            return Depth.SCALED
    return Depth.USUAL


def shades_of(
    image: Any, channels: int, say: Say, white: int = 0, depth: Depth = Depth.USUAL
) -> Any:
    """Return an image of PIL in mode L (one channel) or RGB (three).

    `white` is the number that is white, where the input says one. Raises ValueError for numbers of no known
    scale, and for modes that PIL cannot convert.
    """
    white = 0 if depth is Depth.SCALED else white
    if depth is Depth.HALVED:
        _check_halved(image, say, white)
    elif image.mode == "F":
        image = _grey(_from_floats(np.asarray(image), say, white))
    elif image.mode.startswith("I"):
        image = _grey(_from_integers(np.asarray(image), say, white))
    elif image.mode == "P":  # PIL warns of palettes whose transparency is lost on the way
        image = image.convert("RGBA")
    return image.convert("RGB" if channels == 3 else "L")


def _grey(pixels: Pixels) -> Any:
    from PIL import Image

    return Image.fromarray(pixels)


def _check_halved(image: Any, say: Say, white: int) -> None:
    """Say that the upper 8 of 16 bits are dark; ValueError where white would be one of them."""
    most = max(high for _, high in image.getextrema())
    if white and white < _TOP_16:
        raise ValueError(
            f"it has 16 bits of each colour, of which the upper 8 are read, and white is {white}. Save it "
            "with 8 bits, or in grey"
        )
    if 0 < most < _DIM >> 8:
        say(
            "dim",
            f"images with 16 bits of each colour keep the upper 8, and of one all lie below {_DIM}: it "
            "becomes nearly black. Spread their values first",
        )


def _from_floats(values: npt.NDArray[Any], say: Say, white: int) -> Pixels:
    if not np.isfinite(values).all():
        raise ValueError("it holds values that are no number")
    if values.min() < 0 or (values.max() > 1 and not white):
        raise ValueError(
            f"its floats go from {values.min():g} to {values.max():g}, and 0 (black) to {white or 1} (white) "
            "is wanted"
        )
    return _spread(values.astype(np.float64), white or 1, say)


def _from_integers(values: npt.NDArray[Any], say: Say, white: int) -> Pixels:
    least, most = int(values.min()), int(values.max())
    if least < 0 or (most > _TOP_16 and not white):
        raise ValueError(
            f"its integers go from {least} to {most}, and 0 (black) to {white or _TOP_16} (white) is wanted"
        )
    if 0 < most < _DIM and not white:
        say(
            "dim",
            f"16-bit images such as one whose largest value is {most} of {_TOP_16} become nearly black: "
            f"{most} is {round(most * 255 / _TOP_16)} of 255. Import the model with `white`, the camera's "
            "largest value",
        )
    return _spread(values, white or _TOP_16, say)


def _spread(values: npt.NDArray[Any], white: int, say: Say) -> Pixels:
    """Return values from 0 to `white` as 0 to 255, rounded; those above are 255."""
    if values.max() > white:
        say(
            "bright",
            f"values above {white}, such as {values.max():g}, become white, which `white` says is {white}",
        )
        values = np.minimum(values, white)
    shades: Pixels = np.rint(values * 255.0 / white).astype(np.uint8)
    return shades
