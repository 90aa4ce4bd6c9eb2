"""What the edge learns from its own frames."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from edge_client.control.estimates import EdgeEstimates
from partitioner.estimators.transfer import Transfer
from partitioner.network.link import Link
from partitioner.policy.power_rules import NO_POWER_DEMAND
from tests.kit.plans import option

ASKED = replace(
    option("cut-01", 0.0142, 5000, 0.001), exit_s=0.001, encode_s=0.004, handing_s=0.0002
)
"""A head of 10 ms, encoding of 4, an exit of 1, and 0.2 of handing over that no stage shows."""


def work(edge_s: float, message: bytes | None) -> Any:
    return SimpleNamespace(choice=SimpleNamespace(option=ASKED), edge_s=edge_s, message=message)


@pytest.mark.parametrize("slowness", [1.0, 3.0])
def test_load_is_that_of_the_device_whether_frames_exit_or_cross(slowness: float) -> None:
    learned = EdgeEstimates()
    learned.begin(Link(1e6, 1e6, 0.01))
    for frame in range(60):
        exits = frame % 4 != 0
        seconds = 0.010 + 0.001 + (0.0 if exits else 0.004)
        learned.prepared(work(slowness * seconds, None if exits else b"frontier"))
    now_s = learned._edge._alone._seen_at
    assert learned.conditions(now_s, NO_POWER_DEMAND, reachable=True).edge_load == pytest.approx(
        slowness, rel=0.05
    )


def crossing(learned: EdgeEstimates, at_s: float, took_s: float) -> None:
    learned.crossed(Transfer(10_000, 100, at_s, at_s + took_s, 0.0))


def test_transfer_beside_a_download_teaches_nothing_of_the_link() -> None:
    alone, beside = EdgeEstimates(), EdgeEstimates()
    for learned in (alone, beside):
        learned.begin(Link(8e6, 8e6, 0.01))
        for number in range(20):
            crossing(
                learned, float(number), 0.02
            )  # 10 ms of round trip, and 10 of 80 kbit at 8 Mbit/s
    known = beside.link
    beside.shared_link(20.0, 23.0)
    for learned in (beside, alone):
        for number in range(4):
            crossing(learned, 20.1 + 0.6 * number, 0.5)
    assert beside.link == known
    assert alone.link != known


def test_link_that_a_download_never_leaves_alone_is_looked_at_now_and_then() -> None:
    learned = EdgeEstimates()
    learned.begin(Link(8e6, 8e6, 0.01))
    crossing(learned, 0.0, 0.02)
    learned.shared_link(1.0, 100.0)
    known = learned.link
    for number in range(1, 40):
        crossing(learned, 1.0 + 0.5 * number, 0.4)
    assert learned.link != known
