"""Minimum cuts and envelopes against exhaustive search, on random DAGs with seeds."""

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from partitioner.network.link import Link
from partitioner.search.placement import Flow, Workload, placement_cost
from partitioner.search.solver import Search
from protos.errors import UsageError
from tests.kit.random_workloads import all_placements, price_by_hand, random_link, random_work

EXACT = 1e-6


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.slow
def test_best_of_two_tiers_is_that_of_exhaustive_search(seed: int) -> None:
    rng = np.random.default_rng(seed)
    for _ in range(600):
        work = random_work(rng)
        link, loads = random_link(rng), (10 ** rng.uniform(-1, 1), 10 ** rng.uniform(-1, 1))
        least = min(price_by_hand(work, p, [link], loads) for p in all_placements(work))
        found = Search(work).best([link], loads)
        assert found.tier in set(all_placements(work))
        assert found.total_s == pytest.approx(least, rel=EXACT)
        assert price_by_hand(work, found.tier, [link], loads) == pytest.approx(found.total_s)


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.slow
def test_envelope_is_that_of_exhaustive_search(seed: int) -> None:
    rng = np.random.default_rng(100 + seed)
    for _ in range(150):
        work, link = random_work(rng, most=7), random_link(rng)
        loads = (1.0, 10 ** rng.uniform(-1, 1))
        lines = []
        for placement in all_placements(work):
            free = price_by_hand(work, placement, [replace(link, uplink_bps=math.inf)], loads)
            one = price_by_hand(work, placement, [replace(link, uplink_bps=8.0)], loads)
            lines.append((free, one - free))
        found = Search(work).envelope(link, loads)
        assert found[0].from_bps == 0
        assert math.isinf(found[-1].to_bps)
        assert [s.to_bps for s in found[:-1]] == [s.from_bps for s in found[1:]]
        ends = [s.to_bps for s in found[:-1]]
        inside = [math.sqrt(a * b) for a, b in pairwise(ends)]
        for uplink in [*ends, *inside, *(10 ** rng.uniform(0, 12, 20))]:
            at = next(s for s in found if s.from_bps <= uplink <= s.to_bps)
            mine = placement_cost(
                work, at.placement.tier, [replace(link, uplink_bps=uplink)], loads
            )
            least = min(fixed + 8 / uplink * size for fixed, size in lines)
            assert mine.total_s == pytest.approx(least, rel=EXACT)


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.slow
def test_best_of_three_tiers_is_that_of_exhaustive_search(seed: int) -> None:
    rng = np.random.default_rng(200 + seed)
    for _ in range(100):
        work = random_work(rng, tiers=3, most=6)
        links, loads = [random_link(rng), random_link(rng)], 10 ** rng.uniform(-1, 1, 3)
        least = min(price_by_hand(work, p, links, loads) for p in all_placements(work))
        found = Search(work).best(links, loads)
        assert found.tier in set(all_placements(work))
        assert found.total_s == pytest.approx(least, rel=EXACT)


def chain(*flows: Flow, edge: list[float], cloud: list[float]) -> Workload:
    """Items without answers."""
    return Workload(np.array([edge, cloud]), flows, np.zeros(len(edge)))


LINK = Link(8000.0, 8000.0, 0.5)
"""1 kB a second, so that bytes read as milliseconds."""


def test_value_with_two_readers_in_the_cloud_is_paid_once() -> None:
    # Item 0 makes 100 bytes for 1 and 2. Head {0}: 0.1 + 0.5 + 0.1 + 0 s = 0.7; input up: 0.5 + 5 = 5.5;
    # everything on the edge: 0.1 + 2 + 2 = 4.1. Paid twice, the head {0} would cost 0.8.
    work = chain(
        Flow(5000, None, (0,)), Flow(100, 0, (1, 2)), edge=[0.1, 2.0, 2.0], cloud=[0.0, 0.0, 0.0]
    )
    best = Search(work).best([LINK])
    assert best.tier == (0, 1, 1)
    assert best.upload_bytes == (100.0,)
    assert best.total_s == pytest.approx(0.7)


def test_frontier_of_two_values_wins_where_it_is_smallest() -> None:
    # Branches 1 and 2 shrink 4000 bytes to 50 each before 3 joins them: 0.3 + 0.5 + 0.1 s = 0.9 s.
    flows = [Flow(9000, None, (0,)), Flow(4000, 0, (1, 2)), Flow(50, 1, (3,)), Flow(50, 2, (3,))]
    work = chain(*flows, edge=[0.1, 0.1, 0.1, 9.0], cloud=[0.0] * 4)
    best = Search(work).best([LINK])
    assert best.head() == {0, 1, 2}
    assert best.upload_bytes == (100.0,)
    assert best.total_s == pytest.approx(0.9)


def test_output_made_in_the_head_does_not_cross() -> None:
    # Item 0 answers 3000 bytes itself; only the 10 of item 1 come down: 0 + 0.5 + 0.1 + 0.01 s.
    flows = (Flow(9000, None, (0,)), Flow(100, 0, (1,)))
    work = Workload(np.array([[0.0, 5.0], [0.0, 0.0]]), flows, np.array([3000.0, 10.0]))
    best = Search(work).best([LINK])
    assert best.tier == (0, 1)
    assert best.download_bytes == (10.0,)
    assert best.total_s == pytest.approx(0.61)


def test_round_trip_alone_can_make_the_edge_best() -> None:
    # The cloud saves 0.4 s and its 0 bytes are free, but a round trip takes 0.5.
    work = chain(Flow(0, None, (0,)), edge=[0.4], cloud=[0.0])
    assert Search(work).best([LINK]).tier == (0,)
    assert Search(work).best([replace(LINK, rtt_s=0.3)]).tier == (1,)


def test_value_that_cannot_cross_is_never_cut() -> None:
    flows = (Flow(9000, None, (0,)), Flow(math.inf, 0, (1,)), Flow(10, 1, (2,)))
    work = chain(*flows, edge=[0.0, 1.0, 9.0], cloud=[0.0] * 3)
    assert Search(work).best([LINK]).tier == (0, 0, 1)


def test_load_on_one_side_moves_the_work_to_the_other() -> None:
    work = chain(Flow(100, None, (0,)), edge=[1.0], cloud=[0.1])
    search = Search(work)
    assert search.best([LINK], (1.0, 1.0)).tier == (1,)  # 0.5 + 0.1 + 0.1 = 0.7 < 1
    assert search.best([LINK], (1.0, 5.0)).tier == (0,)  # 0.5 + 0.1 + 0.5 = 1.1 > 1
    assert search.best([LINK], (2.0, 5.0)).tier == (1,)


def test_cost_far_below_that_of_both_ends_is_still_found() -> None:
    # The ends cost 1e4 s and more, the cut between 2e-4: seven digits that one scale would round away.
    flows = [Flow(1e8, None, (0,)), Flow(1.0, 0, (1,)), Flow(0.8, 1, (2,)), Flow(1.0, 2, (3,))]
    edge, cloud = [1e-5, 1e-5, 1e-5, 1e4], [1e4, 1e-5, 1e-5, 1e-5]
    work = chain(*flows, edge=edge, cloud=cloud)
    best = Search(work).best([Link(8e4, 8e4, 0.0)])
    assert best.tier == (0, 0, 1, 1)
    assert best.total_s == pytest.approx(4e-5 + 0.8e-4, rel=1e-9)


@pytest.mark.parametrize("loads", [(1.0,), (0.0, 1.0), (1.0, math.inf)])
def test_loads_without_meaning_are_refused(loads: tuple[float, ...]) -> None:
    work = chain(Flow(100, None, (0,)), edge=[1.0], cloud=[0.1])
    with pytest.raises(UsageError, match="loads"):
        Search(work).best([LINK], loads)
