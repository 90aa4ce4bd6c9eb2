"""The watch over the cloud in a simulated run: short and long outages under the adaptive policy."""

from itertools import pairwise

from partitioner.estimators.cloud_checks import PROBE_FRAMING
from partitioner.network.link import Link
from partitioner.network.trace import Trace
from partitioner.planning.plan import plan
from partitioner.policy.hedges import Hedging
from partitioner.policy.settings import PolicySettings
from partitioner.simulation.comparison import compare_policies
from partitioner.simulation.pipeline import Passage, Setup
from partitioner.simulation.replay import Run
from tests.kit.profiles import EXAMPLE, make
from tests.kit.traces import trace


def adaptive_over(made_trace: Trace, frames: int, hedging: Hedging | None = None) -> Run:
    """The example's plan, a cloud ten times as fast, five frames a second, time-outs of 10 s."""
    bundle, profile = make(EXAMPLE)
    made = plan(bundle, Link(2e7, 1e7, 0.02), profile, profile.scaled(0.1))
    settings = PolicySettings(hedging=hedging or Hedging())
    (run,) = compare_policies(
        made, Setup(made_trace, 0.2, 4, 10.0), frames, settings, policies=["adaptive"]
    )
    return run


def during(run: Run, begin_s: float, end_s: float) -> list[Passage]:
    return [passage for passage in run.passages if begin_s <= passage.arrived_at < end_s]


def test_calls_in_a_long_outage_break_off_once_the_watch_has_found_no_life() -> None:
    # Dark from 10 s on. The first call that is caught in it is silent for 2 s at 12 s, the probe after that
    # fails at 15 s: then all calls break off, long before their 10 s are over.
    run = adaptive_over(trace((0, 20), (10, 0), (30, 20)), 250, Hedging("off"))
    caught = during(run, 9.9, 15.0)
    lost = [passage for passage in caught if passage.timed_out]
    assert lost  # and the frames after them stay here, while these are waited for
    assert {p.demand.label for p in caught if p not in lost} == {"edge"}
    broken_at = {round(p.done_at - p.device_s, 6) for p in lost[:1]}
    assert all(15.0 <= moment <= 15.4 for moment in broken_at)
    assert {p.demand.label for p in during(run, 16, 30)} == {"edge"}


def test_cloud_is_used_again_soon_after_its_return() -> None:
    run = adaptive_over(trace((0, 20), (10, 0), (30, 20)), 250)
    assert all(passage.served_by == "edge" for passage in during(run, 16, 30))
    # A try fails after 1 s and the next follows within 0.2 s; it is answered once the link is there.
    assert {p.served_by for p in during(run, 31.5, 50)} == {"cloud"}


def test_short_outage_trips_nothing() -> None:
    run = adaptive_over(trace((0, 20), (10, 0), (13, 20)), 150)
    assert not any(passage.timed_out for passage in run.passages)
    assert run.hedges_won >= 1
    assert {p.served_by for p in during(run, 16, 30)} == {"cloud"}


def test_hedges_keep_frames_from_waiting_out_an_outage() -> None:
    dark = trace((0, 20), (10, 0), (13, 20))
    hedged, waiting = adaptive_over(dark, 150), adaptive_over(dark, 150, Hedging("off"))
    assert hedged.latency_s(100) < 0.6 * waiting.latency_s(100)
    assert hedged.mean_s < waiting.mean_s


def test_bytes_of_looks_are_those_of_probes_and_what_tries_send_more() -> None:
    run = adaptive_over(trace((0, 20), (20, 0.5), (40, 20)), 300)
    pairs = [(one.demand, other.demand) for one, other in pairwise(run.passages)]
    tries = [(habit, tried) for habit, tried in pairs if tried.look_bytes]
    assert tries
    for habit, tried in tries:
        assert habit.label == "edge"  # which sends nothing
        assert tried.look_bytes == tried.upload_bytes == 10_000
    assert run.probe_bytes >= 10 * PROBE_FRAMING  # twice a second while frames stay here
    assert run.look_bytes == (run.probe_bytes + 10_000 * len(tries)) / 300
