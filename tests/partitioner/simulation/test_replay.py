"""Frames over a trace: by hand, against the plan, and the clairvoyant against every fixed option."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from partitioner.bundle.bundle import Bundle
from partitioner.bundle.head_export import export_heads
from partitioner.network.link import Link
from partitioner.network.step_function import Steps
from partitioner.network.trace import Trace
from partitioner.planning.plan import plan
from partitioner.policy.settings import PolicySettings
from partitioner.profiles.profile import StageProfile, Timing
from partitioner.profiles.variation import Variation
from partitioner.simulation.comparison import compare_policies
from partitioner.simulation.demand import Demand, demands_of
from partitioner.simulation.pipeline import Setup
from partitioner.simulation.replay import Fixed, Policy, Run, run_policy
from protos.errors import UsageError
from tests.kit.profiles import EXAMPLE, codec, make, profile_of, profile_of_heads
from tests.kit.traces import trace

SPLIT = Demand("cut-01/raw", 0.1, 125_000, 0.05, 12_500, finish_s=0.3)  # 1 Mbit up, 0.1 Mbit down
LOCAL = Demand("edge", 0.4, 0, 0, 0)


def latencies(setup: Setup, demand: Demand, frames: int) -> list[float]:
    return run_policy(setup, Fixed(demand), frames).latencies_s.tolist()


def test_fixed_options_on_a_constant_link_take_what_the_plan_says() -> None:
    bundle, profile = make(EXAMPLE)
    link = Link(2e6, 5e6, 0.03)
    made = plan(bundle, link, profile, profile.scaled(0.1))
    setup = Setup(Trace.constant(link), 10.0, 4, 9.0)
    for label, demand in demands_of(made).items():
        wanted = next(option.total_s for option in made.options if option.label == label)
        assert latencies(setup, demand, 3) == pytest.approx([wanted] * 3)


def test_frames_wait_for_each_other_at_every_stage() -> None:
    # All at once into a window of 3, at 10 Mbit/s: head 0.1 s, up 0.1, 10 ms, tail 0.05, down 0.01, 10 ms.
    # Heads end at 0.1, 0.2, 0.3; no stage is slower, so each frame is done 0.18 s after its head.
    setup = Setup(trace((0, 10)), 0.0, 3, 9.0)
    # Frame 3 is taken when frame 0 is done, at 0.28; the device is free at 0.3.
    assert latencies(setup, SPLIT, 4) == pytest.approx([0.28, 0.38, 0.48, 0.4 + 0.18 - 0.28])
    # At 5 Mbit/s the uplink takes 0.2 s a frame: it is free at 0.3, 0.5, 0.7; then 0.08 s are left.
    setup = Setup(trace((0, 5)), 0.0, 3, 9.0)
    assert latencies(setup, SPLIT, 3) == pytest.approx([0.38, 0.58, 0.78])
    # A tail of 0.25 s and one worker: it begins at 0.21, 0.46, 0.71; two workers: 0.21, 0.31, 0.46.
    slow = Demand("slow", 0.1, 125_000, 0.25, 12_500)
    setup = Setup(trace((0, 10)), 0.0, 3, 9.0)
    assert latencies(setup, slow, 3) == pytest.approx([0.48, 0.73, 0.98])
    setup = Setup(trace((0, 10)), 0.0, 3, 9.0, workers=2)
    assert latencies(setup, slow, 3) == pytest.approx([0.48, 0.58, 0.73])


def test_device_that_sets_the_pace_takes_a_frame_when_it_is_free() -> None:
    # As above, but frames come when heads end, at 0.1 s and 0.2 s, and frame 3 when it has room, at 0.3.
    setup = Setup(trace((0, 10)), 0.0, 3, 9.0, device_paced=True)
    run = run_policy(setup, Fixed(SPLIT), 4)
    assert [p.arrived_at for p in run.passages] == pytest.approx([0.0, 0.1, 0.2, 0.3])
    assert run.latencies_s.tolist() == pytest.approx([0.28] * 4)
    # Frames 0 and 1 are given up at 1.1 and 1.2 s; their tails run until 1.4 and 1.7. At 1.4 there is room.
    setup = Setup(trace((0, 10), (0.05, 0), (50, 10)), 0.0, 2, 1.0, device_paced=True)
    assert run_policy(setup, Fixed(SPLIT), 3).passages[2].arrived_at == pytest.approx(1.7)


def test_policy_knows_that_no_frame_waits_for_the_device() -> None:
    """A camera faster than the device, a deadline, and the cut `edge` as the only one within it."""
    cuts = {
        "cloud": (0.0, 0.09, {"raw": codec(500_000)}),
        "cut-01": (0.02, 0.003, {"raw": codec(50_000)}),
        "edge": (0.09, 0.0, {"raw": codec(0)}),
    }
    bundle, profile = make(cuts)
    made = plan(bundle, Link(4e6, 10e6, 0.02), profile, profile)
    settings = PolicySettings(deadline_s=0.15, caution=0.0)
    setup = Setup(trace((0, 4)), 0.01, 4, 9.0, device_paced=True)
    *_, adaptive, _known = compare_policies(made, setup, 60, settings)
    assert {passage.demand.label for passage in adaptive.passages} == {"edge"}
    assert adaptive.missed(0.15) == 0.0
    waiting = compare_policies(made, replace(setup, device_paced=False), 60, settings)
    assert waiting[-2].missed(0.15) > 0.5


def test_stages_add_up_to_the_latency() -> None:
    setup = Setup(trace((0, 5)), 0.0, 3, 9.0)
    for passage in run_policy(setup, Fixed(SPLIT), 5).passages:
        assert passage.network_s == pytest.approx(0.2 + 0.02 + 0.01)
        after = passage.network_s + passage.queue_s + passage.cloud_s
        assert passage.sent_at + after == pytest.approx(passage.done_at)


def test_beat_waits_for_room_and_begins_anew_when_it_is_a_whole_beat_late() -> None:
    # One at a time: each frame takes 0.4 s. With 0.3 s a beat: frame 1 was due at 0.3 and is taken at
    # 0.4, frame 2 at 0.6 and 0.8, frame 3 at 0.9 and 1.2: a whole beat late, so frame 4 is due at 1.5.
    setup = Setup(trace((0, 1)), 0.3, 1, 9.0)
    run = run_policy(setup, Fixed(LOCAL), 5)
    assert [p.arrived_at for p in run.passages] == pytest.approx([0, 0.4, 0.8, 1.2, 1.6])
    assert run.latencies_s.tolist() == pytest.approx([0.4] * 5)
    assert run.fps == pytest.approx(5 / 2.0)


def test_black_out_ends_in_a_time_out_and_the_device_finishes() -> None:
    # Nothing from 1 s to 10 s. The head of frame 1 ends at 1.1; it is given up at 3.1, and its tail
    # takes the device for 0.3 s. Frame 2, due at 2, has its head done at 2.1 and is given up at 4.1.
    setup = Setup(trace((0, 10), (1, 0), (10, 10)), 1.0, 4, 2.0)
    run = run_policy(setup, Fixed(SPLIT), 4)
    assert [p.latency_s for p in run.passages[:3]] == pytest.approx([0.28, 2.4, 2.4])
    assert [p.served_by for p in run.passages[:3]] == ["cloud", "edge", "edge"]
    # Frame 3 is due at 3: its head ends at 3.1, just before the tail of frame 1.
    assert run.passages[3].begun_at == pytest.approx(3.0)
    assert run.timed_out == 3


def test_head_waits_for_a_tail_that_runs_on_the_device() -> None:
    setup = Setup(trace((0, 10), (0.05, 0), (50, 10)), 1.05, 4, 1.0)
    # Frame 0 is given up at 1.1 and its tail runs until 1.4; frame 1, taken at 1.05, has a head of 0.1 s.
    run = run_policy(setup, Fixed(SPLIT), 2)
    assert run.passages[0].done_at == pytest.approx(1.4)
    assert run.passages[1].begun_at == pytest.approx(1.4)


@pytest.mark.slow
def test_wait_for_a_worker_matches_pollaczek_khinchine() -> None:
    """A head whose length is exponential makes Poisson arrivals behind it: M/D/1."""
    import random

    random_ = random.Random(7)
    service_s, load = 0.01, 0.7
    gap_s = service_s / load

    class Poisson(Policy):
        name = "poisson"

        def choose(self, arrived_at: float, begun_at: float) -> Demand:
            # The next head begins as this one ends, so its length is the time between two arrivals.
            return Demand("x", random_.expovariate(1 / gap_s), 1e-9, service_s, 0)

    setup = Setup(Trace.constant(Link(1e9, 1e9, 0.0)), 0.0, 10_000, 1e6)
    waits = [p.queue_s for p in run_policy(setup, Poisson(), 60_000).passages]
    # Pollaczek–Khinchine for a constant service: Wq = ρ s / (2 (1 − ρ)) = 0.7 · 0.01 / 0.6.
    assert sum(waits) / len(waits) == pytest.approx(0.7 * 0.01 / 0.6, rel=0.05)


def test_times_are_drawn_through_the_quantiles_of_the_profile() -> None:
    # 200 frames were measured, of 0.8 to 1.2 times the median, and 20 of them of twice that: 10 % are late.
    even = np.linspace(0.8, 1.2, 180)
    factors = tuple(np.sort(np.concatenate([even, np.full(20, 2.0)])).tolist())
    local = replace(LOCAL, edge_variation=Variation(factors))
    drawn = latencies(Setup(trace((0, 1)), 10.0, 1, 9.0, seed=1), local, 20_000)
    shares = (0.05, 0.25, 0.5, 0.75, 0.95)
    wanted = 0.4 * np.quantile(factors, shares)
    assert np.quantile(drawn, shares) == pytest.approx(wanted, rel=0.01)
    assert np.mean(drawn) == pytest.approx(0.4 * np.mean(factors), rel=0.01)


def test_times_of_an_older_profile_are_drawn_through_its_percentiles() -> None:
    # Its stages took 80 ms, 100 ms and 150 ms at the 10th, 50th and 90th percentile.
    bundle, profile = make(EXAMPLE)
    timing = Timing(median_s=0.1, p10_s=0.08, p90_s=0.15, repeats=9)
    cuts = dict(profile.cuts)
    cuts["edge"] = cuts["edge"].model_copy(
        update={"head": StageProfile(timing=timing, memory_bytes=1)}
    )
    older = profile.model_copy(update={"cuts": cuts})
    made = plan(bundle, Link(1e6, 1e6, 0.02), older, older)
    setup = Setup(Trace.constant(made.link), 10.0, 1, 9.0, seed=1)
    drawn = latencies(setup, demands_of(made)["edge"], 20_000)
    assert np.quantile(drawn, (0.1, 0.5, 0.9)) == pytest.approx((0.08, 0.1, 0.15), rel=0.02)


def test_equal_seeds_give_equal_runs_and_no_seed_the_medians() -> None:
    spread = Variation((0.5, 1.0, 1.7))
    split = replace(SPLIT, edge_variation=spread, cloud_variation=spread)
    calm = trace((0, 10))
    one, same, other = (
        latencies(Setup(calm, 0.3, 4, 9.0, seed=seed), split, 50) for seed in (4, 4, 5)
    )
    assert one == same
    assert one != other
    assert latencies(Setup(calm, 0.3, 4, 9.0), split, 3) == pytest.approx([0.28] * 3)


def adaptive_on(made_trace: Trace, frames: int, loads: tuple[float, float] = (1.0, 1.0)) -> Run:
    """The example's plan with a cloud ten times as fast; five frames a second."""
    bundle, profile = make(EXAMPLE)
    made = plan(bundle, Link(1e6, 1e6, 0.02), profile, profile.scaled(0.1))
    setup = Setup(made_trace, 0.2, 4, 10.0)
    runs = compare_policies(made, setup, frames, PolicySettings(), loads)
    assert [run.policy for run in runs[-2:]] == ["adaptive", "clairvoyant"]
    assert runs[-1].mean_s <= min(run.mean_s for run in runs) + 1e-9
    return runs[-2]


def test_adaptive_policy_leaves_a_link_that_fell_and_comes_back_when_it_rose() -> None:
    # On 20 Mbit/s cut-01 takes 31 + 20 + 4 + 0.8 + 7.1 = 63 ms, on 0.5 Mbit/s over 200; edge takes 100.
    run = adaptive_on(trace((0, 20), (20, 0.5), (40, 20)), 300)
    labels = {second: run.passages[5 * second].demand.label for second in (15, 35, 55)}
    assert labels[15] != "edge"
    assert labels[35] == "edge"
    assert labels[55] == labels[15]
    assert run.switches <= 12  # to and fro for looks at the link among them


def test_adaptive_policy_finds_out_that_the_cloud_is_slow() -> None:
    # Tails of 7 ms take 40 times as long: 284 ms, against 100 ms on the device.
    run = adaptive_on(trace((0, 20)), 60, loads=(1.0, 40.0))
    assert run.passages[0].demand.label != "edge"
    assert run.shares["edge"] > 0.5


def test_setup_that_lets_nothing_through_is_refused() -> None:
    for wrong in (
        {"window": 0}, {"workers": 0}, {"timeout_s": 0.0}, {"period_s": -1.0},
        {"period_s": math.inf}, {"trace": Trace("t", Steps([0.0], [1.0], 1.0))},
    ):  # fmt: skip
        given_ = {"trace": trace((0, 1)), "period_s": 1.0, "window": 1, "timeout_s": 1.0} | wrong
        with pytest.raises(UsageError):
            Setup(**given_)


def test_simulated_frame_that_is_lost_without_tails_gets_the_exit_or_nothing(
    exiting: Bundle, tmp_path: Path
) -> None:
    from partitioner.simulation.demand import demand_of

    held = export_heads(exiting, tmp_path / "held")
    edge, cloud = profile_of(exiting, 0.02), profile_of(exiting, 0.001)
    made = plan(held, Link(1e6, 1e6, 0.05), profile_of_heads(edge, held), cloud)
    for option in made.options:
        demand = demand_of(option, made)
        if option.last_resort:
            assert (demand.fallback, demand.finish_s) == ("exit", option.last_resort.exit_s)
            without = demand_of(replace(option, last_resort=None), made)
            assert (without.fallback, without.finish_s) == ("none", 0.0)
        assert demand.scaled(2.0, 1.0).fallback == demand.fallback
