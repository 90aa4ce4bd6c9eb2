"""Decoders as ONNX nodes: from the plain tensors of a codec to the values that a tail takes.

They compute what our codecs decode, bit by bit: half is a cast, int8 a product and a sum in float32, and q2
and q4 look their levels up, as the codec does.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from partitioner.importer.subgraphs import value_info
from protos.codecs.base import Codec
from protos.codecs.calibration import Calibration, Ranges
from protos.codecs.half import HalfCodec
from protos.codecs.int8 import Int8Codec, channel_axis
from protos.codecs.lowbit import PER_BYTE, LowBitCodec
from protos.codecs.plain_tensors import (
    channels_of,
    has_rows,
    plain_codec_for,
    plain_frontier,
    plain_specs,
    row_size,
)
from protos.errors import ModelError
from protos.tensors import Array, TensorSpec

OPSET = 13
"""Of the decoders, and the least of a tail that one is built into."""
_IR_VERSION = 8


class _Nodes:
    """Nodes and constants in the making, under names that begin alike."""

    def __init__(self, prefix: str) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[TensorProto] = []
        self._prefix = prefix

    def constant(self, array: Array) -> str:
        name = f"{self._prefix}/constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def add(self, op: str, inputs: Sequence[str], output: str = "", **attributes: Any) -> str:
        place = len(self.nodes)
        name = output or f"{self._prefix}/{op}_{place}"
        node = helper.make_node(
            op, inputs, [name], name=f"{self._prefix}/{place}_{op}", **attributes
        )
        self.nodes.append(node)
        return name

    def reshaped(self, value: str, shape: Sequence[int], output: str = "") -> str:
        return self.add("Reshape", [value, self.constant(np.array(shape, np.int64))], output)


def decoder(
    codec: Codec,
    frontier: Sequence[TensorSpec],
    calibration: Calibration | None,
) -> onnx.ModelProto:
    """Return the model that decodes a frontier; what travels raw by `codec` does not pass through it."""
    made = [spec for spec in frontier if plain_codec_for(codec, spec) is codec]
    nodes = _decode(codec, made, calibration)
    graph = helper.make_graph(
        nodes.nodes,
        f"decode {codec.name}",
        [value_info(spec) for spec in plain_frontier(codec, made)],
        [value_info(spec) for spec in made],
        nodes.constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)])
    model.ir_version = _IR_VERSION
    model.producer_name = "splitpoint"
    return model


def build_in(
    model: onnx.ModelProto,
    codec: Codec,
    frontier: Sequence[TensorSpec],
    calibration: Calibration | None,
) -> None:
    """Let a tail decode by itself, in place: it takes the plain tensors of a codec afterwards.

    Raises ModelError for a tail of an older opset than the decoders'.
    """
    opset = next((each.version for each in model.opset_import if each.domain in ("", "ai.onnx")), 0)
    if opset < OPSET:
        raise ModelError(
            f"the model is of opset {opset}, and a decoder needs {OPSET}. Export the model again with "
            "that or a later one, or decode in ensembles."
        )
    made = [spec for spec in frontier if plain_codec_for(codec, spec) is codec]
    nodes = _decode(codec, made, calibration)
    graph, decoded = model.graph, {spec.name for spec in made}
    given = {value.name: value for value in graph.input}
    inputs = [
        value
        for spec in frontier
        for value in (
            [value_info(each) for each in plain_specs(codec, spec)]
            if spec.name in decoded
            else [given[spec.name]]
        )
    ]
    rest = list(graph.node)
    del graph.input[:], graph.node[:]
    graph.input.extend(inputs)
    graph.node.extend([*nodes.nodes, *rest])
    graph.initializer.extend(nodes.constants)


def _decode(codec: Codec, made: Sequence[TensorSpec], calibration: Calibration | None) -> _Nodes:
    nodes = _Nodes(f"splitpoint/{codec.name}")
    for spec in made:
        taken = [each.name for each in plain_specs(codec, spec)]
        match codec:
            case HalfCodec():
                nodes.add("Cast", taken, spec.name, to=TensorProto.FLOAT)
            case Int8Codec():
                _decode_int8(nodes, spec, *taken)
            case LowBitCodec() if calibration is not None:
                _decode_symbols(nodes, spec, calibration.by_value[spec.name][codec.bits], *taken)
    return nodes


def _decode_int8(nodes: _Nodes, spec: TensorSpec, symbols: str, ranges: str) -> None:
    """value = low + step * symbol."""
    axis, channels = channel_axis(spec.sized()), channels_of(spec)
    kept = [channels if at == axis else 1 for at in range(len(spec.shape))]
    kept[0] = -1 if has_rows(spec) else 1
    low, step = (
        nodes.reshaped(
            nodes.add("Gather", [ranges, nodes.constant(np.array(at, np.int64))], axis=2), kept
        )
        for at in (0, 1)
    )
    plain = nodes.add("Cast", [symbols], to=TensorProto.FLOAT)
    nodes.add("Add", [nodes.add("Mul", [plain, step]), low], spec.name)


def _decode_symbols(nodes: _Nodes, spec: TensorSpec, ranges: Ranges, packed: str) -> None:
    """Look up the symbols of every byte, and then the level of every symbol in its channel."""
    bits, together, size = ranges.bits, PER_BYTE[ranges.bits], row_size(spec)
    rows = -1 if has_rows(spec) else 1
    places = bits * np.arange(together - 1, -1, -1)
    table = (np.arange(256)[:, None] >> places & ((1 << bits) - 1)).astype(np.int32)
    byte = nodes.add("Cast", [packed], to=TensorProto.INT32)
    found = nodes.add("Gather", [nodes.constant(table), byte], axis=0)
    length = -(-size // together) * together
    symbols = nodes.reshaped(found, (rows, length))
    if length != size:
        first, last, axes = (nodes.constant(np.array([at], np.int64)) for at in (0, size, 1))
        symbols = nodes.add("Slice", [symbols, first, last, axes])
    shape = (rows, *spec.shape[1:]) if has_rows(spec) else spec.shape
    symbols = nodes.reshaped(symbols, shape)
    if ranges.axis is not None:
        along = [-1 if at == ranges.axis else 1 for at in range(len(shape))]
        offsets = (np.arange(ranges.low.size, dtype=np.int32) << bits).reshape(along)
        symbols = nodes.add("Add", [symbols, nodes.constant(offsets)])
    levels = nodes.constant(np.ascontiguousarray(ranges.levels.reshape(-1)))
    nodes.add("Gather", [levels, symbols], spec.name, axis=0)
