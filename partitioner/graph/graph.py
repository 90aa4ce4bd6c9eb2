"""A model as a DAG of nodes and values: plain data, no runtime, no file format.

Constants (weights, and whatever is computed from weights alone) are not part of it: both sides have
them, so they never cross.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

from partitioner.common.units import plural
from protos.tensors import TensorSpec


@dataclass(frozen=True)
class Node:
    """One operation. `inputs` are the values it reads, also those that its subgraphs capture."""

    name: str
    op: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    flops: int
    layer: str = ""
    """The layer that it is of, as a person knows it, such as `features.4.body.6`; empty: unknown."""

    @property
    def title(self) -> str:
        """What a person calls it: its layer, or else its name."""
        return self.layer or self.name


@dataclass(frozen=True)
class Graph:
    """Nodes in topological order, the names of the model's inputs and outputs, and the known values.

    A value that is missing from `values` cannot cross (a sequence, text, a batch folded into another
    axis).
    """

    nodes: tuple[Node, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    values: Mapping[str, TensorSpec]

    def __repr__(self) -> str:
        nodes, values = plural(len(self.nodes), "node"), plural(len(self.values), "value")
        return f"<Graph of {nodes}, {values} that may cross>"

    @cached_property
    def producer(self) -> dict[str, int]:
        """Index of the node that makes each value; the model's inputs have none."""
        return {value: index for index, node in enumerate(self.nodes) for value in node.outputs}

    @cached_property
    def readers(self) -> dict[str, tuple[int, ...]]:
        """Indices of the nodes that read each value."""
        found: dict[str, list[int]] = {}
        for index, node in enumerate(self.nodes):
            for value in dict.fromkeys(node.inputs):
                found.setdefault(value, []).append(index)
        return {value: tuple(indices) for value, indices in found.items()}

    @property
    def flops(self) -> int:
        """Floating-point operations of the whole model for one sample."""
        return sum(node.flops for node in self.nodes)

    def frontier(self, head: Iterable[int]) -> tuple[str, ...]:
        """Return the values that the rest reads and `head` (closed under predecessors) has or gets.

        In the order in which they come to be: the model's inputs first.
        """
        inside = set(head)
        available = [*self.inputs, *(v for i in sorted(inside) for v in self.nodes[i].outputs)]
        return tuple(
            value
            for value in available
            if any(r not in inside for r in self.readers.get(value, ()))
        )

    def outputs_of(self, head: Iterable[int]) -> frozenset[str]:
        """Return the model's outputs that a head has by itself: inputs and constants among them too."""
        made = {None, *head}
        return frozenset(name for name in self.outputs if self.producer.get(name) in made)

    def head_before(self, values: Iterable[str]) -> frozenset[int]:
        """Return the nodes that `values` take to compute: the least head that has them."""
        found: set[int] = set()
        waiting = [self.producer[value] for value in values if value in self.producer]
        while waiting:
            node = waiting.pop()
            if node not in found:
                found.add(node)
                reads = self.nodes[node].inputs
                waiting += [self.producer[value] for value in reads if value in self.producer]
        return frozenset(found)

    def place(self, frontier: Iterable[str]) -> str:
        """Return where a frontier lies, in the words of the model: the layers that make its values."""
        names = [
            self.nodes[self.producer[value]].title if value in self.producer else value
            for value in frontier
        ]
        return ", ".join(dict.fromkeys(names))
