"""What a frame is expected to take, against sums by hand and against draws of the same links and outages."""

import math
from dataclasses import replace

import numpy as np
import pytest

from partitioner.estimators.link_estimate import LinkEstimate, Outage
from partitioner.network.link import Link
from partitioner.planning.option import LastResort, OptionColumns
from partitioner.policy.conditions import Conditions
from partitioner.policy.expected_latency import by_risk, device_s, expect, expect_all
from partitioner.policy.hedges import answer_later, hedge_after_s
from tests.kit.plans import CLOUD, EDGE, MIDDLE, seen

LINK = Link(8e6, 8e6, 0.02)


def test_known_link_gives_the_sum_of_the_stages() -> None:
    # 20 ms, 10 + 80,000 / 8e6 = 10 + 10 and 8 · 500 / 8e6 = 0.5 ms, and 3 ms of tail.
    found = expect(MIDDLE, seen(8), 1, 0.5)
    assert found.mean_s == pytest.approx(0.020 + 0.0205 + 0.003, rel=0.02)
    assert found.risked_s == found.mean_s == found.by_case_s[0] == found.tried_s


def test_all_options_at_once_are_what_each_is_alone() -> None:
    now = Conditions(
        LinkEstimate(LINK, 1e-6, (0.6e-6) ** 2, 0.0, 0.1, 0.3, Outage(0.1, 0.5, 0.02)),
        edge_load=1.5, cloud_load=2.0, cloud_queue_s=0.004, frame_period_s=0.1,
    )  # fmt: skip
    options = [replace(each, finish_s=0.05) for each in (CLOUD, MIDDLE)] + [EDGE]
    for one, alone in zip(
        expect_all(OptionColumns.of(options), now, 4, 0.5, 0.2).all(),
        (expect(each, now, 4, 0.5, 0.2) for each in options),
        strict=True,
    ):
        assert one.option is alone.option
        for field in ("mean_s", "risked_s", "edge_s", "network_s", "cloud_s", "tried_s"):
            assert getattr(one, field) == pytest.approx(getattr(alone, field)), field
        assert one.by_case_s == pytest.approx(alone.by_case_s)


def test_rare_disaster_is_charged_for() -> None:
    # One message in fifty meets an outage of a second: 20 ms more than without.
    calm = Conditions(LinkEstimate(LINK))
    risky = Conditions(LinkEstimate(LINK, outage=Outage(0.0, 1.0, 0.02)))
    more_s = expect(MIDDLE, risky, 1, 0.0).mean_s - expect(MIDDLE, calm, 1, 0.0).mean_s
    assert more_s == pytest.approx(0.02)
    assert expect(EDGE, risky, 1, 0.5).risked_s == expect(EDGE, calm, 1, 0.5).risked_s
    margin_s = expect(MIDDLE, risky, 1, 0.5)
    assert margin_s.risked_s > margin_s.mean_s


def test_hedge_bounds_what_an_outage_costs() -> None:
    # The device takes over about when the answer is late, and takes 50 ms: not a second.
    hedged = replace(MIDDLE, finish_s=0.05)
    risky = Conditions(LinkEstimate(LINK, noise=0.1, outage=Outage(0.0, 1.0, 0.02)))
    calm = Conditions(LinkEstimate(LINK, noise=0.1))
    more_s = expect(hedged, risky, 1, 0.0, 0.2).mean_s - expect(hedged, calm, 1, 0.0, 0.2).mean_s
    assert 0.02 * 0.05 < more_s < 0.02 * 0.07


def test_hedges_help_no_more_frames_than_may_be_hedged() -> None:
    # In an outage for sure, which lasts a second, with 50 ms to finish here.
    out = Conditions(LinkEstimate(LINK, outage=Outage(0.0, 1.0, 1.0)))
    hedged = replace(MIDDLE, finish_s=0.05)
    whole, some = (expect(hedged, out, 1, 0.0, share).mean_s for share in (1.0, 0.2))
    never = expect(hedged, out, 1, 0.0).mean_s
    assert whole < 0.2
    assert some == pytest.approx(0.2 * whole + 0.8 * never)


@pytest.mark.parametrize("share", [0.4, 1.0])
@pytest.mark.parametrize("finish_s", [0.02, 0.06, 0.2])
def test_expectation_is_the_mean_of_draws(share: float, finish_s: float) -> None:
    """Draws: a log-normal rate, messages that scatter, outages, and the hedge of hedges.py."""
    outage = Outage(rate=0.1, lasts_s=0.4, now=0.05)
    byte_s = 8 / LINK.uplink_bps
    estimate = LinkEstimate(LINK, 0.0, (share * byte_s) ** 2, 0.0, 0.1, 0.3, outage)
    now = Conditions(estimate)
    option = replace(MIDDLE, finish_s=finish_s)
    start_s = hedge_after_s(answer_later(option, now), finish_s)
    rng = np.random.default_rng(0)
    spread = math.sqrt(math.log1p(share**2))
    drawn = byte_s * np.exp(spread * rng.standard_normal(200_000) - spread**2 / 2)
    size = option.upload_bytes + option.download_bytes
    network_s = (0.02 + size * drawn) * (
        1 + 0.1 * rng.logistic(0, math.sqrt(3) / math.pi, drawn.shape)
    )
    usual_s = network_s + option.cloud_s
    met = rng.random(drawn.shape) < outage.chances(usual_s)
    answers_s = usual_s + met * rng.exponential(outage.lasts_s, drawn.shape)
    latest_s = math.inf if start_s is None else start_s + finish_s
    wanted_s = float(np.minimum(answers_s, latest_s).mean())
    found = expect(option, now, 1, 0.0, 1.0)
    assert found.mean_s - device_s(option, now) == pytest.approx(wanted_s, rel=0.06)
    assert found.tried_s == pytest.approx(found.mean_s)


def test_options_that_lead_are_the_fastest_on_average_and_in_every_case() -> None:
    rng = np.random.default_rng(5)
    options = [
        replace(MIDDLE, cut=f"cut-{n:02}", edge_s=edge_s, upload_bytes=size, finish_s=0.1 - edge_s)
        for n, (edge_s, size) in enumerate(rng.uniform((0.01, 1e3), (0.09, 1e5), (60, 2)).tolist())
    ]
    estimate = LinkEstimate(LINK, 1e-6, (0.9e-6) ** 2, 0.0, 0.1, 0.3, Outage(0.1, 0.5, 0.02))
    now = Conditions(estimate, frame_period_s=0.1)
    expected = expect_all(OptionColumns.of(options), now, 1, 0.25, 0.2)
    every, current = expected.all(), options[7]
    leading = expected.leading(current)
    assert current in [each.option for each in leading]
    assert set(leading) <= set(every)
    assert len(leading) <= 2 + len(estimate.cases)
    assert min(leading, key=by_risk) == min(every, key=by_risk)
    for case in range(len(estimate.cases)):
        assert min(each.by_case_s[case] for each in leading) == min(
            each.by_case_s[case] for each in every
        )


def test_option_that_is_gone_does_not_lead() -> None:
    expected = expect_all(OptionColumns.of([CLOUD, EDGE]), seen(8), 1, 0.25)
    assert MIDDLE not in [each.option for each in expected.leading(MIDDLE)]


def test_quick_exit_is_no_match_for_an_answer_that_is_in_time() -> None:
    # It is worse, so that no frame is hedged by it before two more answers would have come.
    alone = replace(MIDDLE, finish_s=0.001, last_resort=LastResort(0.8, 0.001))
    now = Conditions(LinkEstimate(LINK, noise=0.05))
    usual = expect(MIDDLE, now, 1, 0.0)
    found = expect(alone, now, 1, 0.0, 0.2)
    assert (found.mean_s, found.tried_s) == pytest.approx((usual.mean_s, usual.tried_s))
