"""Allowances: the rate over any time, what may be taken at once, and what is larger than a bucket."""

from hypothesis import given
from hypothesis import strategies as st

from protos.serving.allowance import Allowance
from tests.kit.clocks import FakeClock


def took(allowance: Allowance, amount: float = 1.0) -> bool:
    if allowance.wait_s(amount) > 0:
        return False
    allowance.take(amount)
    return True


def test_what_one_second_brings_may_be_taken_at_once_and_no_more() -> None:
    clock = FakeClock()
    allowance = Allowance(5, clock=clock)
    assert [took(allowance) for _ in range(6)] == [True] * 5 + [False]
    assert allowance.wait_s() == 0.2  # one of five a second
    clock.now_s += 0.2
    assert [took(allowance) for _ in range(2)] == [True, False]
    clock.now_s += 3600
    assert [took(allowance) for _ in range(6)] == [True] * 5 + [False]


def test_one_request_a_minute_may_be_taken_at_once() -> None:
    clock = FakeClock()
    allowance = Allowance(1 / 60, clock=clock)
    assert took(allowance)
    assert allowance.wait_s() == 60


def test_what_is_larger_than_the_bucket_gets_through_and_is_paid_for() -> None:
    clock = FakeClock()
    allowance = Allowance(100, clock=clock)
    assert took(allowance, 1_000)  # of a full bucket of 100: 900 are owed
    assert allowance.wait_s(50) == 9.5  # 900 and 50 at 100 a second
    clock.now_s += 9.5
    assert took(allowance, 50)
    assert not took(allowance, 1)


@given(
    st.floats(0.1, 1e6),
    st.lists(st.tuples(st.floats(0, 3), st.floats(0, 2e6)), min_size=1, max_size=40),
)
def test_rate_is_kept_over_any_time(rate: float, asked: list[tuple[float, float]]) -> None:
    """All that is taken but the last fits what the bucket held and what came since."""
    clock = FakeClock(0.0)
    allowance = Allowance(rate, clock=clock)
    taken, before_last = 0.0, 0.0
    for pause_s, amount in asked:
        clock.now_s += pause_s
        if took(allowance, amount):
            before_last, taken = taken, taken + amount
            assert before_last <= (max(rate, 1.0) + clock.now_s * rate) * (1 + 1e-9)
