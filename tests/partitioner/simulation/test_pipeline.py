"""Hedged frames in a simulated run, each computed by hand."""

import math
from dataclasses import replace

import pytest

from partitioner.devices.device import Device
from partitioner.devices.radio import Radio
from partitioner.network.trace import Trace
from partitioner.planning.terms import Terms
from partitioner.simulation.demand import Demand
from partitioner.simulation.pipeline import Setup
from partitioner.simulation.replay import Fixed, Run, run_policy
from partitioner.simulation.spending import mean_spent
from tests.kit.traces import trace

# Head 0.1 s, 1 Mbit up, half the round trip of 20 ms, tail 0.05 s, 0.1 Mbit down; here the tail takes 0.3 s.
SPLIT = Demand("cut-01/raw", 0.1, 125_000, 0.05, 12_500, finish_s=0.3)
RADIO = Radio(title="r", upload_w_per_mbps=1.0, download_w_per_mbps=1.0, active_w=0.5)
DARK = trace((0, 10), (0.05, 0), (50, 10))
"""Nothing crosses from 50 ms on."""


def hedged(
    over: Trace, frames: int, after_s: float, period_s: float = 10.0, window: int = 4
) -> Run:
    setup = Setup(over, period_s, window, 9.0)
    return run_policy(setup, Fixed(replace(SPLIT, hedge_after_s=after_s)), frames)


def test_device_wins_while_nothing_crosses() -> None:
    (only,) = hedged(DARK, 1, 0.2).passages
    # Handed over at 0.1, begun at 0.3, done at 0.6; the call is given up at 9.1.
    assert (only.done_at, only.device_s) == pytest.approx((0.6, 0.3))
    assert (only.served_by, only.hedged, only.timed_out) == ("edge", True, True)
    assert only.answered_at == math.inf


def test_late_answer_ends_the_local_run_at_that_moment() -> None:
    run = hedged(trace((0, 5)), 2, 0.2, period_s=0.35, window=1)
    # 0.2 s up: answered at 0.1 + 0.2 + 0.01 + 0.05 + 0.01 + 0.01 = 0.38; the hedge ran from 0.3 on.
    first, second = run.passages
    assert (first.done_at, first.device_s) == pytest.approx((0.38, 0.08))
    assert (first.served_by, first.hedged, first.timed_out) == ("cloud", True, False)
    assert second.begun_at == pytest.approx(0.38)
    assert (run.hedged, run.hedges_won) == (2, 0)


def test_message_of_a_frame_that_the_device_won_stays_on_the_uplink() -> None:
    # 1 Mbit/s: 1 s up. The device is done at 0.1 + 0.1 + 0.3 = 0.5, the answer comes at 1.1 + 0.08.
    first, second = hedged(trace((0, 1)), 2, 0.1, period_s=1.0).passages
    assert (first.done_at, first.answered_at) == pytest.approx((0.5, 1.18))
    assert (first.served_by, first.timed_out) == ("edge", False)
    # The second one's head is done at 1.1, just when the uplink is free; its own answer comes at 2.18.
    assert (second.sent_at, second.done_at) == pytest.approx((1.1, 1.5))


def test_answer_that_is_early_enough_meets_no_hedge() -> None:
    plain = run_policy(Setup(trace((0, 10)), 0.0, 3, 9.0), Fixed(SPLIT), 9)
    run = hedged(trace((0, 10)), 9, 0.2, period_s=0.0, window=3)
    assert run.latencies_s.tolist() == plain.latencies_s.tolist()
    assert (run.hedged, {passage.device_s for passage in run.passages}) == (0, {0.0})


def test_hedge_begins_only_when_no_head_waits_and_the_oldest_goes_first() -> None:
    # All at once, a window of 3: heads from 0.0, 0.1, 0.2. Hedges are due at 0.1 + 0.15 = 0.25 (the third
    # head runs until 0.3), 0.35 and 0.45. The first runs from 0.3 to 0.6; then the second begins just as the
    # fourth frame is taken, whose head waits until 0.9 and goes before the third hedge.
    run = hedged(DARK, 4, 0.15, period_s=0.0, window=3)
    assert [p.done_at for p in run.passages] == pytest.approx([0.6, 0.9, 1.3, 1.6])
    assert run.passages[3].begun_at == pytest.approx(0.9)


def test_hedge_that_may_not_begin_waits_until_the_call_is_given_up() -> None:
    class Miser(Fixed):
        def may_hedge(self) -> bool:
            return False

    policy = Miser(replace(SPLIT, hedge_after_s=0.1))
    run = run_policy(Setup(DARK, 10.0, 4, 2.0), policy, 1)
    assert run.passages[0].done_at == pytest.approx(0.1 + 2.0 + 0.3)
    assert (run.hedged, run.timed_out) == (0, 1)


def test_device_without_any_fallback_does_not_hedge() -> None:
    bare = replace(SPLIT, hedge_after_s=0.1, finish_s=0.0, fallback="none")
    run = run_policy(Setup(DARK, 10.0, 4, 2.0), Fixed(bare), 1)
    assert run.passages[0].done_at == pytest.approx(2.1)
    assert (run.hedged, run.passages[0].served_by) == (0, "none")


def test_tail_after_a_lost_call_goes_before_a_younger_head() -> None:
    # Given up at 0.1 + 0.35 = 0.45, while the head of the second frame, taken at 0.4, runs until 0.5. The
    # third one's, taken at 0.42, waits for the tail: until 0.8.
    class Late(Fixed):
        def may_hedge(self) -> bool:
            return False

    setup = Setup(DARK, 0.0, 1, 0.35)
    one = Late(replace(SPLIT, hedge_after_s=0.1))
    assert run_policy(setup, one, 2).passages[1].begun_at == pytest.approx(0.75)
    paced = Setup(DARK, 0.42, 4, 0.35)
    run = run_policy(paced, Late(replace(SPLIT, hedge_after_s=0.1)), 2)
    assert run.passages[0].done_at == pytest.approx(0.82)
    assert run.passages[1].begun_at == pytest.approx(0.42)


def test_run_that_begins_later_is_as_over_the_rest_of_the_trace() -> None:
    whole, rest = trace((0, 10), (20, 2), (30, 5)), trace((0, 2), (10, 5))
    late = run_policy(Setup(whole, 0.3, 4, 9.0, begins_at=20.0), Fixed(SPLIT), 50)
    early = run_policy(Setup(rest, 0.3, 4, 9.0), Fixed(SPLIT), 50)
    assert late.passages[0].arrived_at == 20.0
    assert late.latencies_s.tolist() == pytest.approx(early.latencies_s.tolist())


def test_joules_count_the_local_runs_of_races_won_or_lost() -> None:
    device, radio = Device(title="d", idle_w=1.0, compute_w=5.0), RADIO
    late, none = (hedged(trace((0, 5)), 1, after_s) for after_s in (0.2, 5.0))
    terms = Terms(device, radio)
    more_j = mean_spent(late, terms).energy_j - mean_spent(none, terms).energy_j  # type: ignore[operator]
    assert more_j == pytest.approx(0.08 * device.compute_w)
