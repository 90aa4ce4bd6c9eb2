"""Codecs by the name that crosses the wire."""

import re
from functools import lru_cache

from protos.codecs.base import Codec
from protos.codecs.calibration import LOW_BITS, Calibration
from protos.codecs.half import HalfCodec
from protos.codecs.images import JPEG, WEBP, ImageCodec
from protos.codecs.int8 import Int8Codec
from protos.codecs.lowbit import LowBitCodec
from protos.codecs.raw import RawCodec
from protos.errors import UnknownNameError
from protos.tensors import TensorSpec

DEFAULT_QUALITY = 75
RAW: Codec = RawCodec()

_FIXED: dict[str, Codec] = {"raw": RAW, "half": HalfCodec(), "int8": Int8Codec()}
_IMAGES = {"jpeg": JPEG, "webp": WEBP}


def codec_name(name: str) -> str:
    """Return the full name of the codec called `name` (`jpeg` is `jpeg-75`); UnknownNameError if none."""
    if name in _FIXED or is_calibrated(name):
        return name
    if found := re.fullmatch(r"(jpeg|webp)(?:-(\d{1,3}))?", name):
        quality = int(found[2] or DEFAULT_QUALITY)
        if 1 <= quality <= 100:
            return f"{found[1]}-{quality}"
    raise UnknownNameError(
        f"there is no codec {name!r}. Use raw, half, int8, q{LOW_BITS[0]} to q{LOW_BITS[-1]}, jpeg or "
        f"webp (quality {DEFAULT_QUALITY}), or jpeg-1 to webp-100."
    )


def codec_names() -> tuple[str, ...]:
    """Return the codecs by name, image codecs at their usual quality."""
    return (*_FIXED, *(f"q{bits}" for bits in LOW_BITS), *_IMAGES)


def is_calibrated(name: str) -> bool:
    """Tell whether `name` is a codec that needs the bundle's calibration."""
    return name in {f"q{bits}" for bits in LOW_BITS}


def get_codec(name: str, calibration: Calibration | None = None) -> Codec:
    """Return the codec called `name`: raw, half, int8, q2 … q6, jpeg, webp (quality 75), jpeg-90 and so on.

    Raises UnknownNameError when there is none, or when it needs a calibration and there is none.
    """
    full = codec_name(name)
    if full in _FIXED:
        return _FIXED[full]
    if not is_calibrated(full):
        return _image_codec(full)
    if calibration is None:
        raise UnknownNameError(
            f"codec {name} needs a calibrated bundle, and this one is not. "
            "Run: splitpoint calibrate BUNDLE --data DIR, or use another codec."
        )
    return _low_bit(calibration, int(full[1:]))


@lru_cache(maxsize=128)
def _image_codec(full: str) -> Codec:
    kind, _, quality = full.partition("-")
    return ImageCodec(_IMAGES[kind], int(quality))


@lru_cache(maxsize=32)
def _low_bit(calibration: Calibration, bits: int) -> Codec:
    return LowBitCodec(bits, calibration.of_bits(bits))


def codec_for(codec: Codec, spec: TensorSpec) -> Codec:
    """Return `codec` if it takes `spec`, else raw: one option, several values of a frontier."""
    return codec if codec.accepts(spec) else RAW


def codecs_for(
    frontier: tuple[TensorSpec, ...], calibration: Calibration | None = None
) -> tuple[Codec, ...]:
    """Return the codecs worth planning for a frontier: raw, and those that take part of it."""
    names = ["half", "int8", "jpeg", "webp"]
    if calibration is not None:
        names += [f"q{bits}" for bits in LOW_BITS]
    others = [get_codec(name, calibration) for name in names]
    return (RAW, *(c for c in others if any(c.accepts(spec) for spec in frontier)))
