"""All cuts of a graph that are worth a name: closed under predecessors, small, and not dominated.

A cut is an order ideal of the DAG of groups. The ideals are walked level by level (by the number of
groups in the head); where parallel branches make them many, the ones with the smallest frontiers go on.
A chain with skips has one ideal a level, so there the walk is complete.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from partitioner.common.defaults import MAX_CUTS
from partitioner.graph.graph import Graph
from partitioner.graph.groups import group_nodes
from protos.errors import ModelError

_BEAM = 96
"""Ideals kept on one level."""

_LARGE = 16
_MIDDLE = (0.05, 0.95)
"""A frontier is small if it has at most 16 times the bytes of the inputs as float32, or of the smallest
frontier in the middle of the work: at its ends, a pooled vector says nothing about the layers between."""

_SAME_WORK = 0.01
_NEAR_WORK = 0.08
"""Shares of the model's operations within which two cuts count as the same, and as neighbours."""


@dataclass(frozen=True)
class FoundCut:
    """The nodes of a head, the values that cross, their bytes for one sample, and the head's work."""

    head: frozenset[int] = field(repr=False)
    frontier: tuple[str, ...]
    nbytes: int
    flops: int


@dataclass(frozen=True)
class _Ideal:
    """A set of groups (as bits) closed under predecessors: its open values, work, and what may follow."""

    groups: int
    open_values: tuple[str, ...]
    nbytes: int
    flops: int
    ready: frozenset[int]


class _Lattice:
    """The DAG of groups, with what a step from one ideal to the next needs at hand."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.groups = group_nodes(graph)
        home = {node: at for at, group in enumerate(self.groups) for node in group}
        self.before = [0] * len(self.groups)
        self.after: list[set[int]] = [set() for _ in self.groups]
        self.readers = {value: _bits(home[r] for r in rs) for value, rs in graph.readers.items()}
        for value, node in graph.producer.items():
            for reader in graph.readers.get(value, ()):
                if home[reader] != home[node]:
                    self.before[home[reader]] |= 1 << home[node]
                    self.after[home[node]].add(home[reader])
        self.flops = [sum(graph.nodes[node].flops for node in group) for group in self.groups]
        self.outputs = [
            [value for node in group for value in graph.nodes[node].outputs]
            for group in self.groups
        ]

    def start(self) -> _Ideal:
        ready = frozenset(at for at, before in enumerate(self.before) if not before)
        values = tuple(value for value in self.graph.inputs if self.readers.get(value))
        return _Ideal(0, values, self._bytes(values), 0, ready)

    def step(self, ideal: _Ideal, group: int) -> _Ideal:
        groups = ideal.groups | 1 << group
        values = tuple(
            value
            for value in (*ideal.open_values, *self.outputs[group])
            if self.readers.get(value, 0) & ~groups
        )
        opened = {at for at in self.after[group] if not self.before[at] & ~groups}
        ready = (ideal.ready | opened) - {group}
        return _Ideal(groups, values, self._bytes(values), ideal.flops + self.flops[group], ready)

    def cut(self, ideal: _Ideal) -> FoundCut:
        head = frozenset(
            node for at, group in enumerate(self.groups) if ideal.groups >> at & 1 for node in group
        )
        return FoundCut(head, self.graph.frontier(head), ideal.nbytes, ideal.flops)

    def _bytes(self, values: Sequence[str]) -> int:
        known = self.graph.values
        return sum(known[value].nbytes() for value in values if value in known)


def find_cuts(graph: Graph, max_cuts: int = MAX_CUTS) -> tuple[FoundCut, ...]:
    """Return the interior cuts of `graph`, from the input to the output.

    Raises ModelError when there is none.
    """
    lattice = _Lattice(graph)
    ideals = _walk(lattice)
    limit = _limit(graph, ideals)
    small = [ideal for ideal in ideals if ideal.nbytes <= limit]
    near = _NEAR_WORK
    chosen = _undominated(lattice, small, near)
    while len(chosen) > max_cuts:
        near *= 1.5
        chosen = _thinned(_undominated(lattice, small, near), near, graph.flops)
    if not chosen:
        raise ModelError(
            f"the model has no cut: its {len(graph.nodes)} nodes are one group that a runtime fuses, or "
            "what would cross cannot (it is no tensor of numbers, or its shape depends on the data). "
            "Run it whole on either side, or import a model with more layers."
        )
    return tuple(lattice.cut(ideal) for ideal in chosen)


def _limit(graph: Graph, ideals: Sequence[_Ideal]) -> float:
    inputs = [graph.values[name] for name in graph.inputs if name in graph.values]
    as_floats = sum(max(spec.nbytes(), 4 * math.prod(spec.sized())) for spec in inputs)
    low, high = (share * graph.flops for share in _MIDDLE)
    middle = [ideal for ideal in ideals if low <= ideal.flops <= high] or ideals
    return _LARGE * max(as_floats, min((ideal.nbytes for ideal in middle), default=0))


def _bits(positions: Iterable[int]) -> int:
    mask = 0
    for position in positions:
        mask |= 1 << position
    return mask


def _walk(lattice: _Lattice) -> list[_Ideal]:
    """Return the ideals between nothing and everything whose frontier can cross."""
    level = [lattice.start()]
    found: list[_Ideal] = []
    for _ in range(len(lattice.groups) - 1):
        following: dict[int, _Ideal] = {}
        for ideal in level:
            for group in ideal.ready:
                key = ideal.groups | 1 << group
                if key not in following:
                    following[key] = lattice.step(ideal, group)
        level = sorted(following.values(), key=lambda ideal: (ideal.nbytes, ideal.groups))[:_BEAM]
        found += [ideal for ideal in level if _can_cross(lattice.graph, ideal)]
    return found


def _can_cross(graph: Graph, ideal: _Ideal) -> bool:
    values = ideal.open_values
    return bool(values) and all(value in graph.values for value in values)


def _undominated(lattice: _Lattice, ideals: Sequence[_Ideal], near: float) -> list[_Ideal]:
    """Drop a cut if another has no more bytes at the same work, or if neighbours on both sides have fewer.

    Between two such neighbours no linear price of work and bytes ever favours it. The two ends drop
    others and stay out of the answer.
    """
    total = max(lattice.graph.flops, 1)
    kept = [lattice.start(), _Ideal(-1, (), 0, lattice.graph.flops, frozenset())]
    for ideal in sorted(ideals, key=lambda i: (i.nbytes, len(i.open_values), -i.flops, i.groups)):
        gaps = [(other, (other.flops - ideal.flops) / total) for other in kept]
        same = any(abs(gap) <= _SAME_WORK for other, gap in gaps if other.nbytes <= ideal.nbytes)
        fewer = [gap for other, gap in gaps if other.nbytes < ideal.nbytes]
        between = any(-near <= gap <= 0 for gap in fewer) and any(0 <= gap <= near for gap in fewer)
        if not (same or between):
            kept.append(ideal)
    return sorted(kept[2:], key=lambda ideal: (ideal.flops, ideal.nbytes))


def _thinned(ideals: Sequence[_Ideal], near: float, flops: int) -> list[_Ideal]:
    """Of those within `near` / 2 of each other's work, keep the smallest."""
    kept: list[_Ideal] = []
    for ideal in sorted(ideals, key=lambda ideal: (ideal.nbytes, ideal.flops)):
        if all(abs(ideal.flops - other.flops) > near / 2 * flops for other in kept):
            kept.append(ideal)
    return sorted(kept, key=lambda ideal: (ideal.flops, ideal.nbytes))
