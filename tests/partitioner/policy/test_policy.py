"""The policy: always near the best of all options, steady, and able to say why."""

from dataclasses import replace

import numpy as np
import pytest

from partitioner.estimators.link_estimate import Outage
from partitioner.planning.option import Option
from partitioner.policy.decision import Decision
from partitioner.policy.hysteresis import Hysteresis
from partitioner.policy.policy import contenders, decide, expected_s
from partitioner.policy.settings import PolicySettings
from tests.kit.plans import CLOUD, EDGE, MIDDLE, PLAN, option, plan_of, seen

STEADY = PolicySettings(caution=0.0, hysteresis=Hysteresis(patience=0.0))


def test_expected_latency_is_the_sum_of_its_parts() -> None:
    # 20 ms · 2 + 10 ms + 8 · 10,000 / 2e6 = 40 ms + 8 · 500 / 2e6 = 2 ms + 5 ms queue + 3 ms · 3
    conditions = seen(2, edge_load=2.0, cloud_load=3.0, cloud_queue_s=0.005)
    assert expected_s(MIDDLE, conditions) == pytest.approx(0.040 + 0.010 + 0.042 + 0.005 + 0.009)
    assert expected_s(EDGE, conditions) == pytest.approx(0.180)


def test_handing_over_is_not_taken_to_be_faster_because_heads_are() -> None:
    # Handing over takes 12 ms of 20; heads run in 0.4 of their time: 0.4 · 8 + 12 = 15.2 ms on the device.
    slow = replace(MIDDLE, handing_s=0.012)
    network_s = 0.010 + 0.040 + 0.002
    faster, slower = seen(2, edge_load=0.4), seen(2, edge_load=2.0)
    assert expected_s(slow, faster) == pytest.approx(0.0152 + network_s + 0.003)
    assert expected_s(slow, slower) == pytest.approx(0.040 + network_s + 0.003)


def test_option_that_is_late_by_its_handing_over_is_not_tried_for_a_deadline() -> None:
    # With heads at half their time: (20 - 10) / 2 + 10 + 52 + 3 = 70 ms; at half of all, 65 ms.
    crossing = replace(MIDDLE, handing_s=0.010)
    plan, settings = plan_of(crossing, replace(EDGE, edge_s=0.2)), replace(STEADY, deadline_s=0.067)
    first = decide(plan, seen(2), None, 0.0, settings)
    later = decide(plan, seen(2, edge_load=0.5), first, 1.0, settings)
    assert [first.option.cut, later.option.cut] == ["edge", "edge"]
    assert not later.meets_deadline


def test_move_says_that_the_cloud_answers_too_late_where_it_is_not_away() -> None:
    near = decide(PLAN, seen(40), None, 0.0, STEADY)
    late = seen(40, cloud_reachable=False, cloud_late=True)
    moved = decide(PLAN, late, near, 1.0, STEADY)
    assert moved.reason == "the cloud answers too late; edge needs none"
    assert decide(PLAN, seen(40), moved, 2.0, STEADY).reason.startswith("the cloud is tried again")


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
    assert (held.option, held.since_s) == (MIDDLE, 0.0)
    assert held.reason == (
        "37.4 ms expected on 19.0 Mbit/s up, 19.0 Mbit/s down, RTT 10.0 ms; cloud/jpeg is 1.16 ms faster, "
        "too little to move for"
    )
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
        ({"cloud_queue_s": 0.2}, "the cloud's queue rose to 200 ms"),
        ({"rtt_s": 0.2}, "round trip rose to 200 ms"),
    ],
)
def test_reason_names_what_has_changed_most(change: dict[str, float], words: str) -> None:
    first = decide(PLAN, seen(8), None, 0.0, STEADY)
    assert first.option == MIDDLE
    moved = decide(PLAN, seen(8, **change), first, 1.0, STEADY)
    assert moved.option != MIDDLE
    assert moved.reason.startswith(words)


def test_pace_of_the_frames_is_a_reason() -> None:
    # One at a time 20 + 10 + 0 + 3 = 33 ms and 12 + 10 + 0 + 13 = 35; one after the other four times the
    # slowest stage, 80 and 52.
    uneven, even = option("cut-01", 0.020, 0, 0.003), option("cut-02", 0.012, 0, 0.013)
    plan = plan_of(uneven, even)
    first = decide(plan, seen(80), None, 0.0, STEADY)
    assert first.option == uneven
    moved = decide(plan, seen(80, frame_period_s=0.0), first, 1.0, STEADY)
    assert moved.option == even
    assert moved.reason.startswith("frames come as fast as they are taken; cut-02/raw is 28.0 ms")
    back = decide(plan, seen(80, frame_period_s=0.2), moved, 2.0, STEADY)
    assert back.option == uneven
    assert back.reason.startswith("frames come every 200 ms; cut-01/raw is ")


AXES = {
    # What is named, and the seconds of it that an option asks for: bytes for the uplink, and so on.
    "uplink": lambda option: -option.upload_bytes,
    "round trip": lambda option: -float(option.cut != "edge"),
    "this device takes": lambda option: -option.edge_s,
    "the cloud takes": lambda option: -option.cloud_s,
    "the cloud's queue": lambda option: -float(option.cut != "edge"),
}


def named(reason: str) -> tuple[str, float]:
    """Return what a reason names, and +1 where it asks for less of that, -1 where it affords more."""
    name = next(name for name in AXES if reason.startswith(name))
    eases = " rose " if name == "uplink" else (" fell ", " only ")
    return name, -1.0 if any(word in reason for word in eases) else 1.0


def test_named_cause_always_favours_the_new_option() -> None:
    """Whatever is named moved so that what the new option asks for less (or more) of became dearer."""
    rng = np.random.default_rng(5)
    options = [
        option(
            f"cut-{n:02}",
            *(rng.uniform(0.001, 0.1), rng.uniform(1e3, 1e5), rng.uniform(0.001, 0.02)),
        )
        for n in range(12)
    ]
    plan, current, moves = plan_of(*options, EDGE), None, 0
    mbit, rtt_s, edge_load, cloud_load, queue_s = 5.0, 0.02, 1.0, 1.0, 0.01
    for step in range(1500):
        mbit, rtt_s, edge_load, cloud_load, queue_s = (
            float(np.clip(value * rng.uniform(0.6, 1.66), low, high))
            for value, low, high in (
                (mbit, 0.1, 100), (rtt_s, 0.001, 0.3), (edge_load, 0.5, 6), (cloud_load, 0.5, 6),
                (queue_s, 0.001, 0.1),
            )
        )  # fmt: skip
        now = seen(mbit, rtt_s, edge_load=edge_load, cloud_load=cloud_load, cloud_queue_s=queue_s)
        before, current = current, decide(plan, now, current, 0.1 * step, STEADY)
        if before is None or before.option == current.option or current.reason.startswith("by all"):
            continue
        moves += 1
        name, sign = named(current.reason)
        asks = AXES[name]
        assert sign * (asks(current.option) - asks(before.option)) > 0, current.reason
    assert moves > 200


def test_largest_change_is_not_named_where_another_explains_the_move() -> None:
    # The uplink rises tenfold and the device becomes ten times as fast: only the latter speaks for the edge.
    first = decide(PLAN, seen(20), None, 0.0, STEADY)
    assert first.option == CLOUD
    moved = decide(PLAN, seen(200, edge_load=0.1), first, 1.0, STEADY)
    # cloud 0.1 + 10 + 2 + 0.02 + 4 = 16.1 ms; edge 9 ms. The uplink changed as much, tenfold.
    assert moved.option == EDGE
    assert moved.reason == "this device takes only 0.1x as long; edge is 7.12 ms faster"


def test_better_knowledge_is_a_reason_of_its_own() -> None:
    slow_head = replace(
        MIDDLE, edge_s=0.045
    )  # 68.5 ms at 8 Mbit/s, the cloud 65.5; in doubt 70.5, 75.5
    plan, cautious = (
        plan_of(CLOUD, slow_head),
        PolicySettings(caution=1.0, hysteresis=Hysteresis(patience=0.0, gain=0.02)),
    )
    known = seen(8)
    guessed = replace(known, link=replace(known.link, byte_variance=4e-14))
    first = decide(plan, guessed, None, 0.0, cautious)
    moved = decide(plan, known, first, 1.0, cautious)
    assert moved.reason == "the link is better known; cloud/jpeg is 3.00 ms faster"
    again = decide(plan, guessed, moved, 2.0, cautious)
    assert again.reason.startswith("the link is less certain; cut-05/q4 is")


def test_small_gain_has_to_last_and_a_large_one_moves_at_once() -> None:
    patient = PolicySettings(caution=0.0, hysteresis=Hysteresis(patience=0.1))
    first = decide(PLAN, seen(8), None, 0.0, patient)
    assert first.option == MIDDLE
    # At 22 Mbit/s: 20 + 10 + 3.64 + 0.18 + 3 = 36.82 ms and 1 + 10 + 18.18 + 0.18 + 4 = 33.36 ms: 3.45 ms
    # of which 5 %, 1.84 ms, do not count; 1.61 ms a frame come to 10 %, 3.68 ms, with the third.
    decisions = [first]
    for step in range(1, 4):
        decisions.append(decide(PLAN, seen(22), decisions[-1], 0.2 * step, patient))
    assert [decision.option for decision in decisions] == [MIDDLE, MIDDLE, MIDDLE, CLOUD]
    assert decisions[2].owed == pytest.approx(2 * 0.00161, rel=0.01)
    # A gain that comes and goes moves nothing.
    current = first
    for step in range(20):
        current = decide(PLAN, seen(22 if step % 3 == 0 else 12), current, 0.2 * step, patient)
        assert current.option == MIDDLE
    assert decide(PLAN, seen(60), first, 0.2, patient).option == CLOUD


def test_cloud_that_is_away_leaves_the_edge_and_its_return_is_the_reason() -> None:
    first = decide(PLAN, seen(40), None, 0.0, STEADY)
    away = decide(PLAN, seen(40, cloud_reachable=False), first, 1.0, STEADY)
    assert (away.option, away.reason) == (EDGE, "the cloud is away; edge needs none")
    back = decide(PLAN, seen(40), away, 2.0, STEADY)
    assert back.option == CLOUD
    assert back.reason.startswith("the cloud is back; cloud/jpeg is")
    assert decide(PLAN, seen(40, cloud_reachable=False), None, 0.0).reason == "the cloud is away"
    stays = decide(PLAN, seen(0.1), away, 2.0, STEADY)  # back, over a link that is of no use
    assert stays.option == EDGE
    assert stays.reason == "the cloud is back; nothing is worth leaving edge for"
    moves = decide(PLAN, seen(40), stays, 3.0, STEADY)
    assert moves.reason.startswith("the cloud is back; cloud/jpeg is")


def test_option_that_would_miss_the_deadline_is_not_taken() -> None:
    limited = replace(STEADY, deadline_s=0.1)
    first = decide(PLAN, seen(40), None, 0.0, limited)
    # At 1 Mbit/s cut-05 takes 20 + 10 + 80 + 4 + 3 = 117 ms; the edge 90 ms.
    moved = decide(PLAN, seen(1), first, 1.0, limited)
    assert (moved.option, moved.meets_deadline) == (EDGE, True)
    assert moved.reason == (
        "uplink fell to 1.00 Mbit/s; cloud/jpeg would miss the deadline of 100 ms, edge is expected in "
        "90.0 ms"
    )


def test_deadline_that_nothing_meets_keeps_the_frame_here() -> None:
    limited = replace(STEADY, deadline_s=0.05)
    decision = decide(PLAN, seen(1), None, 0.0, limited)
    assert (decision.option, decision.meets_deadline) == (EDGE, False)
    assert decision.reason == "no option meets the deadline of 50.0 ms; edge is expected in 90.0 ms"
    only_cloud = decide(plan_of(CLOUD, MIDDLE), seen(1), None, 0.0, limited)
    assert (only_cloud.option, only_cloud.meets_deadline) == (MIDDLE, False)


def test_deadline_that_nothing_meets_keeps_a_frame_here_that_the_cloud_would_finish_sooner() -> (
    None
):
    # At a hundredth of the pace: the edge 9 s, the cloud 0.1 + 0.01 + 4 s, cut-05 2 + 0.01 + 0.8 s. No exit
    # is asked at any of them.
    late = decide(PLAN, seen(0.1, edge_load=100.0), None, 0.0, replace(STEADY, deadline_s=2.0))
    assert (late.option, late.meets_deadline) == (EDGE, False)


def test_move_that_is_too_late_anyway_does_not_claim_to_be_in_time() -> None:
    limited = replace(STEADY, deadline_s=0.08)
    first = decide(PLAN, seen(8), None, 0.0, limited)
    assert (first.option, first.meets_deadline) == (MIDDLE, True)
    late = decide(PLAN, seen(1, edge_load=2.5), first, 1.0, limited)
    assert (late.option, late.meets_deadline) == (EDGE, False)
    # cut-05: 2.5 · 20 + 10 + 80 + 4 + 3 = 147 ms, of which the uplink's fall carries 73.5, the device 30.
    assert late.reason == (
        "uplink fell to 1.00 Mbit/s; no option meets the deadline of 80.0 ms; edge is expected in 225 ms"
    )
    back = decide(PLAN, seen(8), late, 2.0, limited)
    assert (back.option, back.meets_deadline) == (MIDDLE, True)
    assert back.reason == (
        "uplink rose to 8.00 Mbit/s; edge would miss the deadline of 80.0 ms, cut-05/q4 is expected in "
        "43.5 ms"
    )


def test_option_that_stays_says_when_it_stops_and_begins_to_be_in_time() -> None:
    limited, plan = replace(STEADY, deadline_s=0.1), plan_of(EDGE)
    first = decide(plan, seen(8), None, 0.0, limited)
    late = decide(plan, seen(8, edge_load=2.0), first, 1.0, limited)
    assert (late.since_s, late.meets_deadline) == (0.0, False)
    assert late.reason == "no option meets the deadline of 100 ms; edge is expected in 180 ms"
    again = decide(plan, seen(8), late, 2.0, limited)
    assert again.meets_deadline
    assert again.reason == "the deadline of 100 ms can be met again; edge is expected in 90.0 ms"


def test_option_in_time_without_the_margin_is_better_than_one_that_is_never() -> None:
    limited = PolicySettings(deadline_s=0.045, caution=1.0)
    # cut-05 takes 43.5 ms at 8 Mbit/s; with a doubt of 5 ms of 10,000 bytes it may take 48.5.
    guessed = replace(seen(8), link=replace(seen(8).link, byte_variance=(0.005 / 10_000) ** 2))
    decision = decide(PLAN, guessed, None, 0.0, limited)
    assert (decision.option, decision.meets_deadline) == (MIDDLE, True)


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


def test_no_frame_waits_for_a_device_that_sets_the_pace() -> None:
    # Frames as fast as they are taken: one each 90 ms stays alone here, where four would wait for each other.
    held = seen(8, frame_period_s=0.0, device_paced=True)
    assert expected_s(EDGE, held) == pytest.approx(0.09)
    # One each 20 ms: the uplink of 8 Mbit/s, 10 ms a frame, keeps up; RTT 10 ms, 0.5 ms down, 3 ms.
    assert expected_s(MIDDLE, held) == pytest.approx(0.020 + 0.010 + 0.010 + 0.0005 + 0.003)
    # Of 2 Mbit/s (40 ms) it is the slowest, and fills the window.
    assert expected_s(MIDDLE, replace(held, link=seen(2).link)) == pytest.approx(4 * 0.04)


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
    settled = replace(STEADY, hysteresis=Hysteresis(patience=0.0, dwell_s=1.0))
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


def test_answer_that_is_overdue_is_a_reason_of_its_own() -> None:
    calm = seen(40)
    first = decide(PLAN, calm, None, 0.0)
    assert first.option == CLOUD
    out = replace(calm, link=replace(calm.link, outage=Outage(0.01, 1.0, 0.9)))
    away = decide(PLAN, out, first, 1.0)
    assert away.option == EDGE
    assert away.reason.startswith("an answer is overdue, as in an outage; edge is ")
    back = decide(PLAN, calm, away, 2.0)
    assert back.option == CLOUD
    assert back.reason.startswith("the outage is over; cloud/jpeg is ")
