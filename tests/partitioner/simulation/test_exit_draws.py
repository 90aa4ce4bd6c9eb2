"""Exits in simulations: their chance is the plan's, and a deadline moves thresholds as on the edge."""

import numpy as np
import pytest

from partitioner.bundle.exit_outcomes import Outcomes
from partitioner.bundle.exits import BundleExits, Exit, ExitMeta, ExitsMeta
from partitioner.exits.ladder import ladder_for, own_rung, rung_at
from partitioner.network.link import Link
from partitioner.network.step_function import Steps
from partitioner.network.trace import Trace
from partitioner.planning.plan import Plan, plan
from partitioner.policy.settings import PolicySettings
from partitioner.simulation.comparison import compare_policies
from partitioner.simulation.demand import Demand, demands_of
from partitioner.simulation.exit_draws import Exiting
from partitioner.simulation.pipeline import Setup
from partitioner.simulation.replay import Fixed, Run, run_policy, unasked
from tests.kit.profiles import codec, make

# Device 20 ms + 1 ms of encoding and a tenth of the head for the exit: 23 ms. The edge alone takes 120 ms.
EXAMPLE = {
    "cloud": (0.0, 0.100, {"raw": codec(200_000)}),
    "cut-01": (0.020, 0.070, {"raw": codec(10_000, 0.001, 0.001)}),
    "edge": (0.120, 0.0, {"raw": codec(0)}),
}


def sure(seed: int = 1) -> BundleExits:
    """An exit that agrees where its confidence is over 0.7, and in half of the cases below."""
    rng = np.random.default_rng(seed)
    confidence = rng.random(4000, np.float32)
    agrees = (confidence > 0.7) | (rng.random(4000) < 0.5)
    outcomes = Outcomes(confidence, agrees)
    own = outcomes.threshold_for(0.99)
    meta = ExitMeta(cut="cut-01", temperature=1.0, threshold=own, head_share=0.1)
    known = ExitsMeta(
        split_digest="", made_at="", agreement=0.99, trained_samples=1, held_out_samples=4000,
        exits=(meta,),
    )  # fmt: skip
    return BundleExits(known, {"cut-01": Exit(meta, b"", outcomes)})


def made() -> Plan:
    bundle, profile = make(EXAMPLE)
    return plan(bundle, Link(1e6, 1e6, 0.02), profile, profile.scaled(0.1))


def runs(trace: Trace, frames: int, exiting: Exiting | None, deadline_s: float) -> dict[str, Run]:
    settings = PolicySettings(deadline_s=deadline_s)
    setup = Setup(trace, 0.5, 4, 9.0)
    found = compare_policies(made(), setup, frames, settings, exiting=exiting)
    return {run.policy: run for run in found}


@pytest.mark.slow
def test_frames_exit_as_often_as_the_plan_says_and_take_as_long_on_average() -> None:
    exits, link = sure(), Link(1e6, 1e6, 0.02)
    fixed = own_rung(exits)
    exiting = Exiting(exits, (fixed,), fixed)
    run = runs(Trace.constant(link), 1500, exiting, 9.0)["cut-01/raw"]
    planned = made().with_exits(fixed.costs)
    option = next(option for option in planned.options if option.cut == "cut-01")
    assert 0.25 < option.exit_rate < 0.35
    # Three deviations of a mean of 1,500 frames, of which a third takes 23 ms and the others 137.
    assert run.mean_s == pytest.approx(option.total_s, abs=3 * 0.114 * 0.46 / 1500**0.5)
    assert run.exit_share == pytest.approx(option.exit_rate, abs=3 * 0.46 / 1500**0.5)
    assert run.agreement is not None
    assert run.agreement > 0.98
    assert sorted({passage.served_by for passage in run.passages}) == ["cloud", "exit"]
    early = next(passage for passage in run.passages if passage.served_by == "exit")
    assert early.latency_s == pytest.approx(0.023)
    assert (early.demand.upload_bytes, early.network_s) == (0.0, 0.0)
    upload = (1 - run.exit_share) * option.upload_bytes
    assert run.upload_bytes == pytest.approx(upload)


def test_adaptive_policy_moves_the_threshold_with_the_link_and_back() -> None:
    # cut-01 takes 23 ms, and 20 + 84 ms · (Mbit/s)⁻¹ + 7.1 for what crosses: at 8 Mbit/s 61 ms, at 1 Mbit/s
    # 23 + (1 - p) · 111: 110 ms need p >= 0.22, which the highest rung below `none` gives (about 0.3).
    steps = Steps([0.0, 20.0, 60.0], [8e6, 1e6, 8e6], 100.0, "hold")
    exits = sure()
    exiting = Exiting(exits, ladder_for(exits, "auto", 0.11), own_rung(exits))
    trace = Trace("fall", steps).filled(0.02, 8e6)
    run = runs(trace, 200, exiting, 0.11)["adaptive"]
    at = [passage.demand.exits_from for passage in run.passages]
    assert set(at[:38]) == {None}  # in time without early answers
    assert set(at[60:115]) == {exiting.ladder[1].thresholds["cut-01"]}
    assert set(at[130:]) == {None}
    assert run.threshold_moves == 2
    assert run.switches == 0


@pytest.mark.parametrize("limit", [None, 2.0])
def test_frames_lost_on_the_link_agree_as_often_as_their_exit_does(limit: float | None) -> None:
    # Nothing crosses 8 bit/s, so all 2,000 frames get the exit's answer, however unsure: 0.3 + 0.7 / 2 agree.
    exits = sure()
    rung = rung_at(exits, {} if limit is None else {"cut-01": limit})
    exiting = Exiting(exits, (rung,), rung)
    setup = Setup(Trace.constant(Link(8.0, 8.0, 0.02)), 1.0, 4, 0.1)
    demand = Demand("cut-01/raw", 0.02, 10_000, 0.01, 100, fallback="exit")
    run = run_policy(setup, Fixed(demand, lambda one, n: exiting.asked(one, n, rung)), 2000)
    assert run.exit_share == 1.0
    deviation = (0.65 * 0.35 / 2000) ** 0.5
    assert run.agreement == pytest.approx(0.65, abs=4 * deviation)
    assert run_policy(setup, Fixed(demand, unasked), 20).agreement is None


def test_without_exits_no_frame_exits() -> None:
    run = runs(Trace.constant(Link(1e6, 1e6, 0.02)), 20, None, 0.11)["adaptive"]
    assert (run.exit_share, run.agreement, run.threshold_moves) == (0.0, None, 0)


def test_another_seed_draws_other_frames_and_the_same_one_the_same() -> None:
    exits = sure()
    rung = own_rung(exits)
    demand = demands_of(made())["cut-01/raw"]

    def early(seed: int) -> list[bool]:
        exiting = Exiting(exits, (rung,), rung, seed)
        return [exiting.asked(demand, frame, rung).by_exit for frame in range(60)]

    assert early(1) == early(1)
    assert early(1) != early(2)
