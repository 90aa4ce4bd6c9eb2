"""A placement problem: work to place on a row of machines, and the cost of a placement; plain data.

The machines (*tiers*) stand in a row, the device first and the cloud last, with a link between each and
the next. Workload is placed on them so that no value ever flows back.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt

from partitioner.graph.graph import Graph
from partitioner.graph.groups import group_nodes
from partitioner.network.link import Link
from protos.tensors import TensorSpec

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Flow:
    """A value that items read, and the item that makes it: None for an input of the model.

    `nbytes` is infinite where the value cannot cross.
    """

    nbytes: float
    maker: int | None
    readers: tuple[int, ...]


@dataclass(frozen=True)
class Workload:
    """Items in topological order: `seconds[tier][item]`, what flows between them, and what they answer.

    `answer_bytes[item]` are the bytes of the model's outputs that an item makes; they go back down to
    the first tier over every link between.
    """

    seconds: Floats = field(repr=False)
    flows: tuple[Flow, ...] = field(repr=False)
    answer_bytes: Floats = field(repr=False)

    @property
    def tiers(self) -> int:
        """The number of machines that the work has seconds for."""
        return int(self.seconds.shape[0])

    @property
    def items(self) -> int:
        """The number of pieces that are placed as wholes."""
        return int(self.seconds.shape[1])

    @cached_property
    def answers(self) -> float:
        """Bytes of all the model's outputs."""
        return float(self.answer_bytes.sum())

    def reaches(self, placed: Ints) -> tuple[Floats, Ints, Ints]:
        """Return the bytes of each flow, the tier that it starts on, and the farthest that reads it."""
        sizes, makers, readers, first = self._columns
        start = np.where(makers < 0, 0, placed[makers])
        return sizes, start, np.maximum.reduceat(placed[readers], first) if len(first) else start

    @cached_property
    def _columns(self) -> tuple[Floats, Ints, Ints, Ints]:
        """Bytes and maker (-1: none) of each flow, all their readers, and where those of each begin."""
        sizes = np.array([flow.nbytes for flow in self.flows], np.float64)
        makers = np.array([-1 if f.maker is None else f.maker for f in self.flows], np.int64)
        readers = np.array([reader for f in self.flows for reader in f.readers], np.int64)
        counts = np.array([0, *(len(flow.readers) for flow in self.flows)], np.int64)
        return sizes, makers, readers, np.cumsum(counts)[:-1]


@dataclass(frozen=True)
class Placement:
    """The tier of each item, and what that comes to; one entry a tier, and a link between tiers."""

    tier: tuple[int, ...] = field(repr=False)
    compute_s: tuple[float, ...]
    upload_bytes: tuple[float, ...]
    download_bytes: tuple[float, ...]
    total_s: float

    def head(self, link: int = 0) -> frozenset[int]:
        """Return the items before a link."""
        return frozenset(item for item, tier in enumerate(self.tier) if tier <= link)


def placement_cost(
    work: Workload, tier: Sequence[int], links: Sequence[Link], loads: Sequence[float]
) -> Placement:
    """Return what a placement costs: T = sum of load x seconds, + rtt + 8 up/uplink + 8 down/downlink.

    `loads[t]` multiplies the seconds of tier t. A link costs nothing if nothing lies behind it. A value
    crosses every link between its maker and its farthest reader, once (Hu et al., "DADS", INFOCOM 2019,
    with the round trip and the answer that it leaves out).
    """
    placed = np.asarray(tier, np.int64)
    compute = tuple(
        float(load * work.seconds[at][placed == at].sum()) for at, load in enumerate(loads)
    )
    sizes, start, end = work.reaches(placed)
    up = [float(sizes[(start <= link) & (link < end)].sum()) for link in range(len(links))]
    down = [float(work.answer_bytes[placed > link].sum()) for link in range(len(links))]
    network = sum(
        link.rtt_s + 8 * up[at] / link.uplink_bps + 8 * down[at] / link.downlink_bps
        for at, link in enumerate(links)
        if (placed > at).any()
    )
    return Placement(
        tuple(placed.tolist()), compute, tuple(up), tuple(down), sum(compute) + network
    )


def work_of(
    graph: Graph,
    node_s: Sequence[Sequence[float]],
    *,
    bits: float | None = None,
    input_bytes: float | None = None,
    least_bits: Mapping[str, float] | None = None,
) -> tuple[Workload, tuple[tuple[int, ...], ...]]:
    """Return the work of `graph`, whose items are groups of nodes that are never cut through, and these.

    `node_s[tier][node]` are the seconds of each node. `bits` is what a float takes on the wire (None: as
    many as it has in memory), `least_bits` what a value's floats take at least then, and `input_bytes` what
    all the model's inputs take together.
    """
    groups = group_nodes(graph)
    home = {node: at for at, group in enumerate(groups) for node in group}
    seconds = np.array([[sum(side[n] for n in group) for group in groups] for side in node_s])
    answers = np.zeros(len(groups))
    for name in graph.outputs:
        if name in graph.producer:
            answers[home[graph.producer[name]]] += graph.values[name].nbytes()
    plain = sum(graph.values[name].nbytes() for name in graph.inputs if name in graph.values)
    shrink = 1.0 if input_bytes is None or not plain else input_bytes / plain
    flows, least = [], least_bits or {}
    for name in (*graph.inputs, *graph.producer):
        maker = home[graph.producer[name]] if name in graph.producer else None
        readers = tuple(sorted({home[r] for r in graph.readers.get(name, ())} - {maker}))
        if readers:
            spec = graph.values.get(name)
            taken = bits if bits is None else max(bits, least.get(name, 0.0))
            size = (
                _wire_bytes(spec, taken) if maker is not None else shrink * _wire_bytes(spec, None)
            )
            flows.append(Flow(size, maker, readers))
    return Workload(seconds, tuple(flows), answers), groups


def _wire_bytes(spec: TensorSpec | None, bits: float | None) -> float:
    if spec is None:
        return math.inf
    if bits is None or not spec.dtype.startswith("float"):
        return float(spec.nbytes())
    return math.prod(spec.sized()) * min(bits / 8, np.dtype(spec.dtype).itemsize)
