"""The link estimate on links whose truth is known."""

import statistics
from collections.abc import Callable

import numpy as np
import pytest

from partitioner.estimators.link_estimate import LinkEstimate
from partitioner.estimators.link_estimator import EstimatorSettings, LinkEstimator
from partitioner.estimators.transfer import Transfer
from partitioner.network.link import Link

SIZES = (1_500.0, 6_000.0, 20_000.0, 60_000.0)
ANSWER = 400.0


def sent(
    link: Link, size: float, at: float, noise: float = 0.0, server_s: float = 0.01
) -> Transfer:
    """A message alone on the link."""
    network_s = link.predict_s(size, ANSWER) * max(0.2, 1 + noise)
    return Transfer(size, ANSWER, at, at + network_s + server_s, server_s)


def follow(
    estimator: LinkEstimator,
    link: Callable[[int], Link],
    sizes: Callable[[int], float],
    frames: int,
    noise: float = 0.1,
    period_s: float = 0.2,
    seed: int = 0,
) -> list[LinkEstimate]:
    """Send frames one at a time; return what was believed after each."""
    rng = np.random.default_rng(seed)
    found, now = [], 0.0
    for frame in range(frames):
        seen = sent(link(frame), sizes(frame), now, noise * rng.standard_normal())
        estimator.add(seen)
        now = max(now + period_s, seen.received_at)
        found.append(estimator.estimate(seen.received_at))
    return found


def error(found: LinkEstimate, link: Link) -> float:
    return abs(found.link.uplink_bps - link.uplink_bps) / link.uplink_bps


@pytest.mark.parametrize("uplink_bps", [0.5e6, 4e6, 30e6])
@pytest.mark.parametrize("rtt_s", [0.005, 0.04, 0.15])
def test_steady_link_is_known_to_ten_percent(uplink_bps: float, rtt_s: float) -> None:
    link = Link(uplink_bps, uplink_bps, rtt_s)
    guess = Link(2 * uplink_bps, 2 * uplink_bps, 1.5 * rtt_s)
    errors, rtts = [], []
    for seed in range(5):
        found = follow(LinkEstimator(guess), lambda _: link, lambda n: SIZES[n % 4], 60, seed=seed)
        errors += [error(estimate, link) for estimate in found[20:]]
        rtts += [abs(estimate.link.rtt_s - rtt_s) / rtt_s for estimate in found[20:]]
    # Where a message is hardly longer than the noise of the round trip, no one could tell the rate.
    if 8 * SIZES[-1] / uplink_bps > 0.5 * rtt_s:
        assert statistics.median(errors) <= 0.10
    if rtt_s > 0.5 * 8 * SIZES[0] / uplink_bps:
        assert statistics.median(rtts) <= 0.20


def test_expected_frames_are_learnt_as_a_kalman_filter_learns_them() -> None:
    """Its equations in matrices (R. Kalman, 1960), with the noise and the drift that the settings name."""
    steady = EstimatorSettings(prior_trip=0.5, volatility=(0.0, 0.0, 0.0))
    estimator = LinkEstimator(Link(8e6, 4e6, 0.02), steady)
    state = np.array([0.02, 1e-6])  # round trip, and seconds a byte
    doubt = np.diag((0.5 * state) ** 2)
    noise, seen_at = 0.1, None
    for size, answer, begun_at, network_s in [
        (20_000, 500, 0.0, 0.043), (5_000, 500, 0.5, 0.027), (60_000, 0, 1.5, 0.082),
        (20_000, 500, 1.7, 0.0420), (1_000, 500, 9.0, 0.0228), (30_000, 500, 90.0, 0.053),
    ]:  # fmt: skip
        received_at = begun_at + network_s + 0.01
        if seen_at is not None:  # drift 6 %, of the round trip 15 % of that; 60 s at most
            share = 0.06**2 * min(60, received_at - seen_at)
            doubt += np.diag([0.15**2 * share * state[0] ** 2, share * state[1] ** 2])
        asks = np.array([1, size + 2 * answer])  # the downlink is half as fast
        expected_s = asks @ state
        scatter = noise**2 * expected_s * network_s + 0.0002**2
        variance = asks @ doubt @ asks + scatter
        gain = doubt @ asks / variance
        innovation = network_s - expected_s
        assert abs(innovation) < 0.5 * variance**0.5, "no step, and nothing clipped"
        state += gain * innovation
        doubt -= np.outer(gain, asks) @ doubt
        noise += 0.05 * (1.25 * abs(innovation) / (asks @ state) - noise)
        seen_at = received_at
        assert not estimator.add(Transfer(size, answer, begun_at, received_at, 0.01))
        found = estimator.estimate(received_at)
        assert (found.link.rtt_s, 8 / found.link.uplink_bps) == pytest.approx(tuple(state))
        assert found.link.downlink_bps == pytest.approx(found.link.uplink_bps / 2)
        assert [found.rtt_variance, found.covariance, found.byte_variance] == pytest.approx(
            [doubt[0, 0], doubt[0, 1], doubt[1, 1]]
        )
        assert found.noise == pytest.approx(noise)
    assert estimator.steps == 0


def test_without_noise_both_unknowns_are_found() -> None:
    # 40 ms and 8 Mbit/s: 1 µs a byte, so 20,000 bytes take 60 ms and 60,000 bytes 100 ms.
    link = Link(8e6, 8e6, 0.04)
    found = follow(
        LinkEstimator(Link(3e6, 3e6, 0.1)), lambda _: link, lambda n: SIZES[n % 4], 40, 0.0
    )
    assert found[-1].link.uplink_bps == pytest.approx(8e6, rel=0.03)
    assert found[-1].link.rtt_s == pytest.approx(0.04, rel=0.05)


@pytest.mark.parametrize("factor", [1 / 10, 1 / 4, 1 / 2, 2, 3, 8])
@pytest.mark.parametrize("sizes", [(20_000.0,), SIZES])
def test_step_is_recognised_within_three_frames_or_a_second(
    factor: float, sizes: tuple[float, ...]
) -> None:
    before = Link(6e6, 6e6, 0.02)
    after = Link(6e6 * factor, 6e6 * factor, 0.02)
    expected_s = after.predict_s(20_000, ANSWER)
    recognised = 0
    for seed in range(20):
        estimator = LinkEstimator(before)
        found = follow(
            estimator,
            lambda n: before if n < 40 else after,
            lambda n: sizes[n % len(sizes)],
            46,
            seed=seed,
        )
        # Frames come every 0.2 s: five of them are a second. What a frame will take is then known to
        # 20 %, and so is the rate where it fell; where it rose eightfold, bytes hardly take time.
        close = abs(found[44].link.predict_s(20_000, ANSWER) - expected_s) < 0.2 * expected_s
        recognised += close and (factor > 1 or error(found[44], after) < 0.3)
    assert recognised >= 17


def test_three_frames_are_enough_for_a_large_step() -> None:
    before, after = Link(8e6, 8e6, 0.02), Link(1e6, 1e6, 0.02)
    found = follow(
        LinkEstimator(before), lambda n: before if n < 30 else after, lambda _: 20_000.0, 33
    )
    assert error(found[32], after) < 0.25


def test_step_is_learnt_from_the_frames_since_it_began_and_from_no_others() -> None:
    # 160,000 bits and 3,200 of the answer at 1 Mbit/s: 163.2 ms beside the round trip, and back again.
    before, after = Link(8e6, 8e6, 0.02), Link(1e6, 1e6, 0.02)
    estimator = LinkEstimator(before)
    links = [before] * 30 + [after] * 10 + [before] * 10
    found = follow(estimator, lambda n: links[n], lambda _: 20_000.0, 50, 0.0)
    assert error(found[33], after) < 0.02
    assert error(found[49], before) < 0.05
    assert estimator.steps == 2
    assert found[49].link.rtt_s == pytest.approx(0.02, rel=0.1)


def test_single_late_frame_moves_little() -> None:
    link = Link(6e6, 6e6, 0.03)
    estimator = LinkEstimator(link)
    follow(estimator, lambda _: link, lambda n: SIZES[n % 4], 40)
    usual = sent(link, 20_000.0, 9.0)
    estimator.add(Transfer(20_000.0, ANSWER, 9.0, usual.received_at + 0.5, usual.server_s))
    assert estimator.steps == 0
    assert error(estimator.estimate(10.0), link) < 0.25


def test_server_time_is_no_part_of_the_link() -> None:
    link = Link(8e6, 8e6, 0.02)
    slow, quick = LinkEstimator(Link(4e6, 4e6, 0.02)), LinkEstimator(Link(4e6, 4e6, 0.02))
    for frame in range(30):
        at = 2.0 * frame
        slow.add(sent(link, SIZES[frame % 4], at, server_s=1.0))
        quick.add(sent(link, SIZES[frame % 4], at, server_s=0.0))
    assert slow.estimate(60.0).link.uplink_bps == pytest.approx(
        quick.estimate(60.0).link.uplink_bps, rel=1e-3
    )


def test_frames_that_wait_for_each_other_tell_the_rate_and_not_their_waiting() -> None:
    # 20,000 bytes at 2 Mbit/s take 80 ms; one is handed over every 50 ms, so that the link is never idle
    # and each waits longer than the one before. Sizes never vary.
    link = Link(2e6, 2e6, 0.04)
    estimator = LinkEstimator(Link(4e6, 4e6, 0.04))
    free_at = 0.0
    for frame in range(20):
        begun = 0.05 * frame
        free_at = max(free_at, begun) + 8 * 20_000 / link.uplink_bps
        received = free_at + link.rtt_s + 8 * ANSWER / link.downlink_bps + 0.01
        estimator.add(Transfer(20_000.0, ANSWER, begun, received, 0.01))
    found = estimator.estimate(3.0)
    assert found.link.uplink_bps == pytest.approx(2e6, rel=0.05)
    assert found.link.rtt_s == pytest.approx(0.04, rel=0.3)


def test_transfer_that_was_overtaken_teaches_nothing() -> None:
    link = Link(8e6, 8e6, 0.02)
    estimator = LinkEstimator(link)
    estimator.add(Transfer(10_000.0, ANSWER, 0.0, 0.20, 0.0))
    before = estimator.estimate(0.2)
    assert not estimator.add(Transfer(10_000.0, ANSWER, 0.1, 0.19, 0.0))
    assert estimator.estimate(0.2).link == before.link


def test_spread_shrinks_with_frames_and_grows_with_silence() -> None:
    link = Link(8e6, 8e6, 0.02)
    estimator = LinkEstimator(link)
    at_first = estimator.estimate(0.0)
    found = follow(estimator, lambda _: link, lambda n: SIZES[n % 4], 40)
    assert found[-1].uplink_spread < 0.3 * at_first.uplink_spread
    assert found[-1].rtt_spread_s < at_first.rtt_spread_s
    silent = estimator.estimate(30.0)
    assert silent.link == found[-1].link
    assert silent.uplink_spread > 2 * found[-1].uplink_spread
    assert silent.deviation_s(60_000) > silent.deviation_s(1_000)


def test_message_that_does_not_get_through_lowers_the_rate() -> None:
    estimator = LinkEstimator(Link(8e6, 8e6, 0.02))
    for _ in range(3):
        estimator.at_least(20_000.0, 2.0)
    # 160,000 bits in 2 s: no faster than 80 kbit/s.
    assert estimator.estimate(0.0).link.uplink_bps < 0.3e6
    before = estimator.estimate(0.0)
    estimator.at_least(20_000.0, 0.001)  # gave up early: says nothing
    assert estimator.estimate(0.0) == before
    # Expected were 20 + 20 ms: 45 are more, if by less than a round trip.
    patient = LinkEstimator(Link(8e6, 8e6, 0.02))
    patient.at_least(20_000.0, 0.045)
    assert patient.estimate(0.0).link.uplink_bps < 8e6


def test_measurement_replaces_what_was_believed() -> None:
    estimator = LinkEstimator(Link(8e6, 8e6, 0.02))
    estimator.at_least(20_000.0, 2.0)
    estimator.restart(Link(1e6, 2e6, 0.1))
    assert estimator.estimate(0.0).link.rtt_s == 0.1
    assert estimator.estimate(0.0).link.uplink_bps == pytest.approx(1e6)


def test_better_link_is_seen_through_messages_that_hardly_need_it() -> None:
    # 1,100 bytes at 0.5 Mbit/s take 17.6 of 47.6 ms; at 10 Mbit/s hardly more than the round trip. Put
    # down to the round trip, that would keep small messages in use for ever.
    before, after = Link(0.5e6, 0.5e6, 0.03), Link(10e6, 10e6, 0.03)
    found = follow(
        LinkEstimator(before), lambda n: before if n < 30 else after, lambda _: 1_100.0, 36, 0.02
    )
    assert found[-1].link.uplink_bps > 2e6
    assert found[-1].link.rtt_s == pytest.approx(0.03, rel=0.1)


def test_frames_that_a_scheduler_delays_are_no_steps_of_the_link() -> None:
    """Three of ten frames over loopback are late by 30 ms on average; two late ones in a row are chance."""
    rng, link = np.random.default_rng(0), Link(2e9, 2e9, 0.001)
    estimator, now = LinkEstimator(link), 0.0
    for frame in range(300):
        late_s = rng.exponential(0.03) if rng.random() < 0.3 else 0.0
        estimator.add(sent(link, (1.0, 12_000.0)[frame % 2], now, late_s / 0.001, server_s=0.0))
        now += 0.2
    assert estimator.steps <= 10


def test_messages_that_one_outage_caught_are_no_step_of_the_link() -> None:
    # A message, and a probe of 200 bytes sent in the outage, are back together, 0.7 s late.
    link = Link(6e6, 6e6, 0.03)
    estimator = LinkEstimator(link)
    follow(estimator, lambda _: link, lambda n: SIZES[n % 4], 40)
    rate = estimator.estimate(8.0).outage.rate
    for size, begun_at in ((20_000.0, 9.0), (200.0, 9.3)):
        estimator.add(Transfer(size, ANSWER, begun_at, 9.8, 0.0))
    assert estimator.steps == 0
    assert error(estimator.estimate(9.8), link) < 0.15
    once = estimator.estimate(9.8).outage.rate
    assert rate < once < rate + 1.1 / 20  # one outage, not two
    # Messages that were sent after that and are late as well are no outage's.
    for begun_at in (10.0, 11.0, 12.0, 13.0, 14.0):
        estimator.add(Transfer(20_000.0, ANSWER, begun_at, begun_at + 0.8, 0.0))
    assert estimator.steps >= 1
    assert error(estimator.estimate(15.0), Link(0.21e6, 0.21e6, 0.03)) < 0.2


def test_pings_that_busy_machines_delay_say_nothing_of_a_fast_link() -> None:
    estimator = LinkEstimator(Link(1e9, 1e9, 0.0005))
    for second in range(60):
        late_s = 0.0005 if second < 20 else 0.0025
        estimator.add(Transfer(200, 100, second, second + late_s, 0.0))
    assert estimator.link.uplink_bps == pytest.approx(1e9, rel=0.05)
    assert estimator.link.rtt_s == pytest.approx(0.0025, rel=0.2)
    # 600 kB at 1 Mbit/s take 4.8 s: that is the link.
    for second in range(60, 63):
        estimator.add(Transfer(600_000, 100, 10 * second, 10 * second + 4.8, 0.0))
    assert estimator.link.uplink_bps == pytest.approx(1e6, rel=0.2)
