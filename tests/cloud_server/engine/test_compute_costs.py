"""What runs are expected to take."""

import pytest

from cloud_server.engine.compute_costs import ComputeCosts


def test_newest_run_counts_for_a_fifth() -> None:
    costs = ComputeCosts()
    costs.add("m", rows=2, compute_s=0.02)
    costs.add("m", rows=1, compute_s=0.02)
    assert costs.predict("m", 10) == pytest.approx(10 * (0.8 * 0.01 + 0.2 * 0.02))


def test_run_that_was_held_up_counts_as_three_times_as_long() -> None:
    costs = ComputeCosts()
    costs.add("m", 1, 0.01)
    costs.add("m", 1, 5.0)
    assert costs.predict("m", 1) == pytest.approx(0.8 * 0.01 + 0.2 * 0.03)
