"""Placements as cuts of a flow network, so that the cheapest placement is a minimum cut.

Each link gives a layer in which every item stands on the near or the far side of it. An item that is near
in one layer is near in all later ones (an arc that no cut can pay for), so the layers name its tier:

    S ──load·s[last][i]──► i(last) ──load·s[t][i]──► … ──► i(0) ──load·s[0][i]──► T

and cutting that chain in one place pays for one tier (Ishikawa, PAMI 2003). A value v from p to readers
r has, in every layer, a vertex of its own, p ──8·bytes/uplink──► v ──∞──► r, so that it is paid once
however many read it, and r ──∞──► p keeps what lies before a link closed under predecessors. With two
tiers this is the network of DADS (Hu et al., INFOCOM 2019).

Two reductions keep it small, and change no minimum cut. Arcs that follow from others are left out; so a
value whose readers all come before one of them needs no vertex: p ──8·bytes/uplink──► r. And what a
query can never part, because the arcs between cost more than a known placement, is one vertex to it.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array
from scipy.sparse.csgraph import breadth_first_order, connected_components, maximum_flow

from partitioner.search.placement import Floats, Ints, Workload
from partitioner.search.precedence import Precedence

_SCALE = 1 << 29
"""The library computes in 32-bit integers. The least cost known becomes this many units, and arcs that no
cut may pay for twice as many, which leaves room for a flow against them."""

_COARSE = 16
"""Solved once more in finer units if the answer costs this many times less than what was known."""

_ROUNDING = 1e-9
"""Sums of the same prices in another order differ by less than this share."""

_SOURCE, _SINK = 0, 1


class SplitNetwork:
    """The network of one piece of work over its first `links` links; made once, solved at many prices."""

    def __init__(self, work: Workload, links: int) -> None:
        self._work = work
        self._links = links
        order = Precedence(work)
        shared = [readers for readers in order.last_readers if len(readers) > 1]
        self._layer = work.items + len(shared)
        self._size = 2 + links * self._layer
        arcs = self._arcs(order, shared)
        self._tail = np.concatenate([tail for tail, _, _ in arcs])
        self._head = np.concatenate([head for _, head, _ in arcs])
        self._never = np.concatenate([np.full(len(tail), never) for tail, _, never in arcs])

    def solve(self, seconds: Floats, crossing_s: Floats, known_s: float) -> tuple[int, ...]:
        """Return the tier of each item in the cheapest placement.

        `seconds[tier][item]` and `crossing_s[link][flow]` are prices in seconds, infinite where a value
        cannot cross. `known_s` is the price of some placement (0: of all on the first tier). Prices are
        rounded to 2^-29 of what the answer costs, times 16 at most, so the answer is exact to about 2e-8
        for each arc that it cuts.
        """
        prices = self.prices(seconds, crossing_s)
        near = np.ones(self._size, bool)
        while known_s > 0:
            near = self._near(prices, known_s)
            cut = near[self._tail] & ~near[self._head]
            found_s = float(prices[cut].sum())
            if found_s * _COARSE >= known_s:
                break
            known_s = found_s
        layers = near[2:].reshape(self._links, self._layer)[:, : self._work.items]
        return tuple((~layers).sum(axis=0).tolist())

    def parts(self, prices: Floats, known_s: float) -> Ints:
        """Return for each vertex the number of the part that no cut of `known_s` at most divides.

        Vertices that arcs dearer than that join in a circle are on one side.
        """
        dear = prices > known_s * (1 + _ROUNDING)
        arcs = coo_array(
            (np.ones(dear.sum(), np.int8), (self._tail[dear], self._head[dear])),
            shape=(self._size,) * 2,
        )
        _, part = connected_components(arcs, connection="strong")
        return np.asarray(part, np.int64)

    def _vertex(self, link: int, item: Ints) -> Ints:
        """Return the vertices of items at a link; the model's input (-1) is the source."""
        return np.where(item < 0, _SOURCE, 2 + link * self._layer + item)

    def _arcs(
        self, order: Precedence, shared: Sequence[tuple[int, ...]]
    ) -> list[tuple[Ints, Ints, bool]]:
        """Return tails and heads of the arcs in the order of `prices`, and whether a cut may never pay.

        Arcs from all items back to the source and from the sink to all change no cut; they close the
        circles of what stands on one side of every cut.
        """
        items = np.arange(self._work.items)
        makers = np.array([-1 if f.maker is None else f.maker for f in self._work.flows], np.int64)
        own = iter(range(self._work.items, self._layer))
        payer = [r[0] if len(r) == 1 else next(own) for r in order.last_readers]
        readers = np.array([r for some in shared for r in some], np.int64)
        hub = self._work.items + np.repeat(np.arange(len(shared)), [len(r) for r in shared])
        item, maker = np.array(order.needs, np.int64).reshape(-1, 2).T
        source, sink = np.full_like(items, _SOURCE), np.full_like(items, _SINK)
        last = self._links - 1
        arcs = [(source, self._vertex(last, items), False)]
        for link in range(last, 0, -1):
            arcs.append((self._vertex(link, items), self._vertex(link - 1, items), False))
        arcs.append((self._vertex(0, items), sink, False))
        for link in range(self._links):
            to = self._vertex(link, np.array(payer, np.int64))
            arcs.append((self._vertex(link, makers), to, False))
        for link in range(self._links):
            arcs.append((self._vertex(link, hub), self._vertex(link, readers), True))
            arcs.append((self._vertex(link, item), self._vertex(link, maker), True))
            arcs.append((self._vertex(link, items), source, True))
            arcs.append((sink, self._vertex(link, items), True))
        for link in range(1, self._links):
            arcs.append((self._vertex(link - 1, items), self._vertex(link, items), True))
        return arcs

    def prices(self, seconds: Floats, crossing_s: Floats) -> Floats:
        tiers = [seconds[tier] for tier in range(self._links, -1, -1)]
        crossings = [crossing_s[link] for link in range(self._links)]
        prices = np.full(len(self._never), np.inf)
        prices[~self._never] = np.concatenate([*tiers, *crossings])
        return prices

    def _near(self, prices: Floats, known_s: float) -> npt.NDArray[np.bool_]:
        """Return the vertices on the source's side of a minimum cut."""
        part = self.parts(prices, known_s)
        source, sink = int(part[_SOURCE]), int(part[_SINK])
        tail, head = part[self._tail], part[self._head]
        kept = (tail != head) & (head != source) & (tail != sink)
        units = np.minimum(prices[kept] / known_s, 2) * _SCALE
        network = coo_array(
            (units, (tail[kept], head[kept])), shape=(int(part.max()) + 1,) * 2
        ).tocsr()
        network.data = np.minimum(np.rint(network.data), 2 * _SCALE).astype(np.int32)
        residual = network - maximum_flow(network, source, sink).flow
        residual.eliminate_zeros()
        near = np.zeros(residual.shape[0], bool)
        near[breadth_first_order(residual, source, return_predecessors=False)] = True
        return near[part]


def crossing_prices(work: Workload, uplinks_bps: Sequence[float]) -> Floats:
    """Return the seconds that each flow takes to cross each link; infinite where it cannot."""
    sizes = np.array([flow.nbytes for flow in work.flows])
    uplinks = np.array(uplinks_bps)[:, None]
    return np.where(np.isinf(sizes), np.inf, 8 * np.where(np.isinf(sizes), 0, sizes) / uplinks)
