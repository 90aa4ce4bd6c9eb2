"""Times that vary: their quantiles, and those of sums."""

import numpy as np
import pytest

from partitioner.profiles.paused_frames import frame_factors
from partitioner.profiles.variation import Variation, quantile_of_sum


@pytest.mark.parametrize("part", [0.0, 0.01, 0.13, 0.37, 0.5, 0.71, 0.99, 1.0])
def test_a_quantile_of_a_sum_is_that_of_all_pairs_of_values(part: float) -> None:
    rng = np.random.default_rng(0)
    here, there = (np.sort(1 + rng.exponential(spread, 1000)) for spread in (0.1, 0.4))
    wanted = np.quantile(np.add.outer((1 - part) * here, part * there), 0.95)
    sides = (1 - part, Variation(tuple(here))), (part, Variation(tuple(there)))
    assert quantile_of_sum(*sides, 0.95) == pytest.approx(wanted, rel=0.01)


def test_factors_are_on_the_median_and_sorted() -> None:
    assert frame_factors([0.03, 0.01, 0.02]) == pytest.approx((0.5, 1.0, 1.5))
