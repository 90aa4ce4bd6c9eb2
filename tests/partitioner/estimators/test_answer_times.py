"""What answers take where no plan tells."""

import numpy as np
import pytest

from partitioner.estimators.answer_times import AnswerTimes


def test_few_answers_tell_nothing() -> None:
    times = AnswerTimes()
    for _ in range(4):
        times.add(0.06)
        assert times.mean_s is None
    times.add(0.06)
    assert times.mean_s == pytest.approx(0.06)


def test_half_of_the_answers_take_longer_than_the_mean_and_hardly_any_much_longer() -> None:
    times, rng = AnswerTimes(), np.random.default_rng(0)
    for seconds in rng.normal(0.06, 0.006, 200):
        times.add(seconds)
    assert times.chance_later(0.06) == pytest.approx(0.5, abs=0.15)
    assert times.chance_later(0.0) == 1.0
    assert times.chance_later(0.12) < 0.005
    assert times.chance_later(60.0) == pytest.approx(0.001)  # an outage


def test_answers_that_become_slower_are_followed() -> None:
    times = AnswerTimes()
    for seconds in [0.06] * 20 + [0.2] * 30:
        times.add(seconds)
    assert times.mean_s == pytest.approx(0.2, rel=0.05)
