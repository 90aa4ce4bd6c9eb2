"""What every option would have come to on the same frames, and the best of all choices."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from partitioner.profiles.variation import Variation
from partitioner.simulation.demand import Demand, contending, pick
from partitioner.simulation.pipeline import Setup
from partitioner.simulation.replay import Fixed, run_clairvoyant, run_policy
from protos.errors import UnknownNameError
from tests.kit.traces import trace

SPLIT = Demand("cut-01/raw", 0.1, 125_000, 0.05, 12_500, finish_s=0.3)  # 1 Mbit up, 0.1 Mbit down
LOCAL = Demand("edge", 0.4, 0, 0, 0)


def test_options_are_compared_on_frames_that_are_late_alike() -> None:
    """A frame that wakes the device late does so whatever is chosen for it."""
    spread = Variation((0.5, 1.0, 3.0))
    split, local = (replace(demand, edge_variation=spread) for demand in (SPLIT, LOCAL))
    setup = Setup(trace((0, 10)), 9.0, 1, 8.0, seed=2)
    one, two = (run_policy(setup, Fixed(demand), 40).passages for demand in (split, local))
    for crossing, staying in zip(one, two, strict=True):
        assert crossing.demand.edge_s / 0.1 == pytest.approx(staying.demand.edge_s / 0.4)
        assert crossing.latency_s - crossing.demand.edge_s == pytest.approx(0.18)
    assert len({passage.demand.edge_s for passage in two}) == 40


def test_clairvoyant_is_never_worse_than_a_fixed_option_where_times_vary() -> None:
    spread = Variation((0.5, 1.0, 1.0, 4.0))
    demands = [
        replace(one, edge_variation=spread, cloud_variation=spread) for one in (SPLIT, LOCAL)
    ]
    setup = Setup(trace((0, 10), (2, 0.5), (6, 10)), 0.3, 3, 5.0, seed=6)
    best = run_clairvoyant(setup, demands, 30)
    for demand in demands:
        assert best.mean_s <= run_policy(setup, Fixed(demand), 30).mean_s + 1e-9


def test_only_options_that_can_win_are_weighed() -> None:
    worse = Demand("worse", 0.1, 125_001, 0.05, 12_500)
    twin = Demand("twin", 0.1, 125_000, 0.05, 12_500)
    assert contending([worse, SPLIT, LOCAL, twin]) == [SPLIT, LOCAL]
    assert pick({"edge": LOCAL}, ["edge"]) == [LOCAL]
    with pytest.raises(UnknownNameError, match=r"no option 'cut-9'. It has: edge"):
        pick({"edge": LOCAL}, ["cut-9"])


DEMANDS = st.lists(
    st.builds(
        Demand,
        st.uuids().map(str),
        st.floats(0.001, 0.3),
        st.sampled_from([0.0, 1e3, 2e4, 2e5]),
        st.floats(0.001, 0.2),
        st.just(1000.0),
        st.floats(0.01, 0.5),
    ),
    min_size=1,
    max_size=4,
)


@given(
    DEMANDS,
    st.lists(st.sampled_from([0.0, 0.2, 1.0, 5.0]), min_size=1, max_size=6),
    st.sampled_from([0.0, 0.05, 0.2, 1.0]),
    st.integers(1, 4),
)
@settings(max_examples=60)
def test_clairvoyant_is_never_worse_than_any_fixed_option(
    demands: list[Demand], rates: list[float], period_s: float, window: int
) -> None:
    made = trace(*((float(i), rate) for i, rate in enumerate([*rates, 1.0])), duration=9.0)
    setup = Setup(made, period_s, window, 2.0)
    best = run_clairvoyant(setup, demands, 12)
    assert len(best.passages) == 12
    for demand in demands:
        assert best.mean_s <= run_policy(setup, Fixed(demand), 12).mean_s + 1e-9


def test_clairvoyant_equals_the_best_of_all_choices_on_a_short_run() -> None:
    """Against exhaustive search: 2 options, 7 frames, 128 ways."""
    made = trace((0, 10), (0.7, 0.5), (2.0, 10))
    setup = Setup(made, 0.3, 3, 5.0)
    best = run_clairvoyant(setup, [SPLIT, LOCAL], 7)
    sums = []
    for bits in range(2**7):
        ways = [(SPLIT, LOCAL)[bits >> frame & 1] for frame in range(7)]

        class Script(Fixed):
            def choose(self, arrived_at: float, begun_at: float) -> Demand:
                return ways.pop(0)  # noqa: B023

        sums.append(run_policy(setup, Script(SPLIT), 7).mean_s)
    assert best.mean_s == pytest.approx(min(sums))
    assert {"edge", "cut-01/raw"} == set(best.shares)
    assert best.switches >= 1
