"""What the running edge and the simulator both learn from their frames and probes."""

import pytest

from partitioner.estimators.link_estimator import Transfer
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
    assert learned.link_at(0.0) is None
    assert learned.probe_bytes(1e6, 0.0) == 1


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
    assert learned.probe_bytes(largest_bytes, 0.0) == wanted


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
