"""Heads that a graph allows, as order ideals of the DAG of its groups, walked level by level.

The level is the number of groups in the head. A chain with skips has one ideal a level, and a few branches
have few: there the walk is complete. Where branches make them many, one goes on of those with the same
bytes and the same work, and of these the 96 with the smallest frontiers. So a step of the walk takes the
same time however many branches there are, and all of it grows with the number of groups.
"""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from heapq import merge
from itertools import groupby, islice

from partitioner.graph.graph import Graph
from partitioner.graph.groups import group_nodes

BEAM = 96
"""Ideals kept on one level."""

_STEPS = 12 * BEAM
"""Steps to the next level that are all taken, to see whether they lead to more ideals than that."""


@dataclass(frozen=True, slots=True)
class Ideal:
    """A set of groups closed under predecessors, as the last of them and those before it.

    `nbytes` and `values` are of its frontier, of which `blocked` values cannot cross.
    """

    group: int
    before: "Ideal | None" = field(repr=False)
    nbytes: int
    values: int
    blocked: int
    flops: int


@dataclass(frozen=True, slots=True)
class Walk:
    """The ideals whose frontier can cross, and whether they are all that there are."""

    ideals: list[Ideal]
    complete: bool


_AFTER_ALL = 1 << 62
"""Beyond the number of any group."""

_Step = tuple[int, int, int]
"""What a group adds to the frontier's bytes and to the work, and its number."""


@dataclass(frozen=True, slots=True)
class _State:
    """An ideal of the current level: its groups as bits, and the steps from it in their order."""

    ideal: Ideal
    groups: int
    steps: list[_Step]


class Lattice:
    """The DAG of groups, with what a step from one ideal to the next needs at hand."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.groups = group_nodes(graph)
        home = {node: at for at, group in enumerate(self.groups) for node in group}
        readers = {value: {home[r] for r in rs} for value, rs in graph.readers.items()}
        self._readers = {value: _bits(found) for value, found in readers.items()}
        self._reads: list[list[str]] = [[] for _ in self.groups]
        self._makes: list[list[str]] = [[] for _ in self.groups]
        self._needs = [0] * len(self.groups)
        self._after: list[set[int]] = [set() for _ in self.groups]
        for value, found in readers.items():
            maker = home[graph.producer[value]] if value in graph.producer else None
            others = found - {maker}
            for group in others:
                self._reads[group].append(value)
            if maker is not None and others:
                self._makes[maker].append(value)
                self._after[maker] |= others
                for group in others:
                    self._needs[group] |= 1 << maker
        self._sizes = {
            value: graph.values[value].nbytes() if value in graph.values else 0 for value in readers
        }
        self._flops = [sum(graph.nodes[node].flops for node in group) for group in self.groups]

    def start(self) -> _State:
        """Return the ideal without a group."""
        values = [value for value in self.graph.inputs if self._readers.get(value)]
        ideal = Ideal(-1, None, self._bytes(values), len(values), self._blocked(values), 0)
        steps = sorted(self._step(at, 0) for at, needs in enumerate(self._needs) if not needs)
        return _State(ideal, 0, steps)

    def follow(self, state: _State, group: int) -> _State:
        """Return the ideal that has one group more."""
        groups, old = state.groups | 1 << group, state.ideal
        closed = [value for value in self._reads[group] if not self._readers[value] & ~groups]
        made = self._makes[group]
        ideal = Ideal(
            group,
            old,
            old.nbytes + self._bytes(made) - self._bytes(closed),
            old.values + len(made) - len(closed),
            old.blocked + self._blocked(made) - self._blocked(closed),
            old.flops + self._flops[group],
        )
        steps = state.steps.copy()
        del steps[bisect_left(steps, self._step(group, state.groups))]
        for other in self._last_readers(group, groups):
            if not self._needs[other] & ~state.groups:
                del steps[bisect_left(steps, self._step(other, state.groups))]
                insort(steps, self._step(other, groups))
        for other in self._after[group]:
            if not self._needs[other] & ~groups:
                insort(steps, self._step(other, groups))
        return _State(ideal, groups, steps)

    def nodes(self, ideal: Ideal) -> frozenset[int]:
        """Return the nodes of an ideal."""
        found: list[int] = []
        at: Ideal | None = ideal
        while at is not None and at.before is not None:
            found += self.groups[at.group]
            at = at.before
        return frozenset(found)

    def _step(self, group: int, groups: int) -> _Step:
        left = ~(groups | 1 << group)
        closed = [value for value in self._reads[group] if not self._readers[value] & left]
        more = self._bytes(self._makes[group]) - self._bytes(closed)
        return more, self._flops[group], group

    def _last_readers(self, group: int, groups: int) -> set[int]:
        """Return the groups that alone still read one of the values that `group` reads."""
        left = (self._readers[value] & ~groups for value in self._reads[group])
        return {bits.bit_length() - 1 for bits in left if bits and not bits & (bits - 1)}

    def _bytes(self, values: Iterable[str]) -> int:
        return sum(self._sizes[value] for value in values)

    def _blocked(self, values: Iterable[str]) -> int:
        return sum(value not in self.graph.values for value in values)


def walk(lattice: Lattice) -> Walk:
    """Return the ideals between nothing and everything whose frontier can cross."""
    level, complete = [lattice.start()], True
    found: list[Ideal] = []
    for _ in range(len(lattice.groups) - 1):
        chosen = _all_steps(level)
        if chosen is None:
            complete = False
            chosen = list(islice(_best_steps(level), BEAM))
        level = [lattice.follow(state, group) for state, group in chosen]
        found += [s.ideal for s in level if s.ideal.values and not s.ideal.blocked]
    return Walk(found, complete)


def _all_steps(level: list[_State]) -> list[tuple[_State, int]] | None:
    """Return a step to every ideal of the next level, the smallest first; None if they are too many."""
    if sum(len(state.steps) for state in level) > _STEPS:
        return None
    following = {
        state.groups | 1 << group: (state.ideal.nbytes + more, state, group)
        for state in reversed(level)
        for more, _, group in state.steps
    }
    if len(following) > BEAM:
        return None
    in_order = sorted(following.items(), key=lambda item: (item[1][0], item[0]))
    return [(state, group) for _, (_, state, group) in in_order]


def _best_steps(level: list[_State]) -> Iterator[tuple[_State, int]]:
    """Yield steps to ideals of the next level that differ in bytes or work, the smallest first."""
    found = merge(*(_kinds(at, state) for at, state in enumerate(level)))
    for _, same in groupby(found, key=lambda step: step[:2]):
        _, _, at, group = next(same)
        yield level[at], group


def _kinds(at: int, state: _State) -> Iterator[tuple[int, int, int, int]]:
    """Yield bytes and work after each step from `state`, and the step; one of those that are alike."""
    place, steps = 0, state.steps
    while place < len(steps):
        more, flops, group = steps[place]
        yield state.ideal.nbytes + more, state.ideal.flops + flops, at, group
        place = bisect_right(steps, (more, flops, _AFTER_ALL))


def _bits(positions: Iterable[int]) -> int:
    mask = 0
    for position in positions:
        mask |= 1 << position
    return mask
