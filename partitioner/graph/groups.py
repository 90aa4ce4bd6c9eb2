"""Nodes that belong together: a cut between them costs both sides and saves nothing.

A runtime fuses a convolution with the normalisation and the activation behind it, a product with its
bias, a sigmoid gate with its multiplication. All of these look alike on the DAG: a value spreads through
cheap operations only, and comes together again in one value that is no larger.
"""

from partitioner.graph.graph import Graph

CHEAP_OPS = frozenset(
    """
    Abs Add And BatchNormalization BiasGelu Cast CastLike Ceil Celu Clip Cos Div Dropout Elu Equal Erf
    Exp Expand FastGelu Flatten Floor Gelu Greater GreaterOrEqual HardSigmoid HardSwish Identity
    InstanceNormalization LayerNormalization LeakyRelu Less LessOrEqual Log Max Min Mish Mod Mul Neg
    Not Or PRelu Pow QuickGelu Reciprocal ReduceMax ReduceMean ReduceMin ReduceSum Relu Reshape
    GroupNormalization RMSNormalization Round Selu Sigmoid Sign Sin Softmax LogSoftmax Softplus
    Softsign Sqrt Squeeze Sub Sum Tanh ThresholdedRelu Transpose Unsqueeze Where Xor
    QuantizeLinear DequantizeLinear Shape Gather Concat Slice ConstantOfShape Range Size Tile Trilu
    """.split()
)
"""Operations that cost next to nothing beside a convolution or a product of matrices."""

_SPREAD = 24
"""Nodes that one such region may have; the longest known (a decomposed attention gate) has 15."""

_TINY_BYTES = 256
"""Values up to this size (shapes, indices, scalars) are computed as early as possible."""


def group_nodes(graph: Graph) -> tuple[tuple[int, ...], ...]:
    """Return the nodes in groups that are never cut through, in topological order.

    Groups are convex: the DAG of groups has no cycle.
    """
    group_of: dict[int, int] = {}
    members: dict[int, list[int]] = {}
    for index in range(len(graph.nodes)):
        if index in group_of:
            continue
        home = _home_of_tiny(graph, index, group_of)
        leader = index if home is None else home
        group_of[index] = leader
        members.setdefault(leader, []).append(index)
        if home is None:
            for follower in _followers(graph, index, group_of):
                group_of[follower] = leader
                members[leader].append(follower)
    return tuple(tuple(sorted(group)) for group in members.values())


def _home_of_tiny(graph: Graph, index: int, group_of: dict[int, int]) -> int | None:
    """Return the group that a computation of shapes or scalars joins: that of its only producer."""
    node = graph.nodes[index]
    if node.op not in CHEAP_OPS or not all(_is_tiny(graph, value) for value in node.outputs):
        return None
    homes = {group_of[graph.producer[value]] for value in node.inputs if value in graph.producer}
    return homes.pop() if len(homes) == 1 else None


def _is_tiny(graph: Graph, value: str) -> bool:
    spec = graph.values.get(value)
    return spec is not None and spec.dtype.startswith("int") and spec.nbytes() <= _TINY_BYTES


def _followers(graph: Graph, index: int, taken: dict[int, int]) -> list[int]:
    """Return the cheap nodes behind `index` that come together in one value no larger than its own."""
    found: list[int] = []
    outputs = [value for value in graph.nodes[index].outputs if graph.readers.get(value)]
    while len(outputs) == 1 and outputs[0] not in graph.outputs:
        region = _closing_region(graph, outputs[0], taken)
        if not region:
            break
        found += region
        outputs = _open_values(graph, outputs[0], region)
    return found


def _closing_region(graph: Graph, start: str, taken: dict[int, int]) -> list[int]:
    """Grow from the readers of `start` until a single value remains open; [] if that never happens."""
    region: list[int] = []
    open_values = [start]
    while len(region) < _SPREAD:
        readers = {r for value in open_values for r in graph.readers.get(value, ())} - set(region)
        if not readers:
            return []
        reader = min(readers)
        known = {start, *(value for index in region for value in graph.nodes[index].outputs)}
        node = graph.nodes[reader]
        if node.op not in CHEAP_OPS or reader in taken or not known.issuperset(node.inputs):
            return []
        region.append(reader)
        open_values = _open_values(graph, start, region)
        if len(open_values) == 1 and open_values[0] != start:
            return region if _no_larger(graph, open_values[0], start) else []
    return []


def _open_values(graph: Graph, start: str, region: list[int]) -> list[str]:
    """Return the values of `start` and `region` that somebody outside the region wants."""
    inside = set(region)
    values = [start, *(value for index in region for value in graph.nodes[index].outputs)]
    return [
        value
        for value in values
        if value in graph.outputs or any(r not in inside for r in graph.readers.get(value, ()))
    ]


def _no_larger(graph: Graph, value: str, than: str) -> bool:
    if value not in graph.values:
        return False
    return than not in graph.values or graph.values[value].nbytes() <= graph.values[than].nbytes()
