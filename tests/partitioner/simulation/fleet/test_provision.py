"""The cheapest fleet: against exhaustive search over options and workers, and by hand."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from partitioner.network.link import Link
from partitioner.network.trace import Trace
from partitioner.planning.terms import Prices
from partitioner.profiles.variation import Variation
from partitioner.simulation.demand import Demand
from partitioner.simulation.fleet.figures import cost_a_month
from partitioner.simulation.fleet.fleet import Fleet
from partitioner.simulation.fleet.provision import Fate, Runs, provide
from partitioner.simulation.fleet.simulator import run_fleet, run_within
from protos.errors import InfeasibleError

VARYING = Variation((0.8, 0.9, 1.0, 1.1, 1.9))
UPLINKS = Trace.constant(Link(10e6, 10e6, 0.02))
LOCAL = Demand("edge", 0.4, 0.0, 0.0, 0.0)


def fleet_of(demand: Demand, devices: int = 4, **changes: object) -> Fleet:
    plain = Fleet((demand,), UPLINKS, devices, 0.5, 2, 1, duration_s=10.0)
    return replace(plain, **changes)


def attempt(fleet: Fleet, p99_s: float) -> Runs | None:
    found = run_within(fleet, p99_s)
    return (found,) if found else None


def measure(fleet: Fleet) -> Runs:
    return (run_fleet(fleet),)


def every(fleets: list[Fleet]) -> Iterator[Fleet]:
    for fleet in fleets:
        for workers in range(1, fleet.most_workers + 1):
            yield replace(fleet, workers=workers)


DEMANDS = st.builds(
    Demand,
    st.just("x"),
    st.floats(0.01, 0.5),
    st.sampled_from([0.0, 1e3, 2e4, 2e5]),
    st.floats(0.01, 0.5),
    st.sampled_from([100.0, 5e3]),
    edge_variation=st.sampled_from([Variation(), VARYING]),
    cloud_variation=st.sampled_from([Variation(), VARYING]),
)


@pytest.mark.parametrize("batch", [1, 3])
@given(
    st.lists(DEMANDS, min_size=1, max_size=4),
    st.sampled_from([0.15, 0.3, 0.6, 1.5]),
    st.sampled_from([Prices(1.0, 0.0), Prices(0.2, 5.0), Prices(0.0, 1.0)]),
)
@example([Demand("x", 0.25, 2e4, 0.01, 5e3)], 0.3, Prices(1.0, 0.0))  # 300 ms, but for rounding
@settings(max_examples=40, deadline=None)
def test_cheapest_is_that_of_exhaustive_search(
    batch: int, demands: list[Demand], p99_s: float, prices: Prices
) -> None:
    named = [replace(demand, label=f"o{place}") for place, demand in enumerate(demands)]
    fleets = [fleet_of(demand, 3, batch=batch, batch_cost=0.5) for demand in named]
    runs = [run_fleet(fleet) for fleet in every(fleets)]
    wanted = [cost_a_month(run, prices) for run in runs if run.keeps(p99_s)]
    if not wanted:
        with pytest.raises(InfeasibleError):
            provide(fleets, p99_s, prices, attempt, measure)
        return
    found = provide(fleets, p99_s, prices, attempt, measure)
    assert found.runs[0].keeps(p99_s)
    assert cost_a_month(found.runs[0], prices) == pytest.approx(min(wanted), rel=2e-6)
    assert len(found.considered) == len(fleets)


def test_more_workers_never_cost_less_by_what_a_run_ends_with() -> None:
    # With 3 workers one result more comes before the end of the 10 s than with 4.
    busy = Demand("o", 0.045, 200_000, 0.444, 5_000, edge_variation=VARYING)
    prices = Prices(0.2, 5.0)
    runs = [run_fleet(one) for one in every([fleet_of(busy, 3, batch=3, batch_cost=0.5)])]
    bills = [cost_a_month(run, prices) for run in runs if run.keeps(1.5)]
    # 6 frames a second of 205,000 bytes are 3232.44 GB in 730 hours.
    assert bills == pytest.approx(
        [146 * run.fleet.workers + 16162.2 for run in runs if run.keeps(1.5)]
    )


def test_workers_are_as_few_as_the_rate_needs() -> None:
    # 4 devices, 2 frames a second of 0.3 s each: 2.4 workers are busy all the time, so it takes 3.
    demand = Demand("cut-01/raw", 0.1, 1_000, 0.3, 100)
    found = provide([fleet_of(demand, varied=False)], 1.0, Prices(0.5), attempt, measure)
    assert found.fleet.workers == 3


def test_fleet_on_the_edge_needs_no_worker_and_beats_all_that_do() -> None:
    crossing = Demand("cut-01/raw", 0.1, 1_000, 0.05, 100)
    found = provide([fleet_of(crossing), fleet_of(LOCAL)], 0.6, Prices(0.5), attempt, measure)
    assert (found.fleet.label, found.fleet.paid_workers) == ("edge", 0)
    assert [one.fate for one in found.considered] == [Fate.CHOSEN, Fate.DEARER]
    assert found.considered[1].is_bound
    assert found.considered[1].cost_a_month == pytest.approx(0.5 * 730)


def test_of_equal_bills_the_faster_is_chosen_and_the_other_named() -> None:
    quick, slow = (
        Demand(name, edge_s, 1_000, 0.05, 100) for name, edge_s in (("q", 0.1), ("s", 0.3))
    )
    found = provide([fleet_of(slow), fleet_of(quick)], 0.6, Prices(0.5), attempt, measure)
    assert found.fleet.label == "q"
    assert [(one.fleet.label, one.fate) for one in found.considered[1:]] == [("s", Fate.EQUAL)]


def test_option_that_could_not_be_cheaper_is_not_simulated() -> None:
    tried: list[str] = []

    def counting(fleet: Fleet, p99_s: float) -> Runs | None:
        tried.append(fleet.label)
        return attempt(fleet, p99_s)

    heavy = Demand("heavy", 0.0, 1_000, 0.45, 100)
    light = Demand("light", 0.2, 1_000, 0.01, 100)
    late = Demand("late", 0.2, 1_000_000, 0.01, 100)  # 0.8 s on the uplink
    found = provide(
        [fleet_of(one) for one in (heavy, late, light)], 0.6, Prices(0.5), counting, measure
    )
    assert set(tried) == {"light"}
    assert {one.fleet.label: one.fate for one in found.considered} == {
        "light": Fate.CHOSEN, "heavy": Fate.DEARER, "late": Fate.BEHIND,
    }  # fmt: skip


def test_nearest_miss_is_named_where_nothing_keeps_the_p99() -> None:
    near, far = (
        Demand(name, edge_s, 1_000, 0.01, 100) for name, edge_s in (("n", 0.2), ("f", 0.4))
    )
    with pytest.raises(InfeasibleError, match="to 100 ms. The nearest is n: 2") as raised:
        provide([fleet_of(far), fleet_of(near)], 0.1, Prices(0.5), attempt, measure)
    assert raised.value.document["infeasible"]["nearest"]["options"] == ["n"]  # type: ignore[index]


def test_frame_rate_that_nothing_keeps_is_the_reason_given() -> None:
    slow = Demand("edge", 0.6, 0.0, 0.0, 0.0)
    with pytest.raises(
        InfeasibleError, match="no option keeps up with 2 frames a second of 4 devices"
    ):
        provide([fleet_of(slow)], 5.0, Prices(0.5), attempt, measure)
