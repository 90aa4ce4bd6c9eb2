"""All cuts of a graph that are worth a name: closed under predecessors, small, and not dominated.

The walk over the heads that branches allow stands in `ideals.py`; here those are chosen that differ.
"""

import math
from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from partitioner.common.defaults import MAX_CUTS
from partitioner.graph.graph import Graph
from partitioner.graph.ideals import BEAM, Ideal, Lattice, walk

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


def find_cuts(
    graph: Graph, max_cuts: int = MAX_CUTS, on_remark: Callable[[str], None] = lambda _: None
) -> tuple[FoundCut, ...]:
    """Return the interior cuts of `graph`, from the input to the output.

    `on_remark` hears where branches allow so many heads that not all were looked at. There is none where
    all nodes are one group that a runtime fuses, or where nothing that lies between may cross.
    """
    lattice = Lattice(graph)
    found = walk(lattice)
    if not found.complete:
        on_remark(
            "branches allow more cuts than can be listed; of the heads with the same number of nodes, the "
            f"{BEAM} with the smallest frontiers were followed. `splitpoint search` looks at all of them."
        )
    limit = _limit(graph, found.ideals)
    small = sorted(
        (ideal for ideal in found.ideals if ideal.nbytes <= limit),
        key=lambda ideal: (ideal.nbytes, ideal.values, -ideal.flops),
    )
    near = _NEAR_WORK
    chosen = _undominated(graph, small, near)
    while len(chosen) > max_cuts:
        near *= 1.5
        chosen = _thinned(_undominated(graph, small, near), near, graph.flops)
    return tuple(_cut(lattice, ideal) for ideal in chosen)


def _cut(lattice: Lattice, ideal: Ideal) -> FoundCut:
    head = lattice.nodes(ideal)
    return FoundCut(head, lattice.graph.frontier(head), ideal.nbytes, ideal.flops)


def _limit(graph: Graph, ideals: Sequence[Ideal]) -> float:
    inputs = [graph.values[name] for name in graph.inputs if name in graph.values]
    as_floats = sum(max(spec.nbytes(), 4 * math.prod(spec.sized())) for spec in inputs)
    total = graph.flops
    low, high = (share * total for share in _MIDDLE)
    middle = [ideal.nbytes for ideal in ideals if low <= ideal.flops <= high]
    return _LARGE * max(as_floats, min(middle or (ideal.nbytes for ideal in ideals), default=0))


def _undominated(graph: Graph, ideals: Sequence[Ideal], near: float) -> list[Ideal]:
    """Drop a cut if another has no more bytes at the same work, or if neighbours on both sides have fewer.

    Between two such neighbours no linear price of work and bytes ever favours it. `ideals` come with the
    smallest first. The two ends drop others and stay out of the answer.
    """
    total = max(graph.flops, 1)
    inputs = sum(graph.values[name].nbytes() for name in graph.inputs if name in graph.values)
    kept = [(0, inputs), (graph.flops, 0)]  # by their work
    chosen = []
    for ideal in ideals:
        work, size = ideal.flops, ideal.nbytes
        if any(found <= size for _, found in _within(kept, work, _SAME_WORK * total)):
            continue
        others = [other for other, found in _within(kept, work, near * total) if found < size]
        if not (others and others[0] <= work <= others[-1]):
            insort(kept, (work, size))
            chosen.append(ideal)
    return sorted(chosen, key=lambda ideal: (ideal.flops, ideal.nbytes))


def _within(kept: Sequence[tuple[int, int]], work: int, width: float) -> Sequence[tuple[int, int]]:
    """Return those of `kept` whose work differs by `width` at most."""
    return kept[bisect_left(kept, (work - width,)) : bisect_right(kept, (work + width, math.inf))]


def _thinned(ideals: Sequence[Ideal], near: float, flops: int) -> list[Ideal]:
    """Of those within `near` / 2 of each other's work, keep the smallest."""
    kept: list[Ideal] = []
    for ideal in sorted(ideals, key=lambda ideal: (ideal.nbytes, ideal.flops)):
        if all(abs(ideal.flops - other.flops) > near / 2 * flops for other in kept):
            kept.append(ideal)
    return sorted(kept, key=lambda ideal: (ideal.flops, ideal.nbytes))
