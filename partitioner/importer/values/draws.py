"""Ranges to draw a model's inputs from: numbers of tokens, a rate that it asks for, a mask of ones.

Normal floats and zeros and ones are what most models take. Some look a row up by a number, compare a number
with one that they know, or take a logarithm.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import onnx
from onnx import numpy_helper

from protos.tensors import TensorSpec

_PASSES = frozenset(
    "Cast Identity Reshape Unsqueeze Squeeze Flatten Transpose Slice Expand Clip Concat Split".split()
)
"""What may lie between an input and the place where it is read, and leaves its values alone."""
_LOOKED_UP = {"EmbedLayerNormalization": {0: (2, 0), 1: (4, 0)}}
"""Fused operators with tables: by the place of numbers, the place of the table and its axis."""
_MOST_COMPARED = 3
_POSITIVE, _ONES = (0.1, 1.0), (1.0, 2.0)


def draws(model: onnx.ModelProto, specs: Sequence[TensorSpec]) -> Iterator[tuple[TensorSpec, ...]]:
    """Yield `specs` with ranges to draw from, the likeliest first; the last ones suit few models."""
    known = {spec.name: _known_ranges(model.graph, spec) for spec in specs}
    for turn in range(max(map(len, known.values()), default=1)):
        told = {name: found[min(turn, len(found) - 1)] for name, found in known.items()}
        for floats, integers in (((), ()), ((), _ONES), (_POSITIVE, ()), (_POSITIVE, _ONES)):
            usual = {"f": floats, "i": integers, "u": integers}
            yield tuple(
                replace(spec, drawn=told[spec.name] or usual.get(np.dtype(spec.dtype).kind, ()))
                for spec in specs
            )


def _known_ranges(graph: onnx.GraphProto, spec: TensorSpec) -> list[tuple[float, ...]]:
    """Return ranges that the graph shows for an input of integers; one that is empty where it shows none."""
    if np.dtype(spec.dtype).kind not in "iu":
        return [()]
    limits, compared = [], []
    for node, place in _readers(graph, spec.name):
        if rows := _rows(graph, node, place):
            limits.append(rows)
        elif node.op_type == "Equal" and spec.shape in ((), (1,)):
            compared += _numbers(graph, node.input[1 - place])
    if limits:
        return [(0.0, float(min(limits)))]
    return [(float(value), value + 1.0) for value in compared[:_MOST_COMPARED]] or [()]


def _readers(graph: onnx.GraphProto, name: str) -> Iterator[tuple[onnx.NodeProto, int]]:
    """Yield the nodes that read a value as it is, and at which place."""
    names = {name}
    for node in graph.node:
        for place, read in enumerate(node.input):
            if read in names:
                yield node, place
        if node.op_type in _PASSES and names.intersection(node.input):
            names.update(node.output)


def _rows(graph: onnx.GraphProto, node: onnx.NodeProto, place: int) -> int:
    """Return how many rows the table has in which a node looks up what it reads at `place`; 0: none."""
    tables = _LOOKED_UP.get(node.op_type, {})
    if node.op_type == "Gather":
        axis = next((a.i for a in node.attribute if a.name == "axis"), 0)
        tables = {1: (0, axis)}
    if place not in tables or len(node.input) <= tables[place][0]:
        return 0
    table, axis = tables[place]
    dims = _dims(graph, node.input[table])
    return dims[axis] if -len(dims) <= axis < len(dims) else 0


def _dims(graph: onnx.GraphProto, name: str) -> tuple[int, ...]:
    """Return the shape of a table: a weight, or one that is unpacked first; empty if it is neither."""
    for tensor in graph.initializer:
        if tensor.name == name:
            return tuple(tensor.dims)
    for node in graph.node:
        if name in node.output and node.op_type in ("DequantizeLinear", "Cast", "Identity"):
            return _dims(graph, node.input[0])
    return ()


def _numbers(graph: onnx.GraphProto, name: str) -> list[int]:
    """Return the integers in a small constant; none if it is none, or lies outside of the graph."""
    found = next((tensor for tensor in graph.initializer if tensor.name == name), None)
    if found is None or found.data_location == onnx.TensorProto.EXTERNAL:
        return []
    values = numpy_helper.to_array(found)
    return [int(value) for value in values.reshape(-1)] if values.dtype.kind in "iu" else []
