"""Does a simulated run over a trace come to what the real one does, in mean and 95th percentile?

A real server and a real edge, each on a core of its own; between them the project's relay follows a
bandwidth trace. The same frames at the same rate go through a few fixed options and the adaptive
policy, and then through the simulator, with the profiles measured before and the round trip as probed.

    python -m benchmarks.trace_fidelity --trace FILE       seconds Mbit/s, Mahimahi or CSV; else built in
"""

import argparse
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import reporting
from benchmarks.serving import apart, bound, copied, followed, played, served
from edge_client import EdgeClient
from edge_client.controlling import Limits
from edge_client.live import paced
from edge_client.probing import measure_link, probing
from partitioner import Link, plan
from partitioner.inputs import load_inputs
from partitioner.planning import Option, Plan
from partitioner.policy import PolicySettings, contenders
from partitioner.profiling import measure_profile
from partitioner.remote import measure_remote_profile
from partitioner.simulating.adaptive import ADAPTIVE, Adaptive
from partitioner.simulating.comparing import first_link
from partitioner.simulating.demands import demands_of
from partitioner.simulating.pipeline import Setup
from partitioner.simulating.trace_runs import Fixed, run_policy
from partitioner.traces import Trace
from protos.memory import keep_freed_pages
from protos.names import EDGE
from protos.tensors import Array

BUILT_IN = "0 8\n5 2.5\n10 12\n15 1.2\n20 5\n25 3\n30 3\n"
"""Seconds and Mbit/s: steps as a moving device sees them."""
BOUND = 0.1
WINDOW = 4
TIMEOUT_S = 30.0

Feeds = list[dict[str, Array]]


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """Run every way really and in the simulator."""
    keep_freed_pages()
    here, there = apart()
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        trace_file = Path(arguments.trace) if arguments.trace else folder / "built-in.txt"
        if not arguments.trace:
            trace_file.write_text(BUILT_IN)
        bundle = copied(Path(arguments.bundle), folder / "bundles")
        frames = load_inputs(Path(arguments.frames_from), bundle.inputs, 20)
        cloud = stack.enter_context(served(folder / "bundles", cores=there))
        stack.enter_context(bound(here))
        edge = measure_profile(bundle, budget_s=arguments.budget, feeds=frames[:8])
        profiles = (edge, measure_remote_profile(cloud, bundle, arguments.budget))
        trace = Trace.load(trace_file, at_end="loop")
        rtt_s = 1e-3 * arguments.rtt_ms
        with played(Link(2e7, 2e7, rtt_s), cloud, there) as address, probing(address) as probe:
            probed_s = measure_link(probe).link.rtt_s
        filled = trace.filled(probed_s, max(trace.uplink_bps.values))
        setup = Setup(filled, 1 / arguments.fps, WINDOW, TIMEOUT_S, workers=1)
        mean_bps = trace.uplink_bps.mean
        made = plan(bundle, Link(mean_bps, mean_bps, probed_s), *profiles)
        rows = []
        for option in [*_spread_out(made, arguments.options), None]:
            words = ["--trace", str(trace_file), "--rtt", f"{arguments.rtt_ms}ms"]
            with followed(cloud, *words, cores=there) as (address, begun_at):
                real = _run(option, made, setup, frames, address, begun_at, arguments)
            rows.append(_compared(option, real, _simulated(option, made, setup, arguments)))
    worst = {key: max(abs(row["off"][key]) for row in rows) for key in ("mean", "p95")}
    return {"worst": worst, "bound": BOUND, "probed_rtt_s": probed_s, "ways": rows}


def _spread_out(made: Plan, wanted: int) -> list[Option]:
    """Return contending options that the mean link can carry, from the lightest to the heaviest."""
    able = [o for o in contenders(made.options) if 8 * o.upload_bytes < made.link.uplink_bps / 20]
    able.sort(key=lambda option: option.upload_bytes)
    return [able[round(place)] for place in np.linspace(0, len(able) - 1, min(wanted, len(able)))]


def _run(
    option: Option | None,
    made: Plan,
    setup: Setup,
    frames: Feeds,
    address: str,
    begun_at: float,
    arguments: argparse.Namespace,
) -> dict[str, Any]:
    """Return the latencies of a real run; its first frame comes when the trace starts anew."""
    cut = EDGE if option is None else option.cut
    codec = option.codec if option is not None and option.upload_bytes else None
    with EdgeClient(
        address,
        made.bundle,
        cut,
        codec=codec,
        window=WINDOW,
        timeout_s=TIMEOUT_S,
        memory_bytes=4 << 30,
    ) as edge:
        for each in [option] if option else contenders(made.options):
            edge.set_option(each.cut, each.codec if each.upload_bytes else None)
            edge.infer(frames[0])  # loads what it needs
        edge.infer(frames[1])
        if option is None:
            known = made.at(first_link(setup))
            edge._client.control.follow(known, known.best, "the plan's best", Limits())
        loop_s = setup.trace.duration_s
        time.sleep(loop_s - (time.monotonic() - begun_at) % loop_s)
        results = list(edge.stream(_paced(frames, arguments)))
    labels = {r.cut if not r.upload_bytes else f"{r.cut}/{r.codec}" for r in results}
    return {"latencies": [r.latency_s for r in results], "options": sorted(labels)}


def _paced(frames: Feeds, arguments: argparse.Namespace) -> Iterator[dict[str, Array]]:
    return iter(paced(islice(cycle(frames), arguments.frames), arguments.fps))


def _simulated(
    option: Option | None, made: Plan, setup: Setup, arguments: argparse.Namespace
) -> dict[str, Any]:
    demands = demands_of(made)
    if option is None:
        policy = Adaptive(made, demands, setup, first_link(setup), PolicySettings(window=WINDOW))
        run = run_policy(setup, policy, arguments.frames)
    else:
        run = run_policy(setup, Fixed(demands[option.label]), arguments.frames)
    return {"latencies": run.latencies_s.tolist(), "options": sorted(run.shares)}


def _compared(
    option: Option | None, real: dict[str, Any], simulated: dict[str, Any]
) -> dict[str, Any]:
    def summary(run: dict[str, Any]) -> dict[str, float]:
        latencies = run["latencies"]
        return {"mean": float(np.mean(latencies)), "p95": float(np.percentile(latencies, 95))}

    found, expected = summary(real), summary(simulated)
    return {
        "way": ADAPTIVE if option is None else option.label,
        "real_s": found,
        "simulated_s": expected,
        "off": {key: expected[key] / found[key] - 1 for key in found},
        "real_options": real["options"],
        "simulated_options": simulated["options"],
    }


if __name__ == "__main__":
    reporting.main(
        __doc__,
        measure,
        bundle="examples/digits/bundle",
        frames_from="examples/digits/frames",
        trace="",
        rtt_ms=30.0,
        fps=5.0,
        frames=150,
        options=3,
        budget=12.0,
    )
