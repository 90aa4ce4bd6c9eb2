"""The policy: always near the best of all options, steady, and able to say why."""

from dataclasses import replace
from typing import cast

import numpy as np
import pytest

from partitioner.bundle import Bundle
from partitioner.estimating import LinkEstimate
from partitioner.link import Link
from partitioner.planning import Option, Plan
from partitioner.policy import (
    Conditions,
    Decision,
    PolicySettings,
    contenders,
    decide,
    expected_s,
)
from partitioner.profiles import Profile

STEADY = PolicySettings(caution=0.0)


def option(cut: str, edge_s: float, upload: float, cloud_s: float, codec: str = "raw") -> Option:
    crosses = cut != "edge"
    return Option(
        cut=cut,
        codec=codec,
        edge_s=edge_s,
        upload_bytes=upload,
        network_s=0.0,
        cloud_s=cloud_s,
        download_bytes=500 if crosses else 0,
        frontier_bytes=int(upload),
        edge_memory_bytes=0,
        cloud_memory_bytes=0,
    )


CLOUD = option("cloud", 0.001, 50_000, 0.004, "jpeg")
MIDDLE = option("cut-05", 0.020, 10_000, 0.003, "q4")
EDGE = option("edge", 0.090, 0, 0.0)


def plan_of(*options: Option) -> Plan:
    nobody = cast(Profile, None)
    return Plan(cast(Bundle, None), Link(1e6, 1e6, 0.0), nobody, nobody, options)


PLAN = plan_of(CLOUD, MIDDLE, EDGE)


def seen(mbit: float, rtt_s: float = 0.01, **more: float | bool | None) -> Conditions:
    return Conditions(LinkEstimate(Link(mbit * 1e6, mbit * 1e6, rtt_s)), **more)  # type: ignore[arg-type]


def test_expected_latency_is_the_sum_of_its_parts() -> None:
    # 20 ms · 2 + 10 ms + 8 · 10,000 / 2e6 = 40 ms + 8 · 500 / 2e6 = 2 ms + 5 ms queue + 3 ms · 3
    conditions = seen(2, edge_load=2.0, cloud_load=3.0, cloud_queue_s=0.005)
    assert expected_s(MIDDLE, conditions) == pytest.approx(0.040 + 0.010 + 0.042 + 0.005 + 0.009)
    assert expected_s(EDGE, conditions) == pytest.approx(0.180)


@pytest.mark.parametrize(("mbit", "best"), [(100, CLOUD), (5, MIDDLE), (0.5, EDGE)])
def test_first_decision_is_the_fastest_option(mbit: float, best: Option) -> None:
    decision = decide(PLAN, seen(mbit), None, 7.0, STEADY)
    assert decision.option == best
    assert decision.expected_s == min(expected_s(each, seen(mbit)) for each in PLAN.options)
    assert (decision.since_s, decision.meets_deadline) == (7.0, True)
    assert "expected on" in decision.reason


def test_decision_is_never_worse_than_the_hysteresis_allows() -> None:
    """Against the best of all options, over random walks of everything that is seen."""
    rng = np.random.default_rng(1)
    options = [
        option(
            f"cut-{n:02}",
            *(rng.uniform(0.001, 0.1), rng.uniform(1e3, 1e5), rng.uniform(0.001, 0.02)),
        )
        for n in range(12)
    ]
    plan, current = plan_of(*options, EDGE), None
    mbit, edge_load, cloud_load, period = 5.0, 1.0, 1.0, 0.1
    for step in range(2000):
        mbit = float(np.clip(mbit * rng.uniform(0.7, 1.43), 0.1, 100))
        edge_load = float(np.clip(edge_load * rng.uniform(0.9, 1.11), 0.5, 6))
        cloud_load = float(np.clip(cloud_load * rng.uniform(0.9, 1.11), 0.5, 6))
        period = float(np.clip(period * rng.uniform(0.9, 1.11), 0.01, 1))
        now = seen(mbit, edge_load=edge_load, cloud_load=cloud_load, frame_period_s=period)
        current = decide(plan, now, current, 0.1 * step, STEADY)
        best = min(expected_s(each, now, STEADY) for each in plan.options)
        assert current.expected_s <= max(best / 0.95, best + 0.001) + 1e-12
        assert current.expected_s == pytest.approx(expected_s(current.option, now, STEADY))


def test_small_gain_moves_nothing_and_a_large_one_says_why() -> None:
    first = decide(PLAN, seen(8), None, 0.0, STEADY)
    assert first.option == MIDDLE
    # 20 + 10 + 4.21 + 0.21 + 3 = 37.4 ms; 1 + 10 + 21.05 + 0.21 + 4 = 36.3 ms: 1.2 ms of 37 is under 5 %.
    held = decide(PLAN, seen(19), first, 1.0, STEADY)
    assert (held.option, held.reason, held.since_s) == (MIDDLE, first.reason, 0.0)
    # 20 + 10 + 80,000 / 40e6 = 2 + 0.1 + 3 = 35.1 ms; 1 + 10 + 10 + 0.1 + 4 = 25.1 ms: 10 ms.
    moved = decide(PLAN, seen(40), held, 2.0, STEADY)
    assert moved.option == CLOUD
    assert moved.reason == "uplink rose to 40.0 Mbit/s; cloud/jpeg is 10.0 ms faster"
    assert moved.since_s == 2.0


def test_fall_of_the_uplink_is_the_reason() -> None:
    first = decide(PLAN, seen(40), None, 0.0, STEADY)
    # 1 + 10 + 400,000 / 1.8e6 = 222.2 + 2.2 + 4 = 239.4 ms; 20 + 10 + 44.4 + 2.2 + 3 = 79.7 ms
    moved = decide(PLAN, seen(1.8), first, 1.0, STEADY)
    assert moved.reason == "uplink fell to 1.80 Mbit/s; cut-05/q4 is 160 ms faster"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"edge_load": 6.0}, "this device takes 6.0x as long"),
        ({"cloud_load": 40.0}, "the cloud takes 40.0x as long"),
        ({"cloud_queue_s": 0.2}, "the cloud's queue takes 200 ms"),
        ({"rtt_s": 0.2}, "round trip rose to 200 ms"),
    ],
)
def test_reason_names_what_has_changed_most(change: dict[str, float], words: str) -> None:
    first = decide(PLAN, seen(8), None, 0.0, STEADY)
    assert first.option == MIDDLE
    moved = decide(PLAN, seen(8, **change), first, 1.0, STEADY)
    assert moved.option != MIDDLE
    assert moved.reason.startswith(words)


def test_cloud_that_is_away_leaves_the_edge_and_its_return_is_the_reason() -> None:
    first = decide(PLAN, seen(40), None, 0.0, STEADY)
    away = decide(PLAN, seen(40, cloud_reachable=False), first, 1.0, STEADY)
    assert (away.option, away.reason) == (EDGE, "the cloud is away; edge needs none")
    back = decide(PLAN, seen(40), away, 2.0, STEADY)
    assert back.option == CLOUD
    assert back.reason.startswith("the cloud is back; cloud/jpeg is")
    assert decide(PLAN, seen(40, cloud_reachable=False), None, 0.0).reason == "the cloud is away"


def test_option_that_would_miss_the_deadline_is_not_taken() -> None:
    limited = replace(STEADY, deadline_s=0.1)
    first = decide(PLAN, seen(40), None, 0.0, limited)
    # At 1 Mbit/s cut-05 takes 20 + 10 + 80 + 4 + 3 = 117 ms; the edge 90 ms.
    moved = decide(PLAN, seen(1), first, 1.0, limited)
    assert (moved.option, moved.meets_deadline) == (EDGE, True)
    assert (
        "cloud/jpeg would miss the deadline of 100 ms, edge is expected in 90.0 ms" in moved.reason
    )


def test_deadline_that_nothing_meets_keeps_the_frame_here() -> None:
    limited = replace(STEADY, deadline_s=0.05)
    decision = decide(PLAN, seen(1), None, 0.0, limited)
    assert (decision.option, decision.meets_deadline) == (EDGE, False)
    only_cloud = decide(plan_of(CLOUD, MIDDLE), seen(1), None, 0.0, limited)
    assert (only_cloud.option, only_cloud.meets_deadline) == (MIDDLE, False)


def test_guess_has_to_promise_more_than_what_is_known() -> None:
    # At 8 Mbit/s: cloud 1 + 10 + 50 + 0.5 + 4 = 65.5 ms, cut-05 20 + 10 + 10 + 0.5 + 3 = 43.5 ms.
    slow_head = replace(MIDDLE, edge_s=0.045)  # 68.5 ms: the cloud is 3 ms better
    plan = plan_of(CLOUD, slow_head)
    known = seen(8)
    # 1e-7 s a byte: 5 ms for 50,000 bytes, 1 ms for 10,000.
    guessed = replace(known, link=replace(known.link, byte_variance=1e-14))
    cautious = PolicySettings(caution=1.0)
    assert decide(plan, known, None, 0.0, cautious).option == CLOUD
    assert decide(plan, guessed, None, 0.0, cautious).option == slow_head


def test_option_whose_slowest_stage_cannot_keep_up_pays_for_the_queue() -> None:
    # Alone: cut-05 at 8 Mbit/s 43.5 ms with a slowest stage of 20 ms.
    alone = expected_s(MIDDLE, seen(8))
    assert alone == pytest.approx(0.0435)
    # Every 10 ms: four frames queue, the window is full: 4 · 20 ms.
    assert expected_s(MIDDLE, seen(8, frame_period_s=0.01)) == pytest.approx(0.08)
    # Every 40 ms: half busy, 0.5 / 0.5 · 0.1 / 2 · 20 ms = 1 ms.
    assert expected_s(MIDDLE, seen(8, frame_period_s=0.04)) == pytest.approx(0.0445)
    assert expected_s(EDGE, seen(8, frame_period_s=0.05)) == pytest.approx(0.36)


def test_frame_rate_moves_the_cut_to_what_keeps_up() -> None:
    # Alone 60 ms beats 70 ms; every 40 ms the head of 55 ms cannot keep up, stages of 25 ms can.
    front = option("cut-01", 0.055, 100, 0.001)
    even = option("cut-02", 0.025, 5_000, 0.025)
    plan = plan_of(front, even)
    link = seen(4, rtt_s=0.003)
    assert decide(plan, link, None, 0.0, STEADY).option == front
    rated = replace(link, frame_period_s=0.04)
    first = decide(plan, replace(link, frame_period_s=1.0), None, 0.0, STEADY)
    moved = decide(plan, rated, first, 1.0, STEADY)
    assert (first.option, moved.option) == (front, even)
    assert moved.reason.startswith("frames come every 40.0 ms; cut-02/raw is")


def test_dwell_holds_a_fresh_move_but_not_against_a_failure() -> None:
    settled = replace(STEADY, dwell_s=1.0)
    first = decide(PLAN, seen(40), None, 0.0, settled)
    assert decide(PLAN, seen(1), first, 0.5, settled).option == CLOUD
    assert decide(PLAN, seen(1), first, 1.5, settled).option == EDGE
    assert decide(PLAN, seen(40, cloud_reachable=False), first, 0.5, settled).option == EDGE


def test_option_that_is_no_longer_offered_is_left() -> None:
    gone = Decision(option("cut-99", 0, 0, 0), "", 0.0, seen(8), 0.0)
    moved = decide(PLAN, seen(8), gone, 1.0, STEADY)
    assert moved.reason == "cut-99/raw is no longer offered; cut-05/q4 is the fastest"


def test_contenders_hold_every_option_that_is_ever_the_best() -> None:
    rng = np.random.default_rng(3)
    options = [
        option(
            f"cut-{n:02}",
            *(float(value) for value in rng.choice([1, 2, 3, 5, 8], 3) * (0.01, 1e4, 0.01)),
        )
        for n in range(40)
    ] + [EDGE]
    kept = contenders(options)
    assert len(kept) < len(options)
    assert EDGE in kept
    for _ in range(300):
        now = seen(
            float(rng.uniform(0.2, 50)),
            float(rng.uniform(0, 0.1)),
            edge_load=float(rng.uniform(0.5, 4)),
            cloud_load=float(rng.uniform(0.5, 4)),
            frame_period_s=float(rng.choice([0.0, 0.02, 0.1])),
        )
        best = min(expected_s(each, now) for each in options)
        assert min(expected_s(each, now) for each in kept) == best
