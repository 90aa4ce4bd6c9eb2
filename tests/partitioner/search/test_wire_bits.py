"""What was measured to lose too much is sent by nobody: the search, the plan and all that plans agree."""

from math import inf
from statistics import mode

import numpy as np
import pytest

from partitioner.bundle.bundle import Bundle
from partitioner.network.link import Link
from partitioner.planning.plan import plan
from partitioner.planning.selection import select
from partitioner.planning.tiers import plan_tiers
from partitioner.profiles.profile import Profile
from partitioner.search.explorer import answer_on, best_on, search_bundle
from partitioner.search.survivors import Assumption, Loss, assumptions
from partitioner.search.wire_bits import WireBits, measured_bits
from partitioner.simulation.demand import demands_of
from partitioner.simulation.sweep import Grid, sweep
from tests.kit.calibrations import losing
from tests.kit.graphs import graph_of
from tests.kit.profiles import additive

BITS = {"q2": 2, "q4": 4}
UPLINKS = tuple(np.geomspace(1e4, 1e9, 21).tolist())
RTTS = (0.0, 0.001, 0.005, 0.02)


@pytest.fixture(scope="module")
def profiles(residual_bundle: Bundle) -> tuple[Profile, Profile]:
    """Machines on which heads and tails take what their nodes take, the cloud 20 times as fast."""
    rng = np.random.default_rng(3)
    node_s = rng.lognormal(-6, 1, len(graph_of(residual_bundle).nodes)).tolist()
    bundle = losing(residual_bundle, {})
    return additive(bundle, node_s, BITS), additive(bundle, [s / 20 for s in node_s], BITS)


@pytest.fixture(scope="module")
def exact(residual_bundle: Bundle, profiles: tuple[Profile, Profile]) -> str:
    """The cut that two bits would make best most often."""
    harmless = losing(residual_bundle, {"q2": 0.0})
    best = [plan(harmless, Link(up, up, 0.001), *profiles).best for up in UPLINKS]
    return mode(option.cut for option in best if option.codec == "q2")


@pytest.fixture(scope="module")
def bundle(residual_bundle: Bundle, exact: str) -> Bundle:
    """Two bits lose 12 points everywhere but at one cut, four lose half a point."""
    return losing(residual_bundle, {"q2": 12.0, "q4": 0.5}, {(exact, "q2"): 0.25})


@pytest.mark.parametrize("accuracy_drop", [None, 0.1, 20.0])
def test_search_names_what_the_plan_names_on_every_link(
    bundle: Bundle, profiles: tuple[Profile, Profile], accuracy_drop: float | None
) -> None:
    named = set()
    made = plan(bundle, Link(1e6, 1e6, 0), *profiles, accuracy_drop=accuracy_drop)
    swept = sweep(made, Grid((1.0,), (1.0,), RTTS, UPLINKS))
    choices = iter(swept.choices.ravel())
    for rtt_s in RTTS:
        for uplink in UPLINKS:
            link = Link(uplink, uplink, rtt_s)
            planned = plan(bundle, link, *profiles, accuracy_drop=accuracy_drop)
            best = select(planned).best.option
            answer = answer_on(
                bundle, *profiles, link, (None, 8.0, 2.0), accuracy_drop=accuracy_drop
            )
            assert answer.option == best == planned.best
            assert swept.labels[next(choices)] == best.label
            assert best.label in demands_of(planned)
            if answer.lacking:
                assert answer.lacking.cut is None
                assert answer.lacking.total_s < best.total_s
            named.add(best.codec)
    assert ("q2" in named) == (accuracy_drop != 0.1)
    assert len(named) > 1 or accuracy_drop == 0.1


def test_near_edge_that_is_not_there_changes_no_choice(
    bundle: Bundle, profiles: tuple[Profile, Profile]
) -> None:
    """Over a link that costs nothing to a near edge without speed, tiers choose as the plan does."""
    edge, cloud = profiles
    for uplink in UPLINKS:
        link = Link(uplink, uplink, 0.001)
        best = plan(bundle, link, edge, cloud).best
        free = Link(1e15, 1e15, 0.0)
        tiers = plan_tiers(bundle, (link, free), (edge, edge.scaled(1e6), cloud))
        assert (tiers[0].first, tiers[0].codecs[0]) == (best.cut, best.codec)


def test_cut_that_loses_too_much_is_not_best_by_so_few_bits(
    bundle: Bundle, profiles: tuple[Profile, Profile], exact: str
) -> None:
    link, asked = Link(1e6, 1e8, 0.001), assumptions((None, 8.0, 2.0), (1.0, 4.0), (1.0,))
    spared = {spec.name for spec in bundle.cut(exact).frontier}
    known = [{spec.name for spec in cut.frontier} for cut in bundle.manifest.cuts]
    found = search_bundle(bundle, *profiles, link, asked)
    wins = [(one.cut.frontier, win) for one in found for win in one.wins]
    low = [(at, win) for at, win in wins if win.assumption.bits == 2.0 and set(at) in known]
    assert low
    for at, win in low:
        assert win.bits == (2.0 if set(at) == spared else 4.0)
        assert win.loss is Loss.ALLOWED
    assert all(win.loss is Loss.UNKNOWN for at, win in wins if win.bits and set(at) not in known)
    wider = search_bundle(bundle, *profiles, link, asked, accuracy_drop=20.0)
    assert any(
        win.bits == 2.0 and set(one.cut.frontier) in known and set(one.cut.frontier) != spared
        for one in wider
        for win in one.wins
    )


def test_best_cut_of_all_pays_for_the_bits_that_its_accuracy_takes(
    bundle: Bundle, profiles: tuple[Profile, Profile]
) -> None:
    # Of a cut of the bundle, the seconds of nodes are what was timed, so the prices agree.
    for uplink in UPLINKS:
        link = Link(uplink, uplink, 0.001)
        found = best_on(bundle, *profiles, link, Assumption(2.0))
        if found.cut is not None:
            timed = [o for o in plan(bundle, link, *profiles).options if o.cut == found.cut]
            assert min(o.total_s for o in timed) == pytest.approx(found.total_s, rel=1e-6)


def test_value_takes_the_fewest_bits_of_the_cuts_that_it_crosses() -> None:
    known = WireBits(
        {frozenset("ab"): 6.0, frozenset("a"): inf, frozenset("c"): 2.0},
        {"a": 6.0, "b": 6.0, "c": 2.0},
    )
    assert known.at(("b", "a")) == 6.0
    assert known.at(("d",)) is None
    assert known.is_understated(("a",), 2.0)  # priced at 6 bits, which only both together may take
    assert not known.is_understated(("a", "b"), 2.0)
    assert not known.is_understated(("c",), 8.0)


def test_cut_where_everything_loses_too_much_sends_exact_values(residual_bundle: Bundle) -> None:
    lost = measured_bits(losing(residual_bundle, {"q2": 12.0, "q4": 3.0}))
    assert set(lost.cuts.values()) == {inf}
    assert set(measured_bits(losing(residual_bundle, {"q4": 3.0}), 5.0).cuts.values()) == {4.0}
    assert measured_bits(residual_bundle).cuts == {}
