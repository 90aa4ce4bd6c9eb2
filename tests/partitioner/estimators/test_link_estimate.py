"""The link as a distribution: cases of rate and round trip, outages, and what late answers are worth."""

import math

import numpy as np
import pytest

from partitioner.estimators.link_estimate import LinkEstimate, Outage
from partitioner.network.link import Link

LINK = Link(8e6, 8e6, 0.02)
BYTE_S = 1e-6


def test_deviation_is_that_of_a_sum_of_two_unknowns() -> None:
    # Var(rtt + 1000 x) = 4e-6 + 2·1000·(−1e-9) + 1e6·3e-12 = 4e-6 − 2e-6 + 3e-6 = 5e-6
    found = LinkEstimate(Link(8e6, 8e6, 0.02), 4e-6, 3e-12, -1e-9)
    assert found.deviation_s(1000) == pytest.approx(5e-6**0.5)
    # The deviation of a byte's seconds is sqrt(3e-12), beside 1e-6 s that a byte takes at 8 Mbit/s.
    assert found.uplink_spread == pytest.approx(3**0.5)


def doubtful(share: float, **more: object) -> LinkEstimate:
    return LinkEstimate(LINK, byte_variance=(share * BYTE_S) ** 2, **more)  # type: ignore[arg-type]


def test_known_link_is_one_case() -> None:
    ((weight, rtt_s, byte_s),) = LinkEstimate(LINK).cases
    assert (weight, rtt_s, byte_s) == (1.0, 0.02, BYTE_S)


@pytest.mark.parametrize("share", [0.1, 0.5, 1.5])
def test_cases_have_the_mean_of_the_rate_and_nearly_its_deviation(share: float) -> None:
    weights, rtt_s, byte_s = doubtful(share).cases_as_arrays
    assert weights.sum() == pytest.approx(1.0)
    assert weights @ byte_s == pytest.approx(BYTE_S)
    deviation = math.sqrt(weights @ (byte_s - BYTE_S) ** 2)
    assert deviation == pytest.approx(share * BYTE_S, rel=0.35 if share > 1 else 0.1)
    assert (rtt_s == 0.02).all()
    assert (np.diff(byte_s) > 0).all()


def test_slow_cases_have_the_shorter_round_trip_where_only_the_sum_is_known() -> None:
    # Messages of 10,000 bytes have told that rtt + 10 ms are 30 ms, and little else.
    byte_variance = (0.5 * BYTE_S) ** 2
    estimate = LinkEstimate(LINK, (0.005) ** 2, byte_variance, -10_000 * byte_variance)
    # Of the slowest case the round trip is cut off where it would be less than a fifth.
    sums = [case.network_s(10_000) for case in estimate.cases]
    assert sums[:-2] == pytest.approx([0.03] * (len(sums) - 2), rel=1e-3)


def test_messages_that_tell_little_rule_out_slow_cases() -> None:
    # 1,000 bytes in 20.6 ms: at 1 Mbit/s they would have taken 28, at 100 Mbit/s 20.1.
    said = ((1_000.0, 0.0206), (1_000.0, 0.0205))
    before, after = doubtful(1.5, noise=0.03), doubtful(1.5, noise=0.03, hints=said)
    assert after.cases_as_arrays[0].sum() == pytest.approx(1.0)
    slowest = before.cases[-1]
    assert slowest.network_s(1_000) > 0.024
    assert after.cases[-1].weight < 0.5 * slowest.weight
    assert after.cases[1].weight > before.cases[1].weight


def test_messages_tell_nothing_of_the_rate_where_the_round_trip_is_not_known() -> None:
    said = ((1_000.0, 0.0215),)
    unsure = doubtful(1.5, noise=0.03, hints=said, rtt_variance=0.02**2)
    weights = [case.weight for case in doubtful(1.5).cases]
    assert [case.weight for case in unsure.cases] == pytest.approx(weights, rel=0.15)


def test_chance_of_a_late_answer_falls_from_one_to_nothing() -> None:
    # 10,000 bytes at 10 Mbit/s, and 1,250 down: 8 + 1 + 20 ms.
    estimate = LinkEstimate(Link(10e6, 10e6, 0.02), noise=0.1)
    chances = [estimate.chance_later(10_000, 1_250, ms / 1000) for ms in range(-5, 200)]
    assert chances[:6] == [1.0] * 6  # up to 0 ms
    assert chances[34] == pytest.approx(0.5, abs=0.001)  # at 29 ms
    assert chances == sorted(chances, reverse=True)
    assert chances[-1] < 1e-6


def test_outage_adds_an_exponential_tail_to_late_answers() -> None:
    # Out now with a chance of a tenth, for 0.5 s on average: half a second later e^-1 of it is left.
    estimate = LinkEstimate(Link(10e6, 10e6, 0.02), noise=0.1, outage=Outage(lasts_s=0.5, now=0.1))
    assert estimate.chance_later(10_000, 1_250, 0.529) == pytest.approx(0.1 / math.e, rel=1e-3)


def test_chance_of_an_outage_by_hand() -> None:
    # Not out now with 0.9; 0.2 outages a second do not begin within half a second with e^-0.1.
    found = Outage(rate=0.2, lasts_s=1.0, now=0.1)
    assert found.chance(0.5) == pytest.approx(1 - 0.9 * math.exp(-0.1))
    assert found.chances(np.array([0.0, 0.5])) == pytest.approx([0.1, found.chance(0.5)])
    assert Outage().chance(9.0) == 0.0
    assert Outage().chances(np.array([9.0])) == pytest.approx([0.0])
