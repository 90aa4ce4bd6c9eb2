"""What does a decision cost, and how close is the estimate of a link that changes?"""

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np

from benchmarks import reporting
from benchmarks.synthetic_traces import read_traces
from partitioner.bundle.bundle import Bundle
from partitioner.estimators.link_estimate import LinkEstimate
from partitioner.estimators.link_estimator import LinkEstimator
from partitioner.estimators.transfer import Transfer
from partitioner.exits.ladder import LEVELS, Rung
from partitioner.network.link import Link
from partitioner.network.trace import Trace
from partitioner.planning.objective import Objective
from partitioner.planning.option import Option
from partitioner.planning.plan import Plan
from partitioner.planning.terms import Terms
from partitioner.policy.conditions import Conditions
from partitioner.policy.decision import Decision
from partitioner.policy.exit_thresholds import RungDecision, RungPlan, decide_bounded
from partitioner.policy.policy import contenders, decide
from partitioner.policy.power_rules import NO_POWER_DEMAND, PowerDemand
from partitioner.policy.settings import PolicySettings
from partitioner.profiles.profile import Profile
from protos.names import EDGE

SIZES = (2_000.0, 8_000.0, 20_000.0, 40_000.0)
ANSWER_BYTES = 300.0
RTT_S = 0.04
PERIOD_S = 0.2
LOW = PowerDemand(("low battery",), 3.0, 15.0, seconds_per_joule=0.1)
P95 = PolicySettings(objective=Objective.parse("p95"))
RUNGS = 1 + len(LEVELS)
SETTLED = 3
"""Frames after a change of the rate from which on the estimate counts as settled."""


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """Time decisions over plans of two sizes, and follow links with noise of 5 % and 10 %."""
    traces = read_traces(Path(arguments.traces))
    return {
        "decision_s": {count: _decisions(count, arguments.decisions) for count in (12, 60)},
        "estimate": {
            trace.name: {
                f"noise {noise:.0%}": _follow(trace, noise, arguments.seconds)
                for noise in (0.05, 0.1)
            }
            for trace in traces
        },
    }


def _decisions(options: int, count: int) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    known = [_option(f"cut-{n:02}", rng) for n in range(options)]
    known.append(_option(EDGE, rng))
    weighed = contenders(known)
    return {
        "all options": _times(tuple(known), count),
        "contenders": {"options": len(weighed), **_times(weighed, count)},
        "contenders, by joules too, on a low battery": _times(weighed, count, _thrifty(), LOW),
        "contenders, by their p95": _times(weighed, count, P95),
        "thresholds too": {"options": len(weighed), "rungs": RUNGS, **_bounded(weighed, count)},
        "bound_s": 0.0002,
    }


def _thrifty() -> PolicySettings:
    objective = Objective.parse("latency=1,energy=0.2")
    return PolicySettings(objective=objective, terms=Terms.named("raspberry-pi-4"))


def _times(
    options: tuple[Option, ...],
    count: int,
    settings: PolicySettings | None = None,
    power_demand: PowerDemand = NO_POWER_DEMAND,
) -> dict[str, float]:
    plan = _plan(options)

    def choose(seen: Conditions, current: Decision | None, now_s: float) -> Decision:
        return decide(plan, replace(seen, power_demand=power_demand), current, now_s, settings)

    return _walk(choose, count)


def _bounded(options: tuple[Option, ...], count: int) -> dict[str, float]:
    """Every cut has an exit, and the deadline is one that the link often leaves no time for."""
    steps = []
    for rung in range(RUNGS):
        share = rung / (RUNGS - 1)
        asked = (
            replace(it, exit_s=0.05 * it.edge_s, exit_rate=share) if it.cut != EDGE else it
            for it in options
        )
        steps.append(RungPlan(Rung(), _plan(tuple(asked))))
    settings = PolicySettings(deadline_s=0.06)

    def choose(seen: Conditions, current: RungDecision | None, now_s: float) -> RungDecision:
        return decide_bounded(steps, seen, current, now_s, settings)

    return _walk(choose, count)


def _plan(options: tuple[Option, ...]) -> Plan:
    factors = tuple(sorted(np.exp(0.1 * np.random.default_rng(3).standard_normal(200)).tolist()))
    cuts = {option.cut: SimpleNamespace(head=None, tail=None) for option in options}
    varying = cast(Profile, SimpleNamespace(cuts=cuts, frame_factors=factors))
    return Plan(cast(Bundle, None), Link(1e6, 1e6, 0.0), varying, varying, options)


def _walk(choose: Callable[[Conditions, Any, float], Any], count: int) -> dict[str, float]:
    """Time decisions while the uplink wanders between 0.5 and 50 Mbit/s."""
    rng = np.random.default_rng(1)
    current, seconds, uplink_bps = None, [], 5e6
    for step in range(count):
        uplink_bps = float(np.clip(uplink_bps * rng.uniform(0.8, 1.25), 0.5e6, 50e6))
        link = LinkEstimate(Link(uplink_bps, uplink_bps, 0.03))
        seen = Conditions(link, frame_period_s=0.1)
        begun = time.perf_counter()
        current = choose(seen, current, 0.1 * step)
        seconds.append(time.perf_counter() - begun)
    return reporting.spread(seconds)


def _option(cut: str, rng: np.random.Generator) -> Option:
    crosses = cut != EDGE
    return Option(
        cut=cut,
        codec="raw",
        edge_s=float(rng.uniform(0.001, 0.1)),
        upload_bytes=float(rng.uniform(1e3, 1e5)) * crosses,
        network_s=0.0,
        cloud_s=float(rng.uniform(0.001, 0.02)) * crosses,
        download_bytes=500 * crosses,
        frontier_bytes=0,
        edge_memory_bytes=0,
        cloud_memory_bytes=0,
    )


@dataclass
class _Seen:
    """The errors of one run, and how many frames each step took to be recognised."""

    errors: list[float]
    settled: list[float]
    step_frames: list[int]


def _follow(trace: Trace, noise: float, seconds: float) -> dict[str, Any]:
    """Send a frame at a time over the trace; compare the estimate with the rate of that moment."""
    rng = np.random.default_rng(2)
    first = Link(max(trace.uplink_bps_at(0.0), 1e5), 8e6, RTT_S)
    estimator = LinkEstimator(first)
    found, now, frame = _Seen([], [], []), 0.0, 0
    rate, age, unknown_for = first.uplink_bps, 0, None
    while now < min(seconds, 2 * trace.duration_s):
        size = SIZES[frame % len(SIZES)]
        through = trace.uploaded_at(size, now)
        network_s = (through - now + RTT_S) * max(0.3, 1 + noise * rng.standard_normal())
        estimator.add(Transfer(size, ANSWER_BYTES, now, now + network_s, 0.0))
        true = trace.uplink_bps_at(through)
        if not 0.9 < true / rate < 1.1:
            unknown_for = 0 if max(true / rate, rate / true) >= 2 else unknown_for
            rate, age = true, 0
        age += 1
        error = abs(estimator.estimate(now).link.uplink_bps - true) / true
        found.errors.append(error)
        if age > SETTLED:
            found.settled.append(error)
        if unknown_for is not None:
            unknown_for += 1
            if error < 0.3:
                found.step_frames.append(unknown_for)
                unknown_for = None
        now, frame = max(now + PERIOD_S, now + network_s), frame + 1
    return {
        "frames": frame,
        "median_error": statistics.median(found.errors),
        "settled_median_error": statistics.median(found.settled) if found.settled else None,
        "settled_frames": len(found.settled),
        "bound": 0.1,
        "steps": len(found.step_frames),
        "frames_to_recognise_a_step": reporting.spread([float(n) for n in found.step_frames])
        if found.step_frames
        else None,
    }


if __name__ == "__main__":
    reporting.main(__doc__, measure, traces="", decisions=5000, seconds=300.0)
