"""The cuts of a model that some link, load or codec makes best."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import product

from partitioner.graph.cuts import FoundCut
from partitioner.graph.graph import Graph
from partitioner.network.link import Link
from partitioner.search.placement import Placement, work_of
from partitioner.search.solver import Search
from partitioner.search.wire_bits import NOTHING_MEASURED, WireBits

DEFAULT_BITS: tuple[float | None, ...] = (None, 8.0, 2.0)
"""Activations as they are, by int8, and by a low-bit codec."""

DEFAULT_LOADS = (1.0, 4.0)
"""Machines that are alone, and that three others share."""


@dataclass(frozen=True)
class Assumption:
    """What one envelope is found for: bits of a float on the wire (None: as in memory), and the loads."""

    bits: float | None = None
    edge_load: float = 1.0
    cloud_load: float = 1.0

    @property
    def plainer(self) -> "Assumption | None":
        """The assumption that this one only scales; None if a machine is alone."""
        least = min(self.edge_load, self.cloud_load)
        if least <= 1:
            return None
        return Assumption(self.bits, self.edge_load / least, self.cloud_load / least)


class Loss(StrEnum):
    """What is known of what a cut loses by the bits that it sends."""

    NONE = "none"
    ALLOWED = "allowed"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Win:
    """The uplinks between which a cut is best under an assumption, and what it sends there.

    `bits` of a float (None: as in memory) are those of the assumption, or more where the cut was measured
    to lose too much by them.
    """

    assumption: Assumption
    from_bps: float
    to_bps: float
    bits: float | None = None
    loss: Loss = Loss.NONE

    def __str__(self) -> str:
        wire = "raw" if self.bits is None else f"{self.bits:.2g} bit"
        unsure = "?" * (self.loss is Loss.UNKNOWN)
        loads = (("edge", self.assumption.edge_load), ("cloud", self.assumption.cloud_load))
        return ", ".join(
            [f"{wire}{unsure}", *(f"{side} x{load:g}" for side, load in loads if load != 1)]
        )


@dataclass(frozen=True)
class Survivor:
    """A cut that is best somewhere; its predicted seconds on machines that are alone."""

    cut: FoundCut
    edge_s: float
    cloud_s: float
    wins: tuple[Win, ...]

    @property
    def reach(self) -> float:
        """How many times its uplink may grow until another cut is better, at most; to rank survivors."""
        return max(win.to_bps / win.from_bps if win.from_bps else math.inf for win in self.wins)


def assumptions(
    bits: Sequence[float | None] = DEFAULT_BITS,
    edge_loads: Sequence[float] = DEFAULT_LOADS,
    cloud_loads: Sequence[float] = DEFAULT_LOADS,
) -> tuple[Assumption, ...]:
    """Return every combination, the plainest first; one that only scales another is left out.

    Twice the load on both machines asks for what half the link and half the round trip do.
    """
    found = [Assumption(*values) for values in product(bits, edge_loads, cloud_loads)]
    return tuple(one for one in found if one.plainer not in found)


def find_survivors(
    graph: Graph,
    node_s: tuple[Sequence[float], Sequence[float]],
    link: Link,
    wanted: Sequence[Assumption],
    *,
    input_bytes: float | None = None,
    measured: WireBits = NOTHING_MEASURED,
) -> tuple[Survivor, ...]:
    """Return all interior cuts that are best on some uplink under one of the assumptions, by their work.

    `node_s` are the seconds of each node on the edge and in the cloud; `link` gives downlink and round
    trip. `input_bytes` is what the model's inputs take on the wire, where a codec makes that less. No cut
    sends fewer bits than `measured` has for it. One of several values that was priced at fewer is left out
    (its values may take them at other cuts), and what would be the next best there is not looked for.
    """
    wins: dict[tuple[str, ...], list[Win]] = {}
    cuts: dict[tuple[str, ...], FoundCut] = {}
    searches: dict[float | None, tuple[Search, tuple[tuple[int, ...], ...]]] = {}
    for one in wanted:
        if one.bits not in searches:
            work, groups = work_of(
                graph, node_s, bits=one.bits, input_bytes=input_bytes, least_bits=measured.values
            )
            searches[one.bits] = Search(work), groups
        search, groups = searches[one.bits]
        for stretch in search.envelope(link, (one.edge_load, one.cloud_load)):
            cut = found_cut(graph, groups, stretch.placement)
            if cut is not None and not measured.is_understated(cut.frontier, one.bits or math.inf):
                bits, loss = _sent(measured.at(cut.frontier), one.bits)
                win = Win(one, stretch.from_bps, stretch.to_bps, bits, loss)
                wins.setdefault(cut.frontier, []).append(win)
                cuts.setdefault(cut.frontier, cut)
    return tuple(
        sorted(
            (_survivor(cuts[at], node_s, wins[at]) for at in cuts),
            key=lambda survivor: (survivor.cut.flops, survivor.cut.nbytes),
        )
    )


def _sent(least: float | None, assumed: float | None) -> tuple[float | None, Loss]:
    """Return the bits that a cut sends where it needs `least`, and whether that loss is known."""
    if assumed is None or least == math.inf:
        return None, Loss.NONE
    if least is None:
        return assumed, Loss.UNKNOWN
    return max(assumed, least), Loss.ALLOWED


def found_cut(
    graph: Graph, groups: Sequence[tuple[int, ...]], placement: Placement
) -> FoundCut | None:
    """Return the cut of a placement on two machines; None for the ends, where nothing is cut."""
    head = frozenset(node for item in placement.head() for node in groups[item])
    frontier = graph.frontier(head)
    if not head or not frontier or any(value not in graph.values for value in frontier):
        return None
    return FoundCut(
        head=head,
        frontier=frontier,
        nbytes=sum(graph.values[value].nbytes() for value in frontier),
        flops=sum(graph.nodes[node].flops for node in head),
    )


def _survivor(
    cut: FoundCut, node_s: tuple[Sequence[float], Sequence[float]], wins: Sequence[Win]
) -> Survivor:
    edge, cloud = node_s
    return Survivor(
        cut=cut,
        edge_s=sum(edge[node] for node in cut.head),
        cloud_s=sum(seconds for node, seconds in enumerate(cloud) if node not in cut.head),
        wins=tuple(wins),
    )
