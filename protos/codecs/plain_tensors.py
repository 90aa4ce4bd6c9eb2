"""Codecs as plain tensors: a frontier for standard servers, whose graphs decode it and know no codec of ours.

    raw          x          as it is
    half         x.half     float16, of the same shape
    int8         x.int8     uint8, of the same shape
                 x.ranges   float32 [rows, channels, 2]: low and step of every channel of every row
    q2, q4       x.q2       uint8 [rows, bytes]: symbols as they are packed before entropy coding

These are the codecs' own bytes without their heads. Every row stands for itself, so that a server may compute
rows of several devices together. What entropy coding makes is not for a graph: q3 takes as much as q4 without
it, and q5 and q6 as much as int8, so these are not among them; nor are images.
"""

import math
from collections.abc import Mapping, Sequence
from typing import cast

import numpy as np

from protos.codecs.base import Codec
from protos.codecs.half import HalfCodec
from protos.codecs.int8 import Int8Codec, channel_axis, split_int8
from protos.codecs.lowbit import PER_BYTE, LowBitCodec
from protos.codecs.registry import RAW, codec_for
from protos.errors import TensorError
from protos.tensors import BATCH_SIZE, Array, TensorSpec

PLAIN_CODECS = ("raw", "half", "int8", "q2", "q4")


def plain_codec_for(codec: Codec, spec: TensorSpec) -> Codec:
    """Return the codec that a value travels by as plain tensors: `codec`, or raw where that takes it not.

    What has its batch anywhere but first travels raw: rows could not be told from one another.
    """
    rows_first = BATCH_SIZE not in spec.shape[1:]
    return codec_for(codec, spec) if codec.name in PLAIN_CODECS and rows_first else RAW


def plain_specs(codec: Codec, spec: TensorSpec) -> tuple[TensorSpec, ...]:
    """Return the tensors, by name, type and shape, that a value travels as by a codec of PLAIN_CODECS."""
    chosen, name = plain_codec_for(codec, spec), f"{spec.name}.{codec.name}"
    rows = spec.shape[0] if has_rows(spec) else 1
    match chosen:
        case HalfCodec():
            return (TensorSpec(name, "float16", spec.shape),)
        case Int8Codec():
            ranges = (rows, channels_of(spec), 2)
            return (
                TensorSpec(name, "uint8", spec.shape),
                TensorSpec(f"{spec.name}.ranges", "float32", ranges),
            )
        case LowBitCodec():
            size = -(-row_size(spec) // PER_BYTE[chosen.bits])
            return (TensorSpec(name, "uint8", (rows, size)),)
        case _:
            return (spec,)


def plain_tensors(codec: Codec, spec: TensorSpec, array: Array) -> tuple[Array, ...]:
    """Return the arrays that `plain_specs` describes for one value; raises TensorError as `encode` does."""
    chosen = plain_codec_for(codec, spec)
    if chosen is RAW:
        return (array,)
    rows = [array[at : at + 1] for at in range(len(array))] if has_rows(spec) else [array]
    coded = [_coded_row(chosen, row, spec.name) for row in rows]
    if len(coded) == 1:
        return coded[0]
    return tuple(np.concatenate(parts) for parts in zip(*coded, strict=True))


def plain_frontier(codec: Codec, frontier: Sequence[TensorSpec]) -> tuple[TensorSpec, ...]:
    """Return all tensors that a frontier travels as by a codec, in their order."""
    return tuple(each for spec in frontier for each in plain_specs(codec, spec))


def encode_plain(
    codec: Codec, frontier: Sequence[TensorSpec], values: Mapping[str, Array]
) -> tuple[Codec, list[Array]]:
    """Return the arrays of `plain_frontier`, and the codec that they are by.

    Raw, if any of the values is one that `codec` cannot keep: a model takes all of them by one codec.
    """
    try:
        coded = [plain_tensors(codec, spec, values[spec.name]) for spec in frontier]
    except TensorError:
        codec, coded = RAW, [(values[spec.name],) for spec in frontier]
    return codec, [each for parts in coded for each in parts]


def plain_codecs(frontier: Sequence[TensorSpec], codecs: Sequence[Codec]) -> tuple[Codec, ...]:
    """Return raw, and those of `codecs` by which a value of a frontier travels as plain tensors."""
    others = (codec for codec in codecs if codec.name != RAW.name)
    taken = (
        codec for codec in others if any(plain_codec_for(codec, spec) is codec for spec in frontier)
    )
    return (RAW, *taken)


def has_rows(spec: TensorSpec) -> bool:
    """Tell whether the first axis of a value counts rows; else the whole value is one."""
    return spec.shape[:1] == (BATCH_SIZE,)


def row_size(spec: TensorSpec) -> int:
    """Return how many values a row has."""
    return math.prod(spec.shape[1:] if has_rows(spec) else spec.shape)


def channels_of(spec: TensorSpec) -> int:
    """Return how many channels a row has, each with a range of its own by int8."""
    shape = spec.sized()
    axis = channel_axis(shape)
    return 1 if axis is None else shape[axis]


def _coded_row(codec: Codec, row: Array, name: str) -> tuple[Array, ...]:
    if isinstance(codec, LowBitCodec):
        return (cast(Array, codec.pack(row, name).reshape(1, -1)),)
    data = codec.encode(row, name)
    if isinstance(codec, HalfCodec):
        return (np.frombuffer(data, "<f2").reshape(row.shape),)
    ranges, symbols = split_int8(data, row.shape)
    return symbols, ranges.reshape(1, -1, 2)
