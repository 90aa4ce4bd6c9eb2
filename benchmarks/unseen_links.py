"""Does the adaptive edge keep up on links that it has not seen?

Simulated: the demo's bundle with the profile of this machine, on a device so slow that the whole model
takes 130 ms there. Every option that is ever the best runs over each trace, then the adaptive policy, then
whoever knows the trace. The traces are made (bursty links of six kinds, steps, wanders), the example's, and
those of a folder.

    python -m benchmarks.unseen_links --traces FOLDER      the folder's, too
    python -m benchmarks.unseen_links --only bursty,steps  those whose names contain one of these
    python -m benchmarks.unseen_links --draw 7             other bursty traces of the same kinds
    python -m benchmarks.unseen_links --profile FILE       as measured before, and not anew
"""

import argparse
import math
import statistics
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import reporting
from benchmarks.synthetic_traces import bursty_traces, read_traces
from partitioner.bundle.bundle import Bundle
from partitioner.estimators.transfer import Transfer
from partitioner.network.link import Link
from partitioner.network.trace import Trace
from partitioner.planning.plan import Plan, plan
from partitioner.policy.decision import Decision
from partitioner.policy.estimates import Estimates
from partitioner.policy.exploration import LookSettings
from partitioner.policy.policy import contenders, decide
from partitioner.policy.settings import PolicySettings
from partitioner.profiles.profile import Profile
from partitioner.profiles.profiler import measure_profile
from partitioner.runtime.sessions import RuntimeOptions
from partitioner.simulation.adaptive import ADAPTIVE
from partitioner.simulation.comparison import compare_policies
from partitioner.simulation.pipeline import Setup
from partitioner.simulation.replay import CLAIRVOYANT, Run
from protos.names import EDGE

EXAMPLES = Path(__file__).parent.parent / "examples"
BUNDLE = EXAMPLES / "digits" / "bundle"
DOWN_BPS = 20e6
MOST_S = 150.0
"""Of a trace."""
TIMEOUT_S = 10.0
BOUNDS = {
    "to_clairvoyant": 1.1,
    "to_best_fixed": 1.03,
    "to_best_fixed_where_it_varies": 1.0,
    "p95_to_best_fixed": 1.0,
    "look_share": 0.02,
    "looks_to_budget": 1.0,
    "decision_s": 0.0002,
}


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """Run every policy over each trace, with several draws of what frames take."""
    bundle = Bundle.load(BUNDLE)
    profile = _profile(bundle, arguments.profile)
    made = _plan(bundle, profile, 1e-3 * arguments.edge_ms, 1e-3 * arguments.rtt_ms)
    traces = _traces(arguments)
    jobs = [(trace, seed, arguments) for trace in traces for seed in range(arguments.seeds)]
    found: dict[str, list[dict[str, Any]]] = {trace.name: [] for trace in traces}
    with ProcessPoolExecutor(arguments.processes, initializer=_begin, initargs=(made,)) as pool:
        for done, (name, row) in enumerate(pool.map(_run, jobs), start=1):
            found[name].append(row)
            print(f"{name}: {done} of {len(jobs)} runs", file=sys.stderr)
    rows = [_row(trace, found[trace.name]) for trace in traces]
    decision_s = _decisions(made, bursty_traces(arguments.draw)[0])
    return {
        "options": [option.label for option in made.leading],
        "summary": _summary(rows) | {"decision_s": decision_s["p50"]},
        "bounds": BOUNDS,
        "decision_s": decision_s,
        "traces": rows,
    }


def _profile(bundle: Bundle, file: str) -> Profile:
    """Return what a file says of this machine, or measure it."""
    if file:
        return Profile.of("edge", file)
    return measure_profile(bundle, RuntimeOptions(), 8.0, bundle.samples())


def _plan(bundle: Bundle, profile: Profile, edge_s: float, rtt_s: float) -> Plan:
    """Return a plan for a device on which the whole model takes `edge_s`."""
    link = Link(5e6, DOWN_BPS, rtt_s)
    here = next(it for it in plan(bundle, link, profile, profile).options if it.cut == EDGE)
    return plan(bundle, link, profile.scaled(edge_s / here.edge_s), profile)


def _traces(arguments: argparse.Namespace) -> list[Trace]:
    traces = [*bursty_traces(arguments.draw), *read_traces(Path())]
    traces += read_traces(EXAMPLES / "traces")
    if arguments.traces:
        traces += read_traces(Path(arguments.traces))
    parts = [part for part in arguments.only.split(",") if part]
    return [it for it in traces if not parts or any(part in it.name for part in parts)]


_made: list[Plan] = []
"""The plan, in a process that simulates."""


def _begin(made: Plan) -> None:
    _made[:] = [made]


def _run(job: tuple[Trace, int, argparse.Namespace]) -> tuple[str, dict[str, Any]]:
    """Return what every policy comes to over one trace, with one draw."""
    trace, seed, arguments = job
    (made,), begun_s = _made, time.monotonic()
    filled = trace.filled(1e-3 * arguments.rtt_ms, DOWN_BPS)
    frames = int(min(trace.duration_s, MOST_S) * arguments.fps)
    setup = Setup(filled, 1 / arguments.fps, arguments.window, TIMEOUT_S, 1, seed)
    policies = [*(option.label for option in made.leading), ADAPTIVE, CLAIRVOYANT]
    settings = PolicySettings(window=arguments.window)
    runs = compare_policies(made, setup, frames, settings, policies=policies)
    figures = {run.policy: _figures(run) for run in runs}
    return trace.name, {"policies": figures, "took_s": time.monotonic() - begun_s}


def _figures(run: Run) -> dict[str, Any]:
    frames = len(run.passages)
    return {
        "mean_s": run.mean_s,
        "p95_s": run.latency_s(95),
        "frames": frames,
        "switches": run.switches,
        "hedged": run.hedged,
        "hedges_won": run.hedges_won,
        "timed_out": run.timed_out,
        "look_bytes": frames * run.look_bytes,
        "uploaded_bytes": frames * run.upload_bytes + run.probe_bytes,
    }


def _row(trace: Trace, draws: list[dict[str, Any]]) -> dict[str, Any]:
    """Return a trace's figures, means over the draws, and how the adaptive policy compares."""
    names = list(draws[0]["policies"])

    def mean(policy: str, figure: str) -> float:
        return statistics.fmean(draw["policies"][policy][figure] for draw in draws)

    fixed = [name for name in names if name not in (ADAPTIVE, CLAIRVOYANT)]
    best = min(fixed, key=lambda name: mean(name, "mean_s"))
    variation = _variation(trace)
    own_s, own_p95_s = mean(ADAPTIVE, "mean_s"), mean(ADAPTIVE, "p95_s")
    counts = ("frames", "switches", "hedged", "hedges_won", "timed_out")
    counts = (*counts, "look_bytes", "uploaded_bytes")
    return {
        "trace": trace.name,
        "mean_uplink_bps": trace.uplink_bps.mean,
        "seconds": min(trace.duration_s, MOST_S),
        "p90_to_p10": variation if variation < math.inf else None,
        "varies": variation >= 2,
        "best_fixed": best,
        "mean_s": {name: mean(name, "mean_s") for name in (ADAPTIVE, best, CLAIRVOYANT)},
        "p95_s": {name: mean(name, "p95_s") for name in (ADAPTIVE, best, CLAIRVOYANT)},
        "to_clairvoyant": own_s / mean(CLAIRVOYANT, "mean_s"),
        "to_best_fixed": own_s / mean(best, "mean_s"),
        "p95_to_best_fixed": own_p95_s / mean(best, "p95_s"),
        **{count: mean(ADAPTIVE, count) for count in counts},
        "look_share": mean(ADAPTIVE, "look_bytes") / max(1.0, mean(ADAPTIVE, "uploaded_bytes")),
        "look_budget_bytes": _budget(mean(ADAPTIVE, "uploaded_bytes"), trace),
        "took_s": sum(draw["took_s"] for draw in draws),
    }


def _budget(uploaded_bytes: float, trace: Trace) -> float:
    """Return what looks may send: a share, so much a minute, and so much at once."""
    looks = LookSettings()
    minutes = min(trace.duration_s, MOST_S) / 60
    return looks.byte_share * uploaded_bytes + looks.free_bytes * (1 + minutes)


def _variation(trace: Trace) -> float:
    """Return the 90th percentile of the rate over seconds, to the 10th; inf where that is 0."""
    steps = trace.uplink_bps
    rates = [steps.sum_within(at, at + 1.0) for at in np.arange(0.0, trace.duration_s - 1, 1.0)]
    low, high = np.percentile(rates, (10, 90))
    return float(high / low) if low else math.inf


def _summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the figures that the bounds are about, and which traces miss them."""

    def worst(figure: str, among: list[dict[str, Any]]) -> float | None:
        return max((row[figure] for row in among), default=None)

    def above(figure: str, bound: float, among: list[dict[str, Any]]) -> list[str]:
        return [row["trace"] for row in among if row[figure] > bound]

    varying = [row for row in rows if row["varies"]]
    logarithms = [math.log(row["to_clairvoyant"]) for row in rows]
    uploaded = sum(row["uploaded_bytes"] for row in rows)
    return {
        "traces": len(rows),
        "to_clairvoyant": math.exp(statistics.fmean(logarithms)),
        "to_best_fixed": worst("to_best_fixed", rows),
        "to_best_fixed_where_it_varies": worst("to_best_fixed", varying),
        "p95_to_best_fixed": worst("p95_to_best_fixed", rows),
        "look_share": sum(row["look_bytes"] for row in rows) / max(1.0, uploaded),
        "looks_to_budget": max(row["look_bytes"] / row["look_budget_bytes"] for row in rows),
        "missed": {
            "to_best_fixed": above("to_best_fixed", BOUNDS["to_best_fixed"], rows),
            "to_best_fixed_where_it_varies": above("to_best_fixed", 1.0, varying),
            "p95_to_best_fixed": above("p95_to_best_fixed", 1.0, rows),
            "look_share": above("look_share", BOUNDS["look_share"], rows),
        },
    }


def _decisions(made: Plan, trace: Trace) -> dict[str, float]:
    """Time the decisions between options that may be best, over a bursty trace that teaches the estimates."""
    offered = replace(made, options=contenders(made.options))
    filled = trace.filled(made.link.rtt_s, DOWN_BPS)
    learned, settings, seconds = Estimates(), PolicySettings(window=1), []
    learned.begin(made.link)
    current: Decision | None = None
    now_s = 0.0
    while now_s < trace.duration_s:
        seen = learned.conditions(now_s)
        begun_s = time.perf_counter()
        current = decide(offered, seen, current, now_s, settings)
        seconds.append(time.perf_counter() - begun_s)
        option = current.option
        came_s = filled.uploaded_at(option.upload_bytes, now_s) + made.link.rtt_s
        if option.upload_bytes:
            size = option.upload_bytes
            learned.crossed(Transfer(size, option.download_bytes, now_s, came_s, 0.0))
        now_s = max(now_s + 0.1, came_s)
    return reporting.spread(seconds) | {"options": len(offered.options)}


if __name__ == "__main__":
    reporting.main(
        __doc__,
        measure,
        traces="",
        only="",
        profile="",
        draw=0,
        seeds=3,
        fps=5.0,
        window=1,
        rtt_ms=30.0,
        edge_ms=130.0,
        processes=2,
    )
