"""What the edge learns from its own frames."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from edge_client.control.estimates import EdgeEstimates
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
