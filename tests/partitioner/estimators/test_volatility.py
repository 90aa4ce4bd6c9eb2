"""How far a rate wanders, against random walks whose pace is known."""

import numpy as np
import pytest

from partitioner.estimators.volatility import Volatility


def walked(pace: float, noise: float, seconds: int = 300, seed: int = 0) -> float:
    """Follow a random walk, five readings a second."""
    rng = np.random.default_rng(seed)
    learned, level = Volatility(0.25, 0.05, 2.0), 0.0
    for tick in range(5 * seconds):
        level += pace * np.sqrt(0.2) * rng.standard_normal()
        learned.add(level + noise * rng.standard_normal(), noise * noise, 0.2 * tick)
    return learned.value


@pytest.mark.parametrize("pace", [0.2, 0.6, 1.2])
def test_pace_of_a_random_walk_is_found(pace: float) -> None:
    found = [walked(pace, 0.1, seed=seed) for seed in range(5)]
    assert np.mean(found) == pytest.approx(pace, rel=0.3)


def test_scatter_of_messages_is_no_wandering() -> None:
    assert walked(0.0, 0.2) < 0.12


def test_steady_link_is_known_to_be_one_and_never_less_than_the_least() -> None:
    assert walked(0.0, 0.0) == 0.05


def test_readings_far_apart_tell_as_much_as_close_ones() -> None:
    learned = Volatility(0.25, 0.05, 2.0)
    for step, level in enumerate((0.0, 1.0, 0.0, 1.0, 0.0, 1.0, 0.0, 1.0)):
        learned.add(level, 0.0, 25.0 * step)  # 1 in 25 s: 0.2 in the square root of one
    assert learned.value == pytest.approx(0.2, rel=0.05)


def test_another_link_is_not_compared_with_the_one_before() -> None:
    learned = Volatility(0.25, 0.05, 2.0)
    learned.add(0.0, 0.0, 0.0)
    learned.add(0.0, 0.0, 2.0)
    learned.forget()
    before = learned.value
    learned.add(5.0, 0.0, 4.0)
    learned.add(5.0, 0.0, 6.0)
    assert learned.value == before
