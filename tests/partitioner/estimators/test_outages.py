"""Outages: how often, how long, and whether there is one now, from what messages have met."""

import math

import pytest

from partitioner.estimators.outages import Outages


def calm(seconds: int, learned: Outages | None = None, from_s: float = 0.0) -> Outages:
    learned = learned or Outages()
    for tick in range(5 * seconds):
        learned.passed(from_s + 0.2 * tick, 0.0)
    return learned


def test_few_outages_are_expected_of_a_link_before_anything_is_seen() -> None:
    learned = Outages()
    assert learned.rate == pytest.approx(1 / 240)
    assert learned.lasts_s == 1.0
    assert learned.outage(0.0, None, 0.0, 0.0).now == 0.0


def test_rate_and_length_are_those_that_were_met() -> None:
    learned, now_s = Outages(), 0.0
    for minute in range(3):  # twelve a minute, of 0.6 s
        for each in range(12):
            now_s = 60.0 * minute + 5.0 * each
            calm(5, learned, now_s)
            learned.passed(now_s + 4.99, 0.6)
    assert learned.rate == pytest.approx(0.2, rel=0.3)
    assert learned.lasts_s == pytest.approx(0.6, rel=0.2)


def test_link_that_has_none_for_long_is_believed_to_have_fewer() -> None:
    assert calm(300).rate < 1 / 240 / 3


def test_silence_without_a_message_leads_to_the_share_of_outages() -> None:
    # Of 1 / 240 a second, each a second long: out for 1 / 241 of the time, wherever one looks.
    learned = Outages()
    learned.passed(0.0, 0.0)
    rate, lasts_s = learned.rate, learned.lasts_s
    assert learned.outage(1e3, None, 0.0, 0.0).now == pytest.approx(
        rate * lasts_s / (1 + rate * lasts_s)
    )


def test_message_that_is_not_back_when_it_should_be_is_likely_to_have_met_one() -> None:
    learned = calm(60)
    chances = [
        learned.outage(12.0 + late_s, 0.05 + late_s, 0.05, 0.005).now
        for late_s in (0.0, 0.01, 0.02, 0.05)
    ]
    assert chances[0] < 0.01
    assert chances == sorted(chances)
    assert chances[-1] > 0.99


def test_outage_that_lasts_is_expected_to_last() -> None:
    learned = calm(60)
    assert learned.outage(13.0, 0.3, 0.05, 0.005).lasts_s == 1.0
    assert learned.outage(33.0, 20.05, 0.05, 0.005).lasts_s == pytest.approx(10.0)


def test_past_fades() -> None:
    learned = Outages()
    learned.passed(0.0, 0.5)
    learned.passed(0.2, 0.5)
    before = learned.rate
    calm(120, learned, 1.0)
    assert learned.rate < before * math.exp(-1)
