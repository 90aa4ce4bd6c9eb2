"""When a frame is hedged, and how many are: against distributions whose even moment is known."""

import math
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from partitioner.estimators.link_estimate import Outage
from partitioner.policy.hedges import (
    HedgeBudget,
    Hedging,
    answer_later,
    hedge_after_s,
    usually_later,
)
from protos.errors import UsageError
from tests.kit.plans import CLOUD, seen


def fixed(answer_s: float, outage: float = 0.0) -> Callable[[float], float]:
    """An answer that always takes so long, but for outages."""
    return lambda seconds: 1.0 if seconds < answer_s else outage


def lomax(shape: float, scale_s: float) -> Callable[[float], float]:
    return lambda seconds: (1 + seconds / scale_s) ** -shape


def logistic(mean_s: float, scale_s: float, outage: float) -> Callable[[float], float]:
    def later(seconds: float) -> float:
        lasting = 0.5 * (1 - math.tanh((seconds - mean_s) / scale_s / 2))
        return outage + (1 - outage) * lasting

    return later


def test_memoryless_answer_is_hedged_at_once_or_never() -> None:
    # Half of what remains takes longer than ln 2 · mean, whenever one looks: 69.3 ms of 100 ms.
    def later(seconds: float) -> float:
        return math.exp(-seconds / 0.1)

    assert hedge_after_s(later, 0.069) == 0.0
    assert hedge_after_s(later, 0.070) is None


@pytest.mark.parametrize("finish_s", [0.05, 0.13, 0.9])
def test_heavy_tail_is_hedged_when_the_median_of_the_rest_is_the_local_run(finish_s: float) -> None:
    # Lomax: the median of the rest at t is (t + scale) · (2^(1/shape) − 1).
    shape, scale_s = 3.0, 0.1
    exact_s = finish_s / (2 ** (1 / shape) - 1) - scale_s
    assert hedge_after_s(lomax(shape, scale_s), finish_s) == pytest.approx(exact_s, rel=0.002)


def test_answer_that_never_varies_is_hedged_once_it_is_late() -> None:
    assert hedge_after_s(fixed(0.060, outage=0.01), 0.130) == pytest.approx(0.060, rel=0.01)
    assert hedge_after_s(fixed(0.060), 0.130) is None  # nothing is ever late
    assert hedge_after_s(fixed(0.060), 0.050) == 0.0  # the device is always first


def test_plateau_between_two_modes_is_found_and_one_that_is_too_short_is_not_taken() -> None:
    # Nine of ten answers come at 50 ms, the others at 500 ms: after 50 ms there are 450 ms to go.
    def later(seconds: float) -> float:
        return 1.0 if seconds < 0.05 else 0.1 if seconds < 0.5 else 0.0

    assert hedge_after_s(later, 0.2) == pytest.approx(0.05, rel=0.01)
    assert hedge_after_s(later, 0.6) is None


@settings(max_examples=50)
@given(
    st.floats(0.005, 2.0),
    st.floats(0.02, 1.0),
    st.floats(0.0, 0.1),
    st.floats(0.005, 2.0),
)
def test_moment_is_the_first_that_a_fine_search_finds(
    mean_s: float, spread: float, outage: float, finish_s: float
) -> None:
    later = logistic(mean_s, spread * mean_s, outage)
    even = (
        at_s
        for at_s in (step * mean_s / 100 for step in range(2_000))
        if later(at_s + finish_s) >= 0.5 * later(at_s) and later(at_s) > 1e-6
    )
    first_s, found_s = next(even, None), hedge_after_s(later, finish_s)
    if first_s is not None:
        assert found_s == pytest.approx(first_s, abs=0.02 * mean_s + finish_s / 1000)
    elif found_s is not None:
        assert found_s >= 19 * mean_s


def test_answers_that_come_as_usual_are_not_hedged_however_quick_the_device_is() -> None:
    # Half of the share is for these: one in ten answers is later than 60 + 6 · ln 9 = 73.2 ms.
    later = logistic(0.060, 0.006, 0.0)
    assert hedge_after_s(later, 0.003) == 0.0
    assert Hedging(most_share=0.2).after_s(later, 0.003) == pytest.approx(0.0732, rel=0.01)
    # Of the answers that come, where three of ten meet an outage.
    bad = logistic(0.060, 0.006, 0.3)
    assert Hedging(most_share=0.2).after_s(bad, 0.003) == pytest.approx(0.0732, rel=0.01)
    assert Hedging(most_share=0.0).after_s(logistic(0.060, 0.006, 0.0), 0.003) is None


def test_frame_behind_messages_that_are_stuck_is_late_as_any_other() -> None:
    usual, behind = logistic(0.060, 0.006, 0.001), logistic(0.680, 0.068, 0.001)
    alone_s = Hedging().after_s(usual, 0.130)
    late_s = Hedging().after_s(behind, 0.130, usual)
    # The device would be first at once: so it is hedged once its answer is late, and not 10 times as late.
    assert late_s == pytest.approx(0.0732, rel=0.01)
    assert alone_s is not None
    assert alone_s > late_s


def test_frame_in_an_outage_that_is_known_is_hedged_no_later_than_any_other() -> None:
    usual = seen(8.0)
    calm = replace(usual, link=replace(usual.link, noise=0.1, outage=Outage(0.01, 1.0, 0.001)))
    out = replace(calm, link=replace(calm.link, outage=Outage(0.01, 1.0, 1.0)))
    found = [
        Hedging().after_s(answer_later(CLOUD, now), 0.1, usually_later(CLOUD, now))
        for now in (calm, out)
    ]
    assert None not in found
    assert found[1] <= found[0]  # type: ignore[operator]


def test_nothing_is_hedged_where_it_is_off_and_at_the_time_that_is_given() -> None:
    late = fixed(0.060, outage=0.01)
    assert Hedging("off").after_s(late, 0.13) is None
    assert Hedging(0.25).after_s(late, 0.1) == 0.25
    assert Hedging(0.25).after_s(None, 0.1) == 0.25
    assert Hedging().after_s(late, 0.13) == pytest.approx(0.060, rel=0.01)
    assert Hedging().after_s(None, 0.1) is None
    with pytest.raises(UsageError, match="Give auto, off, or 0 or more"):
        Hedging(-1.0)
    with pytest.raises(UsageError, match="Give 0 to 1"):
        Hedging(most_share=1.5)


def test_share_of_hedged_frames_is_kept_in_every_stretch() -> None:
    hedging = Hedging(most_share=0.2, over=100, burst=4)
    budget = HedgeBudget(hedging)
    taken = []
    for frame in range(1000):
        budget.frame()
        wanted = frame < 10 or 150 <= frame < 400 or frame >= 600  # calm stretches save nothing up
        taken.append(wanted and budget.take())
    assert taken[:10] == [True] * 4 + [False] * 6  # a fifth of 10 is less than the burst
    most = max(sum(taken[start : start + 100]) for start in range(900))
    assert most == 20
    assert all(sum(taken[:n]) <= max(4, 0.2 * n) for n in range(1, 1000))


def test_several_hedges_of_one_stretch_are_counted_apart() -> None:
    budget = HedgeBudget(Hedging(most_share=0.02, over=100, burst=4))
    budget.frame()
    assert [budget.take() for _ in range(3)] == [True, True, False]


def test_no_share_is_no_hedge() -> None:
    budget = HedgeBudget(Hedging(most_share=0.0))
    budget.frame()
    assert not budget.take()


def test_answer_takes_the_network_the_queue_and_the_loaded_cloud() -> None:
    # 50,000 bytes at 10 Mbit/s: 40 ms; 500 bytes down: 0.4 ms; 10 ms round trip; 4 ms · 2 + 30 ms there.
    conditions = seen(10, cloud_load=2.0, cloud_queue_s=0.030)
    later = answer_later(CLOUD, conditions)
    assert later(0.0384) == 1.0  # the server alone takes 38 ms
    assert later(0.0884) == pytest.approx(0.5, abs=0.01)
    behind = answer_later(CLOUD, conditions, ahead_bytes=12_500)  # 10 ms more
    assert behind(0.0984) == pytest.approx(0.5, abs=0.01)
