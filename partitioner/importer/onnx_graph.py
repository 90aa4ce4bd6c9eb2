"""From an ONNX graph to our Graph: which nodes are constant, what each reads, and what it costs."""

import math
from collections.abc import Iterator, Mapping, Sequence

import onnx
from onnx import AttributeProto

from partitioner.graph.graph import Graph, Node
from protos.tensors import TensorSpec

DRAWS = frozenset(
    {
        "RandomNormal",
        "RandomUniform",
        "RandomNormalLike",
        "RandomUniformLike",
        "Bernoulli",
        "Multinomial",
    }
)
"""Operators whose result differs from run to run: computed once, on one side."""


_VALUE_BY_VALUE = frozenset({"DequantizeLinear", "QuantizeLinear", "Cast", "Identity"})


def constant_nodes(graph: onnx.GraphProto) -> frozenset[int]:
    """Return the indices of the nodes that depend on weights alone; both sides compute them."""
    known = {tensor.name for tensor in graph.initializer}
    found = set()
    for index, node in enumerate(graph.node):
        reads = reads_of(node)
        if node.op_type in DRAWS or not known.issuperset(reads):
            continue
        found.add(index)
        known.update(node.output)
    return frozenset(found)


def constant_values(graph: onnx.GraphProto) -> frozenset[str]:
    """Return the names of the weights, and of what is computed from weights alone."""
    made = (name for index in constant_nodes(graph) for name in graph.node[index].output if name)
    return frozenset({tensor.name for tensor in graph.initializer} | set(made))


def reads_of(node: onnx.NodeProto) -> tuple[str, ...]:
    """Return the values that a node reads, those that its subgraphs take from outside included."""
    names = [name for name in node.input if name]
    names += [name for body in _bodies(node) for name in _captured(body)]
    return tuple(dict.fromkeys(names))


def read_graph(
    model: onnx.ModelProto, values: Mapping[str, TensorSpec], layers: Mapping[str, str]
) -> tuple[Graph, list[int]]:
    """Return the DAG without its constants, and for each of its nodes the index in the ONNX graph.

    `layers` are the names of layers that are known, by the first output of a node.
    """
    graph = model.graph
    constants = constant_nodes(graph)
    fixed = {tensor.name for tensor in graph.initializer}
    fixed |= {name for index in constants for name in graph.node[index].output}
    places = [index for index in range(len(graph.node)) if index not in constants]
    weights = _constant_shapes(graph, constants)
    nodes = tuple(_node(graph.node[index], fixed, values, weights, layers) for index in places)
    inputs = tuple(value.name for value in graph.input)
    return Graph(nodes, inputs, tuple(value.name for value in graph.output), values), places


def _constant_shapes(
    graph: onnx.GraphProto, constants: frozenset[int]
) -> dict[str, tuple[int, ...]]:
    """Return the shapes of weights, and of what is computed from them value by value, as by QDQ models."""
    known = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    for index in sorted(constants):
        node = graph.node[index]
        if node.op_type in _VALUE_BY_VALUE and node.input and node.input[0] in known:
            known[node.output[0]] = known[node.input[0]]
    return known


def _bodies(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    for attribute in node.attribute:
        if attribute.type == AttributeProto.GRAPH:
            yield attribute.g
        elif attribute.type == AttributeProto.GRAPHS:
            yield from attribute.graphs


def _captured(body: onnx.GraphProto) -> list[str]:
    own = {value.name for value in body.input} | {tensor.name for tensor in body.initializer}
    own |= {name for node in body.node for name in node.output}
    read = [name for node in body.node for name in reads_of(node)]
    read += [value.name for value in body.output]
    return [name for name in read if name not in own]


def _node(
    node: onnx.NodeProto,
    fixed: set[str],
    values: Mapping[str, TensorSpec],
    weights: Mapping[str, tuple[int, ...]],
    layers: Mapping[str, str],
) -> Node:
    return Node(
        name=node.name or (node.output[0] if node.output else node.op_type),
        op=node.op_type,
        inputs=tuple(name for name in reads_of(node) if name not in fixed),
        outputs=tuple(name for name in node.output if name),
        flops=_flops(node, values, weights),
        layer=layers.get(node.output[0], "") if node.output else "",
    )


def _flops(
    node: onnx.NodeProto,
    values: Mapping[str, TensorSpec],
    weights: Mapping[str, tuple[int, ...]],
) -> int:
    """Return two operations for each multiply-add, one for each value of anything else; one sample."""

    def shape(name: str) -> tuple[int, ...]:
        spec = values.get(name)
        return spec.sized() if spec else weights.get(name, ())

    made = math.prod(shape(node.output[0])) if node.output and node.output[0] in values else 0
    # Quantised operators have scale and zero point of the first input before the second.
    place = 3 if node.op_type in ("QLinearConv", "QLinearMatMul") else 1
    second = shape(node.input[place]) if len(node.input) > place else ()
    if node.op_type in ("Conv", "ConvInteger", "QLinearConv", "FusedConv") and len(second) > 2:
        return 2 * made * math.prod(second[1:])
    if node.op_type == "ConvTranspose" and len(second) > 2:
        return 2 * math.prod(shape(node.input[0])) * math.prod(second[1:])
    if node.op_type in ("Gemm", "FusedGemm", "FusedMatMul") and len(second) > 1:
        turned = any(a.name == "transB" and a.i for a in node.attribute)
        return 2 * made * second[-1 if turned else -2]
    if node.op_type in ("MatMul", "MatMulInteger", "QLinearMatMul") and second:
        return 2 * made * second[-2 if len(second) > 1 else 0]
    if node.op_type == "MatMulNBits":  # whose weights are packed
        return 2 * made * next((a.i for a in node.attribute if a.name == "K"), 1)
    if node.op_type == "Einsum":
        return 2 * _einsum_multiplies(node, [shape(name) for name in node.input])
    if node.op_type in ("Attention", "MultiHeadAttention") and len(second) > 1:
        # Queries by keys, and their product by values: each value made takes one of each a key.
        return 2 * 2 * made * second[-2]
    if node.op_type in ("LSTM", "GRU", "RNN"):
        steps = math.prod(shape(node.input[0])[:-1])
        return 2 * steps * sum(math.prod(shape(name)) for name in node.input[1:3])
    return made


def _einsum_multiplies(node: onnx.NodeProto, shapes: Sequence[tuple[int, ...]]) -> int:
    """Return the multiply-adds of a sum over indices, one for each combination of them; 0: not known."""
    equation = next((a.s.decode() for a in node.attribute if a.name == "equation"), "")
    terms = equation.replace(" ", "").partition("->")[0].split(",")
    sizes: dict[str, int] = {}
    for term, dims in zip(terms, shapes, strict=False):
        if "..." in term:
            return 0
        sizes |= dict(zip(term, dims, strict=False))
    return math.prod(sizes.values())
