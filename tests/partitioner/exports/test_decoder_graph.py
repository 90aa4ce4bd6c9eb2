"""Decoders as graphs: what ONNX Runtime makes of them is what our codecs decode, to the last bit."""

import numpy as np
import onnxruntime
import pytest

from partitioner.exports.decoder_graph import decoder
from protos.codecs.base import Codec
from protos.codecs.calibration import Calibration, Ranges
from protos.codecs.plain_tensors import (
    PLAIN_CODECS,
    encode_plain,
    plain_codec_for,
    plain_frontier,
)
from protos.codecs.registry import RAW, get_codec
from protos.errors import TensorError
from protos.tensors import Array, TensorSpec

SHAPES = {
    "images with channels": (-1, 3, 5, 7),
    "an odd number of values": (-1, 5, 3),
    "channels last": (-1, 33, 4),
    "few values a channel": (-1, 6, 2, 2),
    "no channels": (-1, 9),
    "one value a row": (-1,),
    "a batch that is fixed": (1, 4, 6, 6),
    "no batch at all": (50, 3, 8),
    "batch in the middle": (4, -1, 6),
}


def calibrated(spec: TensorSpec) -> Calibration:
    """Ranges along axis 1 where there are channels, and else one over all."""
    axis = 1 if len(spec.shape) > 2 and spec.shape[1] > 0 else None
    channels = 1 if axis is None else spec.shape[1]
    low = -1 - np.arange(channels, dtype=np.float32) / 3
    by_bits = {}
    for bits in (2, 4):
        step = np.float32(2) / (1 << bits) * (1 + np.arange(channels, dtype=np.float32) / 7)
        levels = low[:, None] + (np.arange(1 << bits, dtype=np.float32) + 0.4) * step[:, None]
        by_bits[bits] = Ranges(bits, axis, low, step, levels.astype(np.float32), b"")
    return Calibration({spec.name: by_bits})


def decode_row_by_row(codec: Codec, spec: TensorSpec, array: Array) -> Array:
    """What our own codec makes of each row, as a frame of its own."""
    rows = np.split(array, len(array)) if spec.shape[0] == -1 else [array]
    decoded = (codec.decode(codec.encode(row, "x"), "float32", row.shape, "x") for row in rows)
    return np.concatenate(list(decoded))


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("name", [name for name in PLAIN_CODECS if name != "raw"])
def test_graph_decodes_what_the_codec_decodes(name: str, shape: tuple[int, ...]) -> None:
    spec = TensorSpec("x", "float32", shape)
    known = calibrated(spec)
    codec = get_codec(name, known)
    if plain_codec_for(codec, spec) is RAW:
        assert -1 in shape[1:]  # rows that lie across travel raw
        assert plain_frontier(codec, [spec]) == (spec,)
        return
    session = onnxruntime.InferenceSession(decoder(codec, [spec], known).SerializeToString())
    for rows in (1, 3) if shape[0] == -1 else (1,):
        array = np.random.default_rng(rows).normal(0, 1.5, spec.sized(rows)).astype(np.float32)
        by, parts = encode_plain(codec, [spec], {"x": array})
        wanted = plain_frontier(codec, [spec])
        assert by is codec
        for each, part in zip(wanted, parts, strict=True):
            each.check(part.dtype.name, part.shape)
        feeds = {each.name: part for each, part in zip(wanted, parts, strict=True)}
        (found,) = session.run(["x"], feeds)
        np.testing.assert_array_equal(found, decode_row_by_row(codec, spec, array))
        assert found.dtype == np.float32


@pytest.mark.parametrize("name", ["half", "int8", "q2", "q4"])
def test_values_that_do_not_fit_and_channels_without_span_come_out_as_of_the_codec(
    name: str,
) -> None:
    spec = TensorSpec("x", "float32", (-1, 2, 5, 5))
    known = calibrated(spec)
    codec = get_codec(name, known)
    array = np.full((1, 2, 5, 5), 7.5, np.float32)
    array[0, 1] = np.linspace(-1e30, 1e5, 25, dtype=np.float32).reshape(5, 5)
    session = onnxruntime.InferenceSession(decoder(codec, [spec], known).SerializeToString())
    _, parts = encode_plain(codec, [spec], {"x": array})
    names = (each.name for each in plain_frontier(codec, [spec]))
    (found,) = session.run(["x"], dict(zip(names, parts, strict=True)))
    np.testing.assert_array_equal(found, decode_row_by_row(codec, spec, array))


def test_values_that_a_codec_cannot_keep_travel_raw_altogether() -> None:
    first, second = (TensorSpec(name, "float32", (-1, 4)) for name in "ab")
    values = {"a": np.ones((1, 4), np.float32), "b": np.full((1, 4), np.nan, np.float32)}
    int8 = get_codec("int8")
    with pytest.raises(TensorError):
        int8.encode(values["b"], "b")
    by, parts = encode_plain(int8, [first, second], values)
    assert by is RAW
    assert [part is values[name] for part, name in zip(parts, "ab", strict=True)] == [True, True]


def test_what_a_codec_does_not_take_passes_by_its_decoder() -> None:
    floats, numbers = TensorSpec("x", "float32", (-1, 4)), TensorSpec("n", "int64", (-1, 2))
    half = get_codec("half")
    graph = decoder(half, [floats, numbers], None).graph
    assert [each.name for each in graph.input] == ["x.half"]
    assert [each.name for each in plain_frontier(half, [floats, numbers])] == ["x.half", "n"]
