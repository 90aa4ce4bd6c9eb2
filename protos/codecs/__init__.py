"""Codecs: how the frontier becomes bytes. `get_codec` finds one by the name that crossed the wire."""

import re
from functools import lru_cache

from protos.codecs.base import Codec
from protos.codecs.jpeg import JpegCodec
from protos.codecs.raw import RawCodec
from protos.errors import UnknownNameError
from protos.tensors import TensorSpec

__all__ = ["DEFAULT_JPEG_QUALITY", "RAW", "Codec", "codec_for", "codecs_for", "get_codec"]

DEFAULT_JPEG_QUALITY = 75
RAW: Codec = RawCodec()


@lru_cache(maxsize=128)
def get_codec(name: str) -> Codec:
    """Return the codec called `name`: `raw`, `jpeg` (quality 75) or `jpeg-1` … `jpeg-100`."""
    if name == "raw":
        return RAW
    if found := re.fullmatch(r"jpeg(?:-(\d{1,3}))?", name):
        quality = int(found[1] or DEFAULT_JPEG_QUALITY)
        if 1 <= quality <= 100:
            return JpegCodec(quality)
    raise UnknownNameError(
        f"there is no codec {name!r}. Use raw, jpeg (quality {DEFAULT_JPEG_QUALITY}) or jpeg-1 to jpeg-100."
    )


def codec_for(codec: Codec, spec: TensorSpec) -> Codec:
    """Return `codec` if it takes `spec`, else raw: one option, several values of a frontier."""
    return codec if codec.accepts(spec) else RAW


def codecs_for(frontier: tuple[TensorSpec, ...]) -> tuple[Codec, ...]:
    """Return the codecs that are worth planning for a frontier: raw, and those that take part of it."""
    jpeg = get_codec("jpeg")
    return (RAW, jpeg) if any(jpeg.accepts(spec) for spec in frontier) else (RAW,)
