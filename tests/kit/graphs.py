"""Graphs written by hand."""

from partitioner.bundle.bundle import Bundle
from partitioner.graph.graph import Graph, Node
from protos.tensors import TensorSpec


def make_graph(edges: dict[str, list[str]], sizes: dict[str, int], flops: int = 100) -> Graph:
    """One node a value, `Conv` unless its name says otherwise; `x` is the input, the last the output."""
    nodes = tuple(
        Node(name, name.split("_")[0] if "_" in name else "Conv", tuple(reads), (name,), flops)
        for name, reads in edges.items()
    )
    specs = {name: TensorSpec(name, "uint8", (-1, sizes.get(name, 100))) for name in ("x", *edges)}
    return Graph(nodes, ("x",), (list(edges)[-1],), specs)


def graph_of(bundle: Bundle) -> Graph:
    assert bundle.graph is not None
    return bundle.graph
