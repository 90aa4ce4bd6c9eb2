"""Loads: measured over profiled time, and how fast frames come."""

import numpy as np
import pytest

from partitioner.estimators.load_estimator import ArrivalRate, FadingMean, LoadEstimator


def test_load_is_the_ratio_of_measured_to_profiled() -> None:
    load = LoadEstimator()
    assert load.load(0.0) == 1.0
    for frame in range(20):
        load.add(0.06, 0.02, 0.1 * frame)
    # 40 ms more than profiled, of which an offset of 0.5 ms, as is likely, explains hardly any.
    assert load.load(1.9) == pytest.approx(3.0, rel=0.02)


def test_load_is_the_ridge_regression_of_stages_worked_by_hand() -> None:
    load = LoadEstimator(keep=1.0)
    load.add(0.003, 0.002, 0.0)
    load.add(0.013, 0.009, 0.0)
    # Deviations 0.1 + 0.1 · 2 = 0.3 ms and 0.1 + 0.1 · 9 = 1 ms; in ms, weights 1 / 0.09 = 11.1 and 1.
    # n = 11.1 + 1 + 1/0.5² = 16.1; Σp = 22.2 + 9 = 31.2; Σp² = 44.4 + 81 + 1/0.5² = 129.4;
    # y = 1 and 4: Σy = 11.1 + 4 = 15.1; Σpy = 22.2 + 36 = 58.2. The slope is
    # (16.1 · 58.2 − 31.2 · 15.1) / (16.1 · 129.4 − 31.2²) = 466 / 1109 = 0.42.
    assert load.load(0.0) == pytest.approx(1.42, abs=0.005)


def test_load_is_the_ridge_regression_of_stages_that_fade_with_frames_and_time() -> None:
    load, rows, seen_at = LoadEstimator(), [], 0.0
    for measured_s, profiled_s, now_s in [
        (0.003, 0.002, 0.0), (0.013, 0.009, 2.0), (0.0008, 0.0001, 2.5), (0.9, 0.004, 7.0),
        (0.021, 0.02, 30.0), (0.0095, 0.009, 31.0),
    ]:  # fmt: skip
        # Of what is beyond four times the load of before, and beyond 1 ms, nothing counts.
        counted_s = min(measured_s, max(4 * load.load(now_s) * profiled_s, 0.001))
        faded = 0.7 * 0.5 ** ((now_s - seen_at) / 10)
        rows = [(p, more, w * faded) for p, more, w in rows]
        rows.append((profiled_s, counted_s - profiled_s, (1e-4 + 0.1 * profiled_s) ** -2))
        load.add(measured_s, profiled_s, now_s)
        seen_at = now_s
        for later_s in (0.0, 4.0):
            stages, extra, weights = (np.array(column) for column in zip(*rows, strict=True))
            design = np.stack([np.ones_like(stages), stages], axis=1)
            weighed = design.T * weights * 0.5 ** (later_s / 10)
            ridge = np.diag([5e-4**-2, 0.5**-2])
            _, slope = np.linalg.solve(weighed @ design + ridge, weighed @ extra)
            assert load.load(now_s + later_s) == pytest.approx(1 + slope)


def test_constant_extra_of_a_short_stage_is_an_offset_and_no_load() -> None:
    load = LoadEstimator()
    for frame in range(50):
        load.add(0.0005, 0.0002, 0.1 * frame)  # 2.5 times its profile, by 0.3 ms
    assert load.load(5.0) < 1.3
    for frame in range(50):
        load.add(0.0005, 0.0002, 5 + 0.1 * frame)
        load.add(0.0103, 0.01, 5 + 0.1 * frame)  # the same 0.3 ms
    assert load.load(10.0) == pytest.approx(1.0, abs=0.02)


def test_load_stays_above_nothing() -> None:
    load = LoadEstimator(keep=1.0)
    for _ in range(50):
        load.add(0.011, 0.001, 0.0)  # ten times, so the long one below seems to take less than none
        load.add(0.0001, 0.1, 0.0)
    assert 0 < load.load(0.0) < 0.2


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


def test_mean_by_hand() -> None:
    mean = FadingMean()
    mean.add(1.0, 0.0)
    assert mean.value(0.0) == pytest.approx(0.2)  # a fifth of it
    mean.add(1.0, 5.0)  # half is left of that, 0.1, and a fifth of what lacks to 1 comes to it
    assert mean.value(5.0) == pytest.approx(0.1 + 0.2 * 0.9)
    assert mean.value(4.0) == mean.value(5.0)  # asked for a moment before the last


def test_period_by_hand() -> None:
    arrivals = ArrivalRate()
    periods = []
    # Gaps of 0.1 and 0.2; one of 9.7 counts four times 0.12 and 1 ms; a frame that is overtaken, nothing.
    for arrived_at in (0.0, 0.1, 0.3, 10.0, 9.9):
        arrivals.add(arrived_at)
        periods.append(arrivals.period_s)
    assert periods == [None, *(pytest.approx(each) for each in (0.1, 0.12, 0.1922, 0.1922))]
    # Asked for at 10.5, there at 10.6: 0.1, though 0.7 have passed since the frame before.
    arrivals.add(10.6, asked_at=10.5)
    assert arrivals.period_s == pytest.approx(0.1922 + 0.2 * (0.1 - 0.1922))


def test_period_is_that_of_the_frames() -> None:
    arrivals = ArrivalRate()
    assert arrivals.period_s is None
    for frame in range(30):
        arrivals.add(0.05 * frame, asked_at=0.05 * frame - 0.07)  # there was room all the time
    assert arrivals.period_s == pytest.approx(0.05)


@pytest.mark.parametrize("period_s", [0.1, 0.2])
def test_beat_of_a_camera_is_found_however_long_frames_take(period_s: float) -> None:
    """One frame at a time: the next is asked for when the one before is done, and comes with the beat."""
    rng, arrivals = np.random.default_rng(0), ArrivalRate()
    done_at = 0.0
    for frame in range(60):
        arrived_at = frame * period_s
        arrivals.add(arrived_at, asked_at=done_at)
        done_at = arrived_at + period_s * rng.uniform(0.3, 0.9)
    assert arrivals.period_s == pytest.approx(period_s)


def test_time_of_a_source_without_a_beat_is_found_however_long_frames_take() -> None:
    rng, arrivals = np.random.default_rng(0), ArrivalRate()
    done_at = 0.0
    for _ in range(60):
        arrived_at = done_at + 0.03
        arrivals.add(arrived_at, asked_at=done_at)
        done_at = arrived_at + rng.uniform(0.05, 0.15)
    assert arrivals.period_s == pytest.approx(0.03)


@pytest.mark.parametrize("between_s", [0.02, 0.2])
@pytest.mark.parametrize(("source_s", "period_s"), [(0.0, 0.0), (1e-4, 0.0), (0.01, 0.01)])
def test_period_is_what_the_source_takes_however_long_frames_wait_to_be_taken(
    between_s: float, source_s: float, period_s: float
) -> None:
    arrivals = ArrivalRate()
    for frame in range(40):
        arrivals.add(between_s * frame, asked_at=between_s * frame - source_s)
    assert arrivals.period_s == pytest.approx(period_s, rel=0.01)
