"""What runs are expected to take."""

import pytest

from cloud_server.engine.compute_costs import ComputeCosts


def known(row_s: float) -> ComputeCosts:
    costs = ComputeCosts()
    for _ in range(5):
        costs.add("m", rows=2, compute_s=2 * row_s)
    return costs


def test_newest_run_counts_for_a_fifth() -> None:
    costs = known(0.01)
    costs.add("m", rows=1, compute_s=0.02)
    assert costs.predict("m", 10) == pytest.approx(10 * (0.8 * 0.01 + 0.2 * 0.02))


def test_run_that_was_held_up_counts_as_three_times_as_long() -> None:
    costs = known(0.01)
    costs.add("m", 1, 5.0)
    assert costs.predict("m", 1) == pytest.approx(0.8 * 0.01 + 0.2 * 0.03)


def test_fastest_of_the_first_runs_counts_as_the_first_of_all_is_slow() -> None:
    costs = ComputeCosts()
    found = []
    for took_s in (0.5, 0.02, 0.01, 0.03):
        costs.add("m", 1, took_s)
        found.append(costs.predict("m", 1))
    assert found == [0.5, 0.02, 0.01, 0.01]
