"""Placements as cuts of a flow network, so that the cheapest placement is a minimum cut.

Each link gives a layer in which every item stands on the near or the far side of it. An item that is near
in one layer is near in all later ones (an arc that no cut can pay for), so the layers name its tier:

    S ──load·s[last][i]──► i(last) ──load·s[t][i]──► … ──► i(0) ──load·s[0][i]──► T

and cutting that chain in one place pays for one tier (Ishikawa, PAMI 2003). A value v from p to readers
r has, in every layer, a vertex of its own, p ──8·bytes/uplink──► v ──∞──► r, so that it is paid once
however many read it, and r ──∞──► p keeps what lies before a link closed under predecessors. With two
tiers this is the network of DADS (Hu et al., INFOCOM 2019).
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array
from scipy.sparse.csgraph import breadth_first_order, maximum_flow

from partitioner.search.work import Floats, Work

_SCALE = 1 << 29
"""The library computes in 32-bit integers. The least cost known becomes this many units, and arcs that no
cut may pay for twice as many, which leaves room for a flow against them."""

_COARSE = 16
"""Solved once more in finer units if the answer costs this many times less than what was known."""

Ints = npt.NDArray[np.int64]
_SOURCE, _SINK = 0, 1


class SplitNetwork:
    """The network of one piece of work over its first `links` links; made once, solved at many prices."""

    def __init__(self, work: Work, links: int) -> None:
        self._work = work
        self._links = links
        items, flows = work.items, len(work.flows)
        self._layer = items + flows
        self._size = 2 + links * self._layer
        arcs = self._arcs()
        tails, heads = [tail for tail, _, _ in arcs], [head for _, head, _ in arcs]
        never = [np.full(len(tail), forbidden) for tail, _, forbidden in arcs]
        self._tail, self._head = np.concatenate(tails), np.concatenate(heads)
        self._never = np.concatenate(never)
        self._order = np.lexsort((self._head, self._tail))
        self._columns = self._head[self._order].astype(np.int32)
        counts = np.bincount(self._tail, minlength=self._size)
        self._starts = np.concatenate(([0], np.cumsum(counts))).astype(np.int32)

    def solve(self, seconds: Floats, crossing_s: Floats, known_s: float) -> tuple[int, ...]:
        """Return the tier of each item in the cheapest placement.

        `seconds[tier][item]` and `crossing_s[link][flow]` are prices in seconds, infinite where a value
        cannot cross. `known_s` is the price of some placement. Prices are rounded to 2^-29 of what the
        answer costs, times 16 at most, so the answer is exact to about 2e-8 for each arc that it cuts.
        """
        prices = self._prices(seconds, crossing_s)
        near = np.ones(self._size, bool)
        while known_s > 0:
            near = self._near(prices, _SCALE / known_s)
            cut = near[self._tail] & ~near[self._head]
            found_s = float(prices[cut].sum())
            if found_s * _COARSE >= known_s:
                return self._tiers(near)
            known_s = found_s
        return self._tiers(near)

    def _vertex(self, link: int, item: Ints) -> Ints:
        """Return the vertices of items at a link; the model's input (-1) is the source."""
        return np.where(item < 0, _SOURCE, 2 + link * self._layer + item)

    def _arcs(self) -> list[tuple[Ints, Ints, bool]]:
        """Return tails and heads of the arcs in the order of `_prices`, and whether a cut may never pay."""
        items = np.arange(self._work.items)
        flows = self._work.flows
        makers = np.array([-1 if f.maker is None else f.maker for f in flows], np.int64)
        read = np.array([r for f in flows for r in f.readers], np.int64)
        source = np.repeat(np.arange(len(flows)), [len(f.readers) for f in flows])
        back = np.unique(np.stack([read, makers[source]])[:, makers[source] >= 0], axis=1)
        last = self._links - 1
        arcs = [(np.full_like(items, _SOURCE), self._vertex(last, items), False)]
        for link in range(last, 0, -1):
            arcs.append((self._vertex(link, items), self._vertex(link - 1, items), False))
        arcs.append((self._vertex(0, items), np.full_like(items, _SINK), False))
        own = np.arange(len(flows)) + self._work.items
        for link in range(self._links):
            arcs.append((self._vertex(link, makers), self._vertex(link, own), False))
        for link in range(self._links):
            arcs.append((self._vertex(link, own[source]), self._vertex(link, read), True))
            arcs.append((self._vertex(link, back[0]), self._vertex(link, back[1]), True))
        for link in range(1, self._links):
            arcs.append((self._vertex(link - 1, items), self._vertex(link, items), True))
        return arcs

    def _prices(self, seconds: Floats, crossing_s: Floats) -> Floats:
        tiers = [seconds[tier] for tier in range(self._links, -1, -1)]
        crossings = [crossing_s[link] for link in range(self._links)]
        prices = np.full(len(self._never), np.inf)
        prices[~self._never] = np.concatenate([*tiers, *crossings])
        return prices

    def _near(self, prices: Floats, units_per_s: float) -> npt.NDArray[np.bool_]:
        """Return the vertices on the source's side of a minimum cut."""
        capacities = np.minimum(np.rint(prices * units_per_s), 2 * _SCALE)[self._order]
        network = csr_array(
            (capacities.astype(np.int32), self._columns, self._starts), shape=(self._size,) * 2
        )
        residual = network - maximum_flow(network, _SOURCE, _SINK).flow
        residual.eliminate_zeros()
        near = np.zeros(self._size, bool)
        near[breadth_first_order(residual, _SOURCE, return_predecessors=False)] = True
        return near

    def _tiers(self, near: npt.NDArray[np.bool_]) -> tuple[int, ...]:
        layers = near[2:].reshape(self._links, self._layer)[:, : self._work.items]
        return tuple((~layers).sum(axis=0).tolist())


def crossing_prices(work: Work, uplinks_bps: Sequence[float]) -> Floats:
    """Return the seconds that each flow takes to cross each link; infinite where it cannot."""
    sizes = np.array([flow.nbytes for flow in work.flows])
    uplinks = np.array(uplinks_bps)[:, None]
    return np.where(np.isinf(sizes), np.inf, 8 * np.where(np.isinf(sizes), 0, sizes) / uplinks)
