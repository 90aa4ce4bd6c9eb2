"""What makes the network small never changes what it answers."""

import numpy as np
import numpy.typing as npt
import pytest
from scipy.sparse import coo_array
from scipy.sparse.csgraph import maximum_flow

from partitioner.search.flow_network import SplitNetwork, crossing_prices
from partitioner.search.placement import Floats, Flow, Workload
from partitioner.search.precedence import Precedence
from tests.kit.random_workloads import all_placements, random_link, random_work


def needed(work: Workload) -> npt.NDArray[np.bool_]:
    """Return in row i what is computed before item i (Warshall's closure)."""
    before = np.zeros((work.items, work.items), bool)
    for flow in work.flows:
        if flow.maker is not None:
            before[list(flow.readers), flow.maker] = True
    for middle in range(work.items):
        before |= np.outer(before[:, middle], before[middle])
    return before


def total_s(work: Workload, placed: tuple[int, ...], crossing_s: Floats) -> float:
    """Return what the network prices: computing and crossings, no round trips and no answers."""
    total = sum(work.seconds[tier][item] for item, tier in enumerate(placed))
    for flow, prices in zip(work.flows, crossing_s.T, strict=True):
        start = 0 if flow.maker is None else placed[flow.maker]
        total += sum(prices[start : max(placed[reader] for reader in flow.readers)])
    return float(total)


def test_arcs_that_follow_from_others_are_left_out_and_no_others() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        work = random_work(rng, most=15)
        before, order = needed(work), Precedence(work)
        lone = Workload(
            work.seconds, tuple(Flow(1, maker, (i,)) for i, maker in order.needs), work.answer_bytes
        )
        assert (needed(lone) == before).all()
        assert not any(
            before[i, a] and before[a, maker] for i, maker in order.needs for a in range(work.items)
        )
        for flow, last in zip(work.flows, order.last_readers, strict=True):
            later = before[np.ix_(flow.readers, flow.readers)].any(axis=0)
            assert set(last) == {r for r, some in zip(flow.readers, later, strict=True) if not some}


@pytest.mark.parametrize(("tiers", "most", "graphs"), [(2, 6, 800), (3, 4, 200)])
@pytest.mark.slow
def test_tightest_bound_keeps_the_optimum(tiers: int, most: int, graphs: int) -> None:
    """Merged as far as the best placement's own price allows, less, or not at all: the same optimum."""
    rng = np.random.default_rng(300 + tiers)
    for _ in range(graphs):
        work = random_work(rng, tiers, most)
        links = [random_link(rng) for _ in range(tiers - 1)]
        network = SplitNetwork(work, tiers - 1)
        crossing_s = crossing_prices(work, [link.uplink_bps for link in links])

        least = min(total_s(work, placed, crossing_s) for placed in all_placements(work))
        known_s = max(least * rng.choice([1, 1, 10, 1000]), 1e-9)
        found = network.solve(work.seconds, crossing_s, known_s)
        assert total_s(work, found, crossing_s) == pytest.approx(least, rel=1e-6)


def unreduced_least(work: Workload, uplink_bps: float) -> int:
    """Return the least ms by the network of DADS as it is published: one vertex a value, all arcs."""
    never, items = 1 << 28, work.items
    arcs = {}
    for item in range(items):
        arcs[0, 2 + item] = round(1000 * work.seconds[1][item])
        arcs[2 + item, 1] = round(1000 * work.seconds[0][item])
    for at, flow in enumerate(work.flows, start=2 + items):
        maker = 0 if flow.maker is None else 2 + flow.maker
        arcs[maker, at] = round(min(8000 * flow.nbytes / uplink_bps, never))
        for reader in flow.readers:
            arcs[at, 2 + reader] = never
            if maker:
                arcs[2 + reader, maker] = never
    tails, heads = np.array(list(arcs)).T
    size = 2 + items + len(work.flows)
    capacities = np.array(list(arcs.values()), np.int32)
    network = coo_array((capacities, (tails, heads)), shape=(size, size)).tocsr()
    return int(maximum_flow(network, 0, 1).flow_value)


def test_optimum_of_larger_graphs_is_that_of_the_network_as_published() -> None:
    """Where exhaustive search cannot go: 100 DAGs of up to 60 items, prices in whole ms."""
    rng = np.random.default_rng(7)
    for _ in range(100):
        work = random_work(rng, most=60)
        seconds = np.stack([rng.integers(0, 1000, work.items), rng.integers(0, 300, work.items)])
        work = Workload(seconds / 1000, work.flows, np.zeros(work.items))
        uplink_bps = 8000.0 * 10 ** int(rng.integers(0, 3))  # 1, 10 or 100 bytes a ms
        rounded = [
            Flow(f.nbytes // 100 * 100, f.maker, f.readers) if np.isfinite(f.nbytes) else f
            for f in work.flows
        ]
        work = Workload(work.seconds, tuple(rounded), work.answer_bytes)
        crossing_s = crossing_prices(work, [uplink_bps])
        known_s = float(work.seconds[0].sum())
        found = SplitNetwork(work, 1).solve(work.seconds, crossing_s, known_s)
        total_ms = 1000 * total_s(work, found, crossing_s)
        assert total_ms == pytest.approx(unreduced_least(work, uplink_bps))


def test_what_no_cut_can_part_is_one_vertex() -> None:
    # A chain of 4 items, 1 s each on the edge, none in the cloud; values of 9, 9, 2, 9 s. Staying costs 4 s,
    # so the values of 9 s never cross: {source, 0, 1} | {2, 3}, the sink apart.
    flows = [
        Flow(size, at - 1 if at else None, (at,)) for at, size in enumerate((9.0, 9.0, 2.0, 9.0))
    ]
    work = Workload(np.array([[1.0] * 4, [0.0] * 4]), tuple(flows), np.zeros(4))
    network = SplitNetwork(work, 1)
    crossing_s = crossing_prices(work, [8.0])
    parts = network.parts(network.prices(work.seconds, crossing_s), known_s=4.0)
    source, sink, *items = parts.tolist()
    assert items[0] == items[1] == source
    assert items[2] == items[3]
    assert len({source, sink, items[2]}) == 3
    # With 0.9 s each: 3.6 s, or 1.8 + 2 = 3.8 s cut in the middle. With 1.1 s each: 4.4, or 4.2 s.
    assert network.solve(0.9 * work.seconds, crossing_s, 3.6) == (0, 0, 0, 0)
    assert network.solve(1.1 * work.seconds, crossing_s, 4.4) == (0, 0, 1, 1)
