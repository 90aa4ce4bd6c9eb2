"""What the edge learns from its own frames."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from edge_client.cloud.reply import Reply
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


PLAIN = option("cut-01", 0.01, 10_000, 0.020)
"""A tail of 20 ms, by the profile."""


def answer(learned: EdgeEstimates, at_s: float, took_s: float) -> None:
    """An answer of a server that does not say what it took."""
    reply = Reply({}, 10_000, 100, at_s, at_s + took_s, 0.0, 0.0, 0.0, is_accounted=False)
    choice = SimpleNamespace(option=PLAIN, label=PLAIN.label)
    learned.answered(SimpleNamespace(choice=choice, arrived_at=at_s, ready_at=at_s), reply)  # type: ignore[arg-type]


def test_server_that_does_not_say_what_it_took_is_presumed_to_be_as_profiled() -> None:
    learned = EdgeEstimates()
    learned.begin(Link(8e6, 8e6, 0.01))
    for number in range(40):  # 10 ms of round trip, 10.1 of 10,100 bytes at 8 Mbit/s, and the tail
        answer(learned, float(number), 0.0401)
    assert learned.link is not None
    assert learned.link.predict_s(10_000, 100) == pytest.approx(0.0201, rel=0.1)


def test_load_of_a_server_that_does_not_say_is_told_by_answers_that_follow_a_probe() -> None:
    learned = EdgeEstimates()
    link = Link(8e6, 8e6, 0.01)
    learned.begin(link)
    for number in range(60):  # the tail takes three times as long as profiled
        probe_s = link.predict_s(4_000, 100)
        learned.probed(Transfer(4_000, 100, float(number), number + probe_s, 0.0))
        answer(learned, number + 0.1, 0.0201 + 0.060)
    seen = learned.conditions(60.0, NO_POWER_DEMAND, reachable=True)
    assert seen.cloud_load == pytest.approx(3.0, rel=0.15)
    assert learned.link is not None
    assert learned.link.predict_s(10_000, 100) == pytest.approx(0.0201, rel=0.25)


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
