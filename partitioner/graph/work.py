"""The work of a graph's nodes: floating-point operations and bytes moved, by kind of operator.

A runtime is far from its peak where an operator does little with each value that it reads (S. Williams et
al., "Roofline", CACM 52(4), 2009). So a convolution over all channels or a product of matrices counts as
dense, a convolution of few channels at a time as depthwise, and the rest as moving bytes.
"""

import math
from dataclasses import dataclass
from enum import StrEnum

from partitioner.graph.graph import Graph, Node
from protos.tensors import TensorSpec

_CONVOLUTIONS = frozenset({"Conv", "ConvInteger", "QLinearConv", "ConvTranspose", "FusedConv"})
_PRODUCTS = frozenset(
    {"Gemm", "MatMul", "MatMulInteger", "QLinearMatMul", "MatMulNBits", "Einsum"}
    | {"FusedMatMul", "FusedGemm"}
    | {"LSTM", "GRU", "RNN", "Attention", "MultiHeadAttention"}
)
_WEIGHT_BYTES = {
    **dict.fromkeys(("ConvInteger", "QLinearConv", "MatMulInteger", "QLinearMatMul"), 1.0),
    "MatMulNBits": 0.5,
}
"""Of a weight, where that is smaller than the values that are made."""
_FREE = frozenset(
    {"Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity", "Dropout", "Shape", "Constant"}
)
"""No value is moved."""
_FUSED = frozenset(
    {
        "Relu",
        "LeakyRelu",
        "Clip",
        "Sigmoid",
        "Tanh",
        "HardSigmoid",
        "HardSwish",
        "BatchNormalization",
    }
)
"""Computed on the way out by the operator before, where nobody else reads its result."""


class WorkKind(StrEnum):
    """What bounds an operator."""

    DENSE = "dense"
    """Products of matrices, and convolutions over all channels: arithmetic."""
    DEPTHWISE = "depthwise"
    """Convolutions of one or few channels at a time: little arithmetic for what is read."""
    MEMORY = "memory"
    """All else: additions, activations, pooling, copies."""


@dataclass(frozen=True, slots=True)
class NodeWork:
    """What one node does for one sample; moved bytes are what it reads, weights included, and writes."""

    kind: WorkKind
    flops: int
    moved_bytes: int


_NOTHING = NodeWork(WorkKind.MEMORY, 0, 0)


def work_of(graph: Graph) -> tuple[NodeWork, ...]:
    """Return the work of each node. A value of unknown size counts as empty."""
    return tuple(_work(node, graph) for node in graph.nodes)


def _work(node: Node, graph: Graph) -> NodeWork:
    if node.op in _FREE or (node.op in _FUSED and _is_fused(node, graph)):
        return _NOTHING
    read = [graph.values[name] for name in node.inputs if name in graph.values]
    made = [graph.values[name] for name in node.outputs if name in graph.values]
    moved = sum(spec.nbytes() for spec in (*read, *made))
    if node.op not in _CONVOLUTIONS | _PRODUCTS or not made:
        return NodeWork(WorkKind.MEMORY, node.flops, moved)
    weights = _weights(node, read, made[0])
    is_grouped = (
        node.op in _CONVOLUTIONS and read and _multiplies(node, read, made) < _channels(read[0])
    )
    kind = WorkKind.DEPTHWISE if is_grouped else WorkKind.DENSE
    weight_bytes = _WEIGHT_BYTES.get(node.op, _itemsize(made[0]))
    return NodeWork(kind, node.flops, moved + round(weights * weight_bytes))


def _is_fused(node: Node, graph: Graph) -> bool:
    """Tell whether a node's only value comes from a convolution or a product, and nobody else reads it."""
    makers = {graph.producer.get(name) for name in node.inputs}
    if len(node.inputs) != 1 or None in makers:
        return False
    maker = graph.nodes[graph.producer[node.inputs[0]]]
    is_alone = len(graph.readers[node.inputs[0]]) == 1
    chained = maker.op in _FUSED and _is_fused(maker, graph)
    return is_alone and (maker.op in _CONVOLUTIONS | _PRODUCTS or chained)


def _multiplies(node: Node, read: list[TensorSpec], made: list[TensorSpec]) -> float:
    """Return the multiply-adds for each value that a convolution makes (of one transposed: that it reads).

    They are kernel size times channels in a group, so that they reach the number of channels only where a
    group has all of them, or channels are fewer than the kernel has values.
    """
    around = read if node.op == "ConvTranspose" else made
    return node.flops / 2 / max(1, math.prod(around[0].sized()))


def _channels(spec: TensorSpec) -> int:
    shape = spec.sized()
    return shape[1] if len(shape) > 1 else 1


def _weights(node: Node, read: list[TensorSpec], made: TensorSpec) -> int:
    """Return how many weights a node has, as its operations tell; 0 where all that it multiplies crosses."""
    macs, shape = node.flops / 2, made.sized()
    if node.op in _CONVOLUTIONS:
        around = read[0].sized() if node.op == "ConvTranspose" and read else shape
        return round(macs / max(1, math.prod(around[2:])))
    if len(read) != 1 or not shape:
        return 0
    # A product of m rows with k x n weights takes m·k·n multiply-adds and makes m·n values.
    return round(macs * shape[-1] / max(1, math.prod(shape)))


def _itemsize(spec: TensorSpec) -> int:
    return spec.nbytes() // max(1, math.prod(spec.sized()))
