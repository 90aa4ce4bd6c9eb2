"""Loads: measured over profiled time, and how fast frames come."""

import pytest

from partitioner.loads import ArrivalRate, FadingMean, LoadEstimator


def test_load_is_the_ratio_of_measured_to_profiled() -> None:
    load = LoadEstimator()
    assert load.load(0.0) == 1.0
    for frame in range(20):
        load.add(0.06, 0.02, 0.1 * frame)
    # The prior of 1 ms at load 1 stands beside sums of 20 / (1 − 0.7) = 67 ms: (1 + 200) / (1 + 67).
    assert load.load(1.9) == pytest.approx(3.0, rel=0.05)


def test_long_stage_counts_for_more_than_a_short_one() -> None:
    load = LoadEstimator()
    for frame in range(20):
        load.add(0.02, 0.02, 0.1 * frame)
        load.add(0.0004, 0.0001, 0.1 * frame)  # four times its profile, and all of it noise
    assert load.load(2.0) < 1.1


def test_change_is_followed_within_a_few_frames() -> None:
    load = LoadEstimator()
    for frame in range(20):
        load.add(0.02, 0.02, 0.1 * frame)
    for frame in range(20, 25):
        load.add(0.06, 0.02, 0.1 * frame)
    assert 2.4 < load.load(2.4) <= 3.0


def test_single_interruption_counts_four_times_at_most() -> None:
    load = LoadEstimator()
    for frame in range(20):
        load.add(0.02, 0.02, 0.1 * frame)
    load.add(2.0, 0.02, 2.0)
    # A share of 0.3 counts fourfold: 0.7 + 0.3 * 4 = 1.9 at most, rather than 31.
    assert load.load(2.0) <= 1.95


def test_load_is_forgotten_when_nothing_is_seen() -> None:
    load = LoadEstimator(half_life_s=10.0)
    for frame in range(20):
        load.add(0.06, 0.02, 0.1 * frame)
    assert load.load(200.0) < 1.1


def test_stage_without_a_profile_teaches_nothing() -> None:
    load = LoadEstimator()
    load.add(1.0, 0.0, 0.0)
    assert load.load(0.0) == 1.0


def test_mean_follows_and_fades() -> None:
    mean = FadingMean(half_life_s=5.0)
    assert mean.value(3.0) == 0.0
    for frame in range(40):
        mean.add(0.08, 0.01 * frame)
    assert mean.value(0.39) == pytest.approx(0.08, rel=0.02)
    assert mean.value(5.39) == pytest.approx(0.04, rel=0.02)


def test_period_is_that_of_the_frames() -> None:
    arrivals = ArrivalRate()
    assert arrivals.period_s is None
    for frame in range(30):
        arrivals.add(0.05 * frame, 1, 4)
    assert arrivals.period_s == pytest.approx(0.05)


def test_period_is_zero_while_the_window_is_full() -> None:
    arrivals = ArrivalRate()
    for frame in range(20):
        arrivals.add(0.05 * frame, 4, 4)
    assert arrivals.period_s == 0.0
    for frame in range(20, 40):
        arrivals.add(0.05 * frame, 2, 4)
    assert arrivals.period_s == pytest.approx(0.05)
