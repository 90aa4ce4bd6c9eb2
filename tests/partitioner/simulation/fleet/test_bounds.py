"""Bounds on a fleet: no run does better."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from partitioner.network.link import Link
from partitioner.network.trace import Trace
from partitioner.profiles.variation import Variation
from partitioner.simulation.demand import Demand
from partitioner.simulation.fleet.bounds import (
    keeps_up,
    least_mean,
    least_workers,
    unqueued_s,
)
from partitioner.simulation.fleet.fleet import Fleet
from partitioner.simulation.fleet.simulator import run_fleet

VARYING = Variation((0.8, 0.9, 1.0, 1.1, 1.9))
DEMAND = Demand("cut-01/raw", 0.1, 125_000, 0.05, 12_500)
FLEET = Fleet((DEMAND,), Trace.constant(Link(10e6, 10e6, 0.02)), 40, 0.5, 4, 1, duration_s=60.0)


def test_bounds_by_hand() -> None:
    # 0.1 + 1 Mbit / 10 Mbit/s + 0.02 + 0.05 + 0.1 Mbit / 10 Mbit/s.
    assert unqueued_s(FLEET) == pytest.approx(0.1 + 0.1 + 0.02 + 0.05 + 0.01)
    # 40 devices, 120 frames each in 60 s: 98 % but one of each are 4664 of 0.05 s, in 61 s: 3.82.
    assert least_workers(FLEET, 1.0) == 4
    # Batches of 5 at a fifth each for the further frames take (1 + 0.8) / 5 of it: 1.38.
    assert least_workers(replace(FLEET, batch=5, batch_cost=0.2), 1.0) == 2
    assert least_workers(replace(FLEET, demands=(Demand("edge", 0.1, 0, 0, 0),)), 1.0) == 0


def test_devices_and_uplinks_that_are_too_slow_do_not_keep_up() -> None:
    assert keeps_up(FLEET)
    assert not keeps_up(replace(FLEET, demands=(replace(DEMAND, edge_s=0.6),)))
    assert not keeps_up(replace(FLEET, share=8))  # 8 devices send 16 Mbit/s


def test_short_run_may_end_with_what_a_longer_one_could_not_carry_on() -> None:
    # A head of 0.55 s every 0.5 s: in 5 s, 4 of 10 frames may be left, and in 60 s, 6.2 of 120.
    slow = replace(FLEET, demands=(replace(DEMAND, edge_s=0.55),))
    assert not keeps_up(slow)
    assert keeps_up(replace(slow, duration_s=5.0))


def test_mean_over_few_frames_is_less_sure() -> None:
    assert least_mean(Variation(), 1) == 1.0
    # Evenly from 1 to 3: mean 2, deviation 2 / √12; 4 of its errors over 400 frames are 0.115.
    assert least_mean(Variation((1.0, 3.0)), 400) == pytest.approx(2 - 0.1155, abs=1e-3)
    assert least_mean(Variation((1.0, 3.0)), 2) == pytest.approx(1.0, abs=0.02)
    # exp(sigma² / 2)
    assert least_mean(Variation((), 0.3, 0.3), 1e9) == pytest.approx(1.046, rel=0.01)


@given(
    st.lists(
        st.builds(
            Demand, st.just("x"), st.floats(0.01, 0.7), st.sampled_from([0.0, 1e3, 5e4, 5e5]),
            st.floats(0.01, 0.4), st.sampled_from([100.0, 5e3]),
            edge_variation=st.sampled_from([Variation(), VARYING]),
            cloud_variation=st.sampled_from([Variation(), VARYING]),
        ),
        min_size=1,
        max_size=2,
    ),
    st.integers(1, 6),
    st.integers(1, 3),
    st.floats(0.1, 2.0),
    st.sampled_from([3.0, 10.0, 30.0]),
)  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_no_run_beats_the_bounds(
    demands: list[Demand], workers: int, share: int, p99_s: float, duration_s: float
) -> None:
    fleet = replace(
        FLEET,
        demands=tuple(demands),
        devices=6,
        workers=workers,
        share=share,
        duration_s=duration_s,
    )
    run = run_fleet(fleet)
    if run.keeps(p99_s):
        assert keeps_up(fleet)
        assert unqueued_s(fleet) <= p99_s
        assert least_workers(fleet, p99_s) <= workers
