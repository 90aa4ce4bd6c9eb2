"""Which values may have another size for other data: followed through the graph, operator by operator.

Running a model cannot tell: two inputs may happen to give as many boxes. So two facts are followed for each
value, given the shapes of the model's inputs: whether its *content* is settled (weights, shapes, and what is
computed from them), and whether its *shape* is.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import onnx
from onnx import helper, shape_inference

from partitioner.importer.onnx_graph import DRAWS

_SIZED_BY_DATA = frozenset(
    """
    NonZero NonMaxSuppression Unique Compress StringSplit StringNormalizer ImageDecoder BeamSearch
    GreedySearch Sampling WhisperBeamSearch EfficientNMS_TRT BatchedNMS_TRT DynamicTimeWarping
    """.split()
)
"""Operators whose outputs' sizes follow from what is in their inputs, whatever shape these have."""

_SIZES_IN: dict[str, tuple[int, ...]] = {
    **dict.fromkeys(("Reshape", "Expand", "Tile", "Upsample", "TopK", "OneHot", "Unsqueeze"), (1,)),
    **dict.fromkeys(("Squeeze", "Split", "SplitToSequence", "SequenceAt", "CenterCropPad"), (1,)),
    **dict.fromkeys(("ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMax"), (1,)),
    **dict.fromkeys(("ReduceMean", "ReduceMin", "ReduceProd", "ReduceSum"), (1,)),
    **dict.fromkeys(("ReduceSumSquare", "AffineGrid"), (1,)),
    **dict.fromkeys(("ConstantOfShape", "HannWindow", "HammingWindow", "BlackmanWindow"), (0,)),
    **dict.fromkeys(("Col2Im", "DFT"), (1, 2)),
    **dict.fromkeys(("Pad", "STFT"), (1, 3)),
    **dict.fromkeys(("Range", "MelWeightMatrix"), (0, 1, 2)),
    "Slice": (1, 2, 3, 4),
    "Resize": (1, 2, 3),
    "MaxUnpool": (2,),
}
"""The inputs of operators that hold sizes, positions or axes, by their place."""


@dataclass
class _Settled:
    """Names of the values whose content is settled, and of those whose shape is (content implies it)."""

    content: set[str] = field(default_factory=set)
    shape: set[str] = field(default_factory=set)

    def add(self, name: str, *, content: bool, shape: bool) -> None:
        if content:
            self.content.add(name)
        if content or shape:
            self.shape.add(name)


def data_sized(model: onnx.ModelProto) -> frozenset[str]:
    """Return the values that other data may give another size; the model's inputs have concrete shapes."""
    found = _Settled()
    for value in model.graph.input:
        found.add(value.name, content=False, shape=True)
    functions = {(function.domain, function.name): function for function in model.functions}
    _follow(model.graph.node, model.graph.initializer, found, functions)
    made = (name for node in model.graph.node for name in node.output if name)
    return frozenset(name for name in made if name not in found.shape)


def provable_sizes(model: onnx.ModelProto) -> dict[str, tuple[int | None, ...]]:
    """Return the sizes that hold for all data, by value, None where one is not known; what the file says of
    its values' shapes is not believed."""
    bare = onnx.ModelProto()
    bare.CopyFrom(model)
    del bare.graph.value_info[:]
    for value in bare.graph.output:
        value.type.tensor_type.ClearField("shape")
    try:
        inferred = shape_inference.infer_shapes(bare, data_prop=True)
    except Exception:  # noqa: BLE001 - it raises several types, and nothing is known then
        return {}
    return {
        value.name: tuple(
            dim.dim_value if dim.HasField("dim_value") else None
            for dim in value.type.tensor_type.shape.dim
        )
        for value in (*inferred.graph.value_info, *inferred.graph.output)
        if value.type.tensor_type.HasField("shape")
    }


_Functions = Mapping[tuple[str, str], onnx.FunctionProto]


def _follow(
    nodes: Iterable[onnx.NodeProto],
    weights: Iterable[onnx.TensorProto],
    found: _Settled,
    functions: _Functions,
) -> None:
    for tensor in weights:
        found.add(tensor.name, content=True, shape=True)
    for node in nodes:
        if function := functions.get((node.domain, node.op_type)):
            facts = _of_function(node, function, found, functions)
        elif node.op_type == "If":
            facts = _of_branches(node, found, functions)
        elif node.op_type in ("Loop", "Scan"):
            facts = _of_loop(node, found, functions)
        else:
            facts = [_of_operator(node, found)] * len(node.output)
        for name, (content, shape) in zip(node.output, facts, strict=True):
            found.add(name, content=content, shape=shape)


def _of_operator(node: onnx.NodeProto, found: _Settled) -> tuple[bool, bool]:
    """Return whether content and shape of a node's outputs are settled."""
    reads = [name for name in node.input if name]
    if node.op_type in ("Shape", "Size"):
        settled = found.shape.issuperset(reads)
        return settled, settled
    content = node.op_type not in DRAWS and found.content.issuperset(reads)
    sizes = [node.input[at] for at in _SIZES_IN.get(node.op_type, ()) if at < len(node.input)]
    shape = (
        node.op_type not in _SIZED_BY_DATA
        and found.shape.issuperset(reads)
        and found.content.issuperset(name for name in sizes if name)
    )
    return content, content or shape


def _of_function(
    node: onnx.NodeProto, function: onnx.FunctionProto, found: _Settled, functions: _Functions
) -> list[tuple[bool, bool]]:
    inner = _Settled()
    for formal, actual in zip(function.input, node.input, strict=False):
        inner.add(formal, content=actual in found.content, shape=actual in found.shape)
    for formal in function.input[len(node.input) :]:
        inner.add(formal, content=True, shape=True)
    _follow(function.node, (), inner, functions)
    return _facts(function.output[: len(node.output)], inner)


def _of_branches(
    node: onnx.NodeProto, found: _Settled, functions: _Functions
) -> list[tuple[bool, bool]]:
    """Where data choose the branch they choose the shape; whether both have one is not looked at here."""
    if node.input[0] not in found.content:
        return [(False, False)] * len(node.output)
    branches = [_inside(body, (), found, functions) for body in _bodies(node)]
    return [
        (all(content for content, _ in facts), all(shape for _, shape in facts))
        for facts in zip(*branches, strict=True)
    ]


def _of_loop(
    node: onnx.NodeProto, found: _Settled, functions: _Functions
) -> list[tuple[bool, bool]]:
    """A loop whose number of turns is settled has settled shapes if its body has. What goes round is taken
    for unsettled content."""
    (body,) = _bodies(node)
    if node.op_type == "Loop":
        trips = [name for name in node.input[:2] if name]
        given = [(True, True), (True, True)]
        given += [(False, name in found.shape) for name in node.input[2:]]
        facts = _inside(body, given, found, functions)
        turns = found.content.issuperset(trips) and facts[0][0]
        return [(False, turns and shape) for _, shape in facts[1:]]
    given = [(False, name in found.shape) for name in node.input]
    return [(False, shape) for _, shape in _inside(body, given, found, functions)]


def _inside(
    body: onnx.GraphProto,
    given: Sequence[tuple[bool, bool]],
    found: _Settled,
    functions: _Functions,
) -> list[tuple[bool, bool]]:
    """Return the facts of a body's outputs; it sees what is around it, and its inputs as `given`."""
    inner = _Settled(set(found.content), set(found.shape))
    for value, (content, shape) in zip(body.input, given, strict=False):
        inner.content.discard(value.name)
        inner.shape.discard(value.name)
        inner.add(value.name, content=content, shape=shape)
    _follow(body.node, body.initializer, inner, functions)
    return _facts([value.name for value in body.output], inner)


def _facts(names: Iterable[str], found: _Settled) -> list[tuple[bool, bool]]:
    return [(name in found.content, name in found.shape) for name in names]


def _bodies(node: onnx.NodeProto) -> list[onnx.GraphProto]:
    values = [helper.get_attribute_value(attribute) for attribute in node.attribute]
    return [value for value in values if isinstance(value, onnx.GraphProto)]
