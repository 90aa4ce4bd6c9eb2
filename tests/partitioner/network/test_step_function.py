"""Sums and changes of a function in steps, against counting by quarters."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from partitioner.network.step_function import AtEnd, Steps


@st.composite
def steps(draw: st.DrawFn) -> Steps:
    widths = draw(st.lists(st.integers(1, 8), min_size=1, max_size=5))
    values = draw(st.lists(st.integers(0, 4), min_size=len(widths), max_size=len(widths)))
    times = [sum(widths[:index]) for index in range(len(widths))]
    at_end: AtEnd = draw(st.sampled_from(["loop", "hold"]))
    return Steps(times, values, sum(widths), at_end)


@given(steps(), st.integers(0, 60), st.integers(1, 40))
def test_sums_equal_counting_by_quarters(made: Steps, start: int, amount: int) -> None:
    # Times and values are whole, so a grid of quarters is exact for starts at quarters.
    begin = start / 4
    grid = [made.at(begin + step / 4) / 4 for step in range(2000)]
    assert made.sum_within(begin, begin + 100) == pytest.approx(sum(grid[:400]))
    end = made.reaches(amount, begin)
    if math.isinf(end):
        assert sum(grid) < amount
        return
    assert end >= begin
    assert made.sum_within(begin, end) == pytest.approx(amount)
    counted = 0.0
    for step, part in enumerate(grid):
        if counted + part >= amount - 1e-9:  # the first quarter in which it is reached
            assert begin + step / 4 <= end + 1e-9 <= begin + (step + 1) / 4 + 2e-9
            return
        counted += part


@given(
    st.lists(st.floats(0.01, 3), min_size=1, max_size=6), st.integers(1, 9).map(lambda n: n / 10)
)
def test_every_round_changes_as_often_as_the_first(lengths: list[float], last: float) -> None:
    times = [0.0, *np.cumsum(lengths).tolist()]
    made, now, changes = Steps(times, [1.0] * len(times), times[-1] + last), 0.0, 0
    while (following := made.next_change(now)) < 20.5 * made.duration:
        assert following > now
        now, changes = following, changes + 1
    assert abs(changes - 20.5 * len(times)) <= len(times)


@given(steps(), st.integers(0, 60))
def test_next_change_is_the_next_beginning_of_a_step(made: Steps, start: int) -> None:
    begins = [
        time + round_ * made.duration
        for round_ in range(20)
        for time in made.times
        if made.at_end == "loop" or round_ == 0
    ]
    wanted = min((begin for begin in begins if begin > start / 4), default=math.inf)
    assert made.next_change(start / 4) == pytest.approx(wanted)
