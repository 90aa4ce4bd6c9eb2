"""The cuts that some link and load make best, against trying them all."""

from collections.abc import Callable

import numpy as np
import pytest

from partitioner.bundle.bundle import Bundle
from partitioner.graph.cuts import find_cuts
from partitioner.network.link import Link
from partitioner.search.placement import placement_cost, work_of
from partitioner.search.solver import Search
from partitioner.search.survivors import Assumption, Survivor, Win, assumptions, find_survivors
from tests.kit.graphs import graph_of

LINK = Link(1e6, 1e8, 0.001)


@pytest.mark.parametrize("name", ["inception", "two_towers", "unet"])
@pytest.mark.slow
def test_no_cut_beats_the_survivors_anywhere(name: str, bundles: Callable[[str], Bundle]) -> None:
    """At every link and load asked for, a survivor or an end costs what the minimum cut costs."""
    graph = graph_of(bundles(name))
    rng = np.random.default_rng(len(name))
    edge = tuple(rng.lognormal(-4, 1, len(graph.nodes)).tolist())
    seconds = (edge, tuple(second / 20 for second in edge))
    asked = assumptions((None, 4.0), (1.0, 3.0), (1.0, 3.0))
    survivors = find_survivors(graph, seconds, LINK, asked, input_bytes=5000.0)
    assert survivors
    for one in asked:
        work, groups = work_of(graph, seconds, bits=one.bits, input_bytes=5000.0)
        loads = (one.edge_load, one.cloud_load)
        tiers = [[0] * work.items, [1] * work.items]
        for survivor in survivors:
            tiers.append([int(not set(group) <= survivor.cut.head) for group in groups])
        for uplink in 10 ** rng.uniform(3, 10, 30):
            link = Link(uplink, LINK.downlink_bps, LINK.rtt_s)
            least = min(placement_cost(work, tier, [link], loads).total_s for tier in tiers)
            assert least == pytest.approx(Search(work).best([link], loads).total_s, rel=1e-6)
    for survivor in survivors:
        assert survivor.cut.frontier == graph.frontier(survivor.cut.head)
        assert survivor.edge_s == pytest.approx(sum(edge[node] for node in survivor.cut.head))
        assert all(win.from_bps < win.to_bps for win in survivor.wins)


def test_bits_and_input_bytes_change_what_crosses(residual_bundle: Bundle) -> None:
    graph = graph_of(residual_bundle)
    seconds = [[1.0] * len(graph.nodes)] * 2
    plain, _ = work_of(graph, seconds)
    small, _ = work_of(graph, seconds, bits=8.0, input_bytes=99.0)
    for before, after in zip(plain.flows, small.flows, strict=True):
        expected = 99.0 if before.maker is None else before.nbytes / 4
        assert after.nbytes == pytest.approx(expected)


def test_loads_that_scale_each_other_are_asked_once() -> None:
    asked = assumptions((None,), (1.0, 4.0), (1.0, 4.0))
    assert [(one.edge_load, one.cloud_load) for one in asked] == [(1, 1), (1, 4), (4, 1)]
    # Nothing asked for is what these scale.
    assert len(assumptions((None,), (2.0,), (2.0, 4.0))) == 2
    assert assumptions((2.0,), (3.0,), (3.0,)) == (Assumption(2.0, 3.0, 3.0),)


def test_reach_ranks_by_the_widest_stretch(residual_bundle: Bundle) -> None:
    cut = find_cuts(graph_of(residual_bundle))[0]
    wins = (Win(Assumption(), 1e6, 2e6), Win(Assumption(8.0), 1e6, 5e6))
    assert Survivor(cut, 1.0, 1.0, wins).reach == 5.0
