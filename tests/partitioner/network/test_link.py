"""What one message costs on a link, by hand."""

from typing import Any

import pytest

from partitioner.network.link import Link
from protos.errors import UsageError


def test_network_time_is_one_round_trip_and_bits_over_rates() -> None:
    # 125,000 bytes = 1 Mbit: 0.1 s up at 10 Mbit/s. 12,500 bytes = 0.1 Mbit: 0.005 s down at 20 Mbit/s.
    link = Link(uplink_bps=10e6, downlink_bps=20e6, rtt_s=0.03)
    assert link.predict_s(125_000, 12_500) == pytest.approx(0.03 + 0.1 + 0.005)


def test_nothing_crosses_in_no_time() -> None:
    assert Link(1e6, 1e6, 0.05).predict_s(0, 0) == 0


@pytest.mark.parametrize(
    "link", [(0, 1e6, 0.01), (1e6, 0, 0.01), (1e6, 1e6, -1), (float("nan"), 1, 0)]
)
def test_link_that_carries_nothing_is_refused(link: tuple[float, float, float]) -> None:
    with pytest.raises(UsageError):
        Link(*link)


@pytest.mark.parametrize("args", [("10mbit", 1e6, 0.02), (1e6, 1e6, "20ms"), (1e6, None, 0.0)])
def test_numbers_that_are_text_are_told_the_unit_and_how_to_write_a_link(args: Any) -> None:
    with pytest.raises(
        UsageError, match=r"Give a number of (bits per )?second.*Link\.parse\('10mbit"
    ):
        Link(*args)
