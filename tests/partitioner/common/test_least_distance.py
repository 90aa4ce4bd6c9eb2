"""The nearest ordered point, against quadratic programming and against the known algorithm for chains."""

import numpy as np
import pytest
from scipy.optimize import minimize, nnls
from sklearn.isotonic import isotonic_regression

from partitioner.common.least_distance import (
    Floats,
    nearest_ordered,
    nonnegative_least_squares,
)


def ordered(
    values: Floats,
    weights: Floats,
    pairs: list[tuple[int, int]],
    tolerances: Floats | None = None,
) -> Floats:
    """The point with the least sum of weights · (x - values)²."""
    sure = np.sqrt(weights)
    return nearest_ordered(np.diag(sure), sure * values, pairs, tolerances)


def by_quadratic_program(
    values: Floats, weights: Floats, pairs: list[tuple[int, int]], tolerances: Floats
) -> Floats:
    limits = [
        {"type": "ineq", "fun": lambda x, i=i, j=j, slack=slack: x[j] + slack - x[i]}
        for (i, j), slack in zip(pairs, tolerances, strict=True)
    ]
    found = minimize(
        lambda x: float((weights / weights.max() * (x - values) ** 2).sum()),
        values,
        constraints=limits,
        method="SLSQP",
        options={"ftol": 1e-14, "maxiter": 500},
    )
    return np.asarray(found.x)


@pytest.mark.parametrize("seed", range(40))
def test_random_partial_orders_are_projected_on_exactly(seed: int) -> None:
    rng = np.random.default_rng(seed)
    count = int(rng.integers(2, 9))
    ranked = rng.permutation(count).tolist()
    pairs = [(i, j) for at, i in enumerate(ranked) for j in ranked[at + 1 :] if rng.random() < 0.5]
    values, weights = rng.normal(size=count), rng.uniform(0.1, 10, count) * 10 ** rng.uniform(-6, 6)
    tolerances = rng.uniform(0, 0.3, len(pairs)) * (rng.random(len(pairs)) < 0.5)
    found = ordered(values, weights, pairs, tolerances)
    np.testing.assert_allclose(
        found, by_quadratic_program(values, weights, pairs, tolerances), atol=1e-6
    )
    assert all(
        found[i] <= found[j] + t + 1e-12 for (i, j), t in zip(pairs, tolerances, strict=True)
    )


def test_chain_is_what_pooling_adjacent_violators_gives() -> None:
    rng = np.random.default_rng(1)
    values = 1e-3 * (np.linspace(0, 1, 30) + rng.normal(0, 0.2, 30))
    weights = rng.uniform(1e5, 1e9, 30)
    pairs = [(i, j) for i in range(30) for j in range(i + 1, 30)]
    wanted = isotonic_regression(values, sample_weight=weights)
    np.testing.assert_allclose(ordered(values, weights, pairs), wanted, rtol=1e-9)


def test_two_that_contradict_each_other_meet_where_their_weights_balance() -> None:
    # 3 · (x - 5)² + 1 · (x - 1)² is least at (15 + 1) / 4 = 4.
    found = ordered(np.array([5.0, 1.0]), np.array([3.0, 1.0]), [(0, 1)])
    assert found == pytest.approx([4.0, 4.0])
    # With a tolerance of 2: x and x - 2, and 3 · (x - 5)² + (x - 3)² is least at (15 + 3) / 4 = 4.5.
    found = ordered(np.array([5.0, 1.0]), np.array([3.0, 1.0]), [(0, 1)], np.array([2.0]))
    assert found == pytest.approx([4.5, 2.5])


def test_equation_between_values_moves_them_by_how_unsure_they_are() -> None:
    # x + y is known to be 6, ten times as well as x = 1 and y = 3: (x - 1)² + (y - 3)² + 100 (x + y - 6)² is
    # least where both are moved by d with d + 100 (2 d - 2) = 0.
    rows = np.array([[1.0, 0.0], [0.0, 1.0], [10.0, 10.0]])
    moved = 200 / 201
    free = nearest_ordered(rows, np.array([1.0, 3.0, 60.0]), [])
    assert free == pytest.approx([1 + moved, 3 + moved])
    # With y <= x both are equal, and 2 x² - 8 x + 10 + 100 (2 x - 6)² is least where 402 x = 1204.
    tied = nearest_ordered(rows, np.array([1.0, 3.0, 60.0]), [(1, 0)])
    assert tied == pytest.approx([1204 / 402] * 2)


def test_what_keeps_to_the_order_is_left_as_it_is() -> None:
    values = np.array([1.0, 2.0, 2.0])
    assert ordered(values, np.ones(3), [(0, 1), (1, 2)]) == pytest.approx(values)
    assert ordered(values, np.ones(3), []) == pytest.approx(values)


@pytest.mark.parametrize("seed", range(5))
def test_nonnegative_least_squares_are_those_of_the_library(seed: int) -> None:
    rng = np.random.default_rng(seed)
    matrix, target = rng.normal(size=(8, 12)), rng.normal(size=8)
    found = nonnegative_least_squares(matrix, target)
    wanted, residual = nnls(matrix, target)
    assert np.linalg.norm(matrix @ found - target) == pytest.approx(residual, abs=1e-9)
    assert found.min() >= 0
    assert wanted.min() >= 0
