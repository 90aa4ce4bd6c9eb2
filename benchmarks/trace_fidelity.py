"""Does a simulated run over a trace come to what the real one does, in mean and 95th percentile?

A real server and a real edge, each on a core of its own; between them the project's relay follows a
bandwidth trace. The same frames at the same rate go through a few fixed options and the adaptive
policy, and then through the simulator, with the profiles measured before and the round trip as probed.
The machine's speed wanders more than the bound from minute to minute, so all that goes round by round.

    python -m benchmarks.trace_fidelity --trace FILE       seconds Mbit/s, Mahimahi or CSV; else built in
    python -m benchmarks.trace_fidelity --trace FOLDER --options 0 --slowdown 16
                                                           the adaptive policy alone, on a slow device
"""

import argparse
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import reporting
from benchmarks.serving import apart, bound, copied, followed, played, served
from edge_client.client.sync_client import EdgeClient
from edge_client.cloud.link_measurement import measure_link, probing
from edge_client.control.offer import Limits
from edge_client.sources.paced_frames import paced
from partitioner.common.memory import keep_freed_pages
from partitioner.inputs.files import load_inputs
from partitioner.network.link import Link
from partitioner.network.trace_files import read_trace
from partitioner.planning.option import Option
from partitioner.planning.plan import Plan, plan
from partitioner.policy.policy import contenders
from partitioner.policy.settings import PolicySettings
from partitioner.profiles.profile import Profile
from partitioner.profiles.profiler import measure_profile
from partitioner.profiles.remote import measure_remote_profile
from partitioner.profiles.store import EDGE_PROFILE, keep_profile
from partitioner.simulation.adaptive import ADAPTIVE, Adaptive
from partitioner.simulation.comparison import first_link
from partitioner.simulation.demand import demands_of
from partitioner.simulation.pipeline import Setup
from partitioner.simulation.replay import Fixed, run_policy
from protos.names import EDGE
from protos.tensors import Array

BUILT_IN = "0 8\n5 2.5\n10 12\n15 1.2\n20 5\n25 3\n30 3\n"
"""Seconds and Mbit/s: steps as a moving device sees them."""
BOUND = 0.1
WINDOW = 4
TIMEOUT_S = 30.0

Feeds = list[dict[str, Array]]
_Pair = tuple[dict[str, Any], dict[str, Any]]
"""Seconds of every frame, really and simulated: latency, device, network and cloud."""


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """Run every way really and in the simulator, round by round, each with profiles of its own."""
    keep_freed_pages()
    here, there = apart()
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        bundle = copied(Path(arguments.bundle), folder / "bundles")
        frames = load_inputs(Path(arguments.frames_from), bundle.inputs, 20)
        cloud = stack.enter_context(served(folder / "bundles", cores=there))
        stack.enter_context(bound(here))
        ways: dict[str, list[_Pair]] = {}
        rounds: list[dict[str, Any]] = []
        for _ in range(arguments.rounds):
            edge = measure_profile(bundle, budget_s=arguments.budget, feeds=frames[:8])
            keep_profile(bundle, EDGE_PROFILE, edge)  # by which a slowed device waits
            slower = edge.scaled(arguments.slowdown)
            profiles = (slower, measure_remote_profile(cloud, bundle, arguments.budget))
            rtt_s = 1e-3 * arguments.rtt_ms
            with played(Link(2e7, 2e7, rtt_s), cloud, there) as address, probing(address) as probe:
                probed_s = measure_link(probe).link.rtt_s
            rounds.append({"probed_rtt_s": probed_s, **_described(profiles)})
            for trace_file in _trace_files(arguments.trace, folder):
                trace = read_trace(trace_file, at_end="loop")
                filled = trace.filled(probed_s, max(trace.uplink_bps.values))
                setup = Setup(
                    filled, 1 / arguments.fps, WINDOW, TIMEOUT_S, workers=1, seed=len(rounds)
                )
                mean_bps = trace.uplink_bps.mean
                made = plan(bundle, Link(mean_bps, mean_bps, probed_s), *profiles)
                known = [
                    way.partition(": ")[2] for way in ways if way.startswith(f"{trace.name}: ")
                ]
                for label in known or [*_spread_out(made, arguments.options), ADAPTIVE]:
                    option = next((o for o in made.options if o.label == label), None)
                    words = ["--trace", str(trace_file), "--rtt", f"{arguments.rtt_ms}ms"]
                    with followed(cloud, *words, cores=there) as (address, begun_at):
                        real = _run(option, made, setup, frames, address, begun_at, arguments)
                    simulated = _simulated(option, made, setup, real, arguments)
                    ways.setdefault(f"{trace.name}: {label}", []).append((real, simulated))
    rows = [_compared(label, pairs) for label, pairs in ways.items()]
    worst = {key: max(abs(row["off"][key]) for row in rows) for key in ("mean", "p95")}
    return {"worst": worst, "bound": BOUND, "rounds": rounds, "ways": rows}


def _trace_files(given: str, folder: Path) -> list[Path]:
    """Return the traces that are given, as a file or a folder, or the built-in one."""
    if not given:
        built_in = folder / "built-in.txt"
        built_in.write_text(BUILT_IN)
        return [built_in]
    path = Path(given)
    return sorted(path.iterdir()) if path.is_dir() else [path]


def _described(profiles: tuple[Profile, Profile]) -> dict[str, Any]:
    return {
        name: {
            "resume_s": profile.resume_s,
            "crossing_s": profile.crossing_s,
            "frame_factors": np.percentile(profile.frame_factors, (5, 50, 90, 95, 100)).tolist(),
            "frames": len(profile.frame_factors),
        }
        for name, profile in zip(("edge", "cloud"), profiles, strict=True)
    }


def _spread_out(made: Plan, wanted: int) -> list[str]:
    """Return contending options that the mean link can carry, from the lightest to the heaviest."""
    able = [o for o in contenders(made.options) if 8 * o.upload_bytes < made.link.uplink_bps / 20]
    able.sort(key=lambda option: option.upload_bytes)
    places = np.linspace(0, len(able) - 1, min(wanted, len(able)))
    return [able[round(place)].label for place in places]


def _run(
    option: Option | None,
    made: Plan,
    setup: Setup,
    frames: Feeds,
    address: str,
    begun_at: float,
    arguments: argparse.Namespace,
) -> dict[str, Any]:
    """Return the latencies and stages of a real run, and how many beats after the trace's start it began."""
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
        slow=arguments.slowdown,
        hedge="off" if option else "auto",
    ) as edge:
        for each in [option] if option else contenders(made.options):
            edge.set_option(each.cut, each.codec if each.upload_bytes else None)
            edge.infer(frames[0])  # loads what it needs
            while edge._client.version.completion.is_crossing:  # one that the device was first with
                time.sleep(0.05)
        edge.infer(frames[1])
        if option is None:
            known = made.at(first_link(setup))
            edge._client.control.follow(known, known.best, "the plan's best", Limits())
        beats = int((time.monotonic() - begun_at) / setup.period_s) + 2
        time.sleep(begun_at + beats * setup.period_s - time.monotonic())
        results = list(edge.stream(_paced(frames, arguments)))
    labels = {r.cut if not r.upload_bytes else f"{r.cut}/{r.codec}" for r in results}
    return {
        "options": sorted(labels),
        "beats": beats,
        "latency": [r.latency_s for r in results],
        "device": [r.timings.edge_s + r.timings.wait_s for r in results],
        "network": [r.timings.network_s for r in results],
        "cloud": [r.timings.queue_s + r.timings.cloud_s for r in results],
        "hedged": sum(r.hedged is not None for r in results),
        "hedges_won": sum(r.hedged is not None and r.hedged.device_first for r in results),
        "served_here": sum(r.served_by != "cloud" for r in results),
    }


def _paced(frames: Feeds, arguments: argparse.Namespace) -> Iterator[dict[str, Array]]:
    return iter(paced(islice(cycle(frames), arguments.frames), arguments.fps))


def _simulated(
    option: Option | None,
    made: Plan,
    setup: Setup,
    real: dict[str, Any],
    arguments: argparse.Namespace,
) -> dict[str, Any]:
    """Return the same of a simulated run, which begins where in the trace the real one did."""
    demands = demands_of(made)
    setup = replace(setup, begins_at=real["beats"] * setup.period_s)
    if option is None:
        policy = Adaptive(made, demands, setup, first_link(setup), PolicySettings(window=WINDOW))
        run = run_policy(setup, policy, arguments.frames)
    else:
        run = run_policy(setup, Fixed(demands[option.label]), arguments.frames)
    passages = run.passages
    return {
        "options": sorted({p.demand.label for p in passages}),
        "latency": [p.latency_s for p in passages],
        "device": [p.latency_s - p.network_s - p.queue_s - p.cloud_s for p in passages],
        "network": [p.network_s for p in passages],
        "cloud": [p.queue_s + p.cloud_s for p in passages],
        "hedged": sum(p.hedged for p in passages),
        "hedges_won": sum(p.hedged and p.done_at < p.answered_at for p in passages),
        "served_here": sum(p.served_by != "cloud" for p in passages),
    }


def _compared(label: str, pairs: list[_Pair]) -> dict[str, Any]:
    """Compare the frames of all rounds together, and say how far the rounds themselves are apart."""

    def summary(runs: Iterable[dict[str, Any]], stage: str) -> dict[str, float]:
        seconds = np.concatenate([run[stage] for run in runs])
        return {"mean": float(np.mean(seconds)), "p95": float(np.percentile(seconds, 95))}

    reals, simulated = zip(*pairs, strict=True)
    found, expected = summary(reals, "latency"), summary(simulated, "latency")
    return {
        "way": label,
        "real_s": found,
        "simulated_s": expected,
        "off": {key: expected[key] / found[key] - 1 for key in found},
        "stages_s": {
            stage: {"real": summary(reals, stage), "simulated": summary(simulated, stage)}
            for stage in ("device", "network", "cloud")
        },
        "by_round": [
            {"real_s": summary([real], "latency"), "simulated_s": summary([other], "latency")}
            for real, other in pairs
        ],
        "frames": {
            key: {
                "real": sum(run[key] for run in reals),
                "simulated": sum(run[key] for run in simulated),
            }
            for key in ("hedged", "hedges_won", "served_here")
        },
        "real_options": sorted({option for run in reals for option in run["options"]}),
        "simulated_options": sorted({option for run in simulated for option in run["options"]}),
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
        rounds=3,
        budget=20.0,
        slowdown=1.0,
    )
