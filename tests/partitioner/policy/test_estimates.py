"""What the running edge and the simulator both learn from their frames and probes."""

from threading import Thread
from typing import Any

import pytest

from partitioner.estimators.link_estimate import LinkEstimate
from partitioner.estimators.link_estimator import LinkEstimator
from partitioner.estimators.transfer import Transfer
from partitioner.network.link import Link
from partitioner.policy.estimates import Estimates
from protos.errors import UsageError


def following(link: Link) -> Estimates:
    learned = Estimates()
    learned.begin(link)
    return learned


def test_nothing_is_known_before_a_link_is_followed() -> None:
    learned = Estimates()
    with pytest.raises(UsageError, match="nothing is known of the link"):
        learned.conditions(0.0)
    assert learned.link is None
    assert learned.probe_bytes(1e6) == 1


@pytest.mark.parametrize(
    ("uplink_bps", "largest_bytes", "wanted"),
    [
        (0.8e6, 1e6, 20_000),  # a fifth of a second
        (1e9, 1e6, 32 << 10),
        (1e3, 1e6, 1 << 10),
        (1e9, 500.0, 500),  # more than any message tells nothing of use
        (1e9, 0.0, 1),
    ],
)
def test_probe_carries_what_the_largest_option_would_within_reason(
    uplink_bps: float, largest_bytes: float, wanted: int
) -> None:
    learned = following(Link(uplink_bps, uplink_bps, 0.01))
    assert learned.probe_bytes(largest_bytes) == wanted


def test_served_frame_tells_of_link_queue_and_cloud_unless_its_seconds_tell_nothing() -> None:
    link = Link(8e6, 8e6, 0.02)
    for profiled_s, load in ((0.01, 3.0), (0.0, 1.0)):
        learned, now_s = following(link), 0.0
        for frame in range(40):
            begun_at = 0.2 * frame
            now_s = begun_at + link.predict_s(20_000, 100) + 0.005 + 0.03
            seen = Transfer(20_000, 100, begun_at, now_s, 0.035)
            learned.served(seen, 0.005, 0.03, profiled_s)
        found = learned.conditions(now_s)
        assert learned.crossed_at == now_s
        assert found.cloud_queue_s == pytest.approx(0.005, rel=0.15)  # it fades between two frames
        assert found.cloud_load == pytest.approx(load, rel=0.05)
        assert found.link.link.uplink_bps == pytest.approx(8e6, rel=0.02)


def test_pace_lasts_while_any_stream_is_paced() -> None:
    learned = following(Link(1e6, 1e6, 0.01))
    for streams, paced in ((1, True), (1, True), (-1, True), (-1, False)):
        learned.pace(streams)
        assert learned.conditions(0.0).device_paced is paced


def probe(carried: float, network_s: float) -> Transfer:
    """A probe that the server had for 1 ms, received 5 s from the beginning."""
    return Transfer(carried, 0, 5.0 - network_s - 0.001, 5.0, 0.001)


@pytest.mark.parametrize(
    ("small", "large", "uplink_bps"),
    [
        (probe(100, 0.022), probe(20_100, 0.042), 8e6),  # 160,000 bits in 20 ms
        (probe(100, 0.022), probe(20_100, 0.0241), 1e6),  # 2.1 ms more: within the noise of a trip
        (probe(100, 0.022), probe(100, 0.042), 1e6),  # no more bytes: it was only late
    ],
)
def test_two_probes_tell_the_round_trip_and_the_rate_unless_it_is_noise(
    small: Transfer, large: Transfer, uplink_bps: float
) -> None:
    learned = following(Link(1e6, 2e6, 0.5))
    learned.measured(small, large)
    found = learned.link
    assert found is not None
    assert found.rtt_s == pytest.approx(0.022)
    assert (found.uplink_bps, found.downlink_bps) == pytest.approx((uplink_bps, 2 * uplink_bps))
    assert learned.has_seen_link
    assert learned.crossed_at == 5.0


def test_whatever_is_learnt_is_counted() -> None:
    learned = following(Link(8e6, 8e6, 0.02))
    for learn in (
        lambda: learned.pace(1),
        lambda: learned.ran_on_device(0.02, 0.01, 0.0),
        lambda: learned.crossed(probe(100, 0.02)),
        lambda: learned.served(probe(100, 0.02), 0.0, 0.01, 0.01),
        lambda: learned.lost(1e4, 1.0),
        lambda: learned.measured(probe(100, 0.02), probe(1e4, 0.03)),
    ):
        before = learned.count
        learn()
        assert learned.count > before


def test_without_a_link_probes_tell_when_it_was_there_and_nothing_else() -> None:
    learned = Estimates()
    learned.lost(1e4, 1.0)
    learned.measured(probe(100, 0.02), probe(1e4, 0.03))
    assert (learned.crossed_at, learned.count) == (5.0, 0)
    assert not learned.has_seen_link


def test_device_and_frames_are_followed() -> None:
    learned = following(Link(8e6, 8e6, 0.02))
    for frame in range(30):
        learned.arrived(0.1 * frame)
        learned.ran_on_device(0.04, 0.02, 0.1 * frame)
    found = learned.conditions(2.9)
    assert found.edge_load == pytest.approx(2.0, rel=0.03)
    assert found.frame_period_s == pytest.approx(0.1)
    assert (found.cloud_load, found.cloud_queue_s) == (1.0, 0.0)
    for frame in range(30, 60):
        learned.arrived(0.1 * frame, asked_at=0.1 * frame)
    assert learned.conditions(6.0).frame_period_s == 0.0


def test_bytes_that_get_no_answer_lower_the_rate() -> None:
    learned = following(Link(8e6, 8e6, 0.02))
    assert not learned.has_seen_link
    learned.crossed(probe(20_000, 0.04))
    assert learned.has_seen_link
    for _ in range(3):
        learned.lost(20_000, 2.0)  # 160,000 bits in 2 s: 80 kbit/s at most
    found = learned.link
    assert found is not None
    assert found.uplink_bps < 0.3e6


def test_seconds_of_a_slow_cloud_are_no_outage() -> None:
    # 20 ms and 20,000 bytes at 8 Mbit/s: 40 ms on the link, and 300 ms in the cloud.
    learned = following(Link(8e6, 8e6, 0.02))
    learned.sent("first", 20_000, 0.0, 0.3)
    assert learned.conditions(0.3).link.outage.now < 0.01
    assert learned.conditions(2.0).link.outage.now > 0.9
    learned.settled("first")
    assert not learned.conditions(2.0).message_under_way


def test_wait_behind_an_earlier_message_is_no_outage() -> None:
    # 20 ms and 100,000 bytes at 8 Mbit/s: the second leaves 100 ms after it was handed over.
    learned = following(Link(8e6, 8e6, 0.02))
    learned.sent("first", 100_000, 0.0)
    learned.sent("second", 100_000, 0.0)
    learned.settled("first")
    learned.crossed(Transfer(100_000, 0, 0.0, 0.12, 0.0))
    assert learned.conditions(0.21).link.outage.now < 0.01
    assert learned.conditions(2.0).link.outage.now > 0.9


def test_threads_teach_and_ask_one_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    learned = following(Link(8e6, 8e6, 0.02))
    estimate, waited = LinkEstimator.estimate, []

    def slow(*args: Any) -> LinkEstimate:
        teaching = Thread(target=learned.sent, args=("first", 1_000, 0.0))
        teaching.start()
        teaching.join(0.01)
        waited.append(teaching)
        assert teaching.is_alive()
        return estimate(*args)

    monkeypatch.setattr(LinkEstimator, "estimate", slow)
    assert not learned.conditions(0.0).message_under_way
    monkeypatch.undo()
    for teaching in waited:
        teaching.join()
    assert learned.conditions(0.0).message_under_way
