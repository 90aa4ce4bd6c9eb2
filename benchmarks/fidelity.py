"""Do the plan's predictions come true, and how much does its choice lose to the best really measured?

A real server and a real edge, each on a core of its own, over links that the project's relay plays. Every
option that survives, which is the fastest at some uplink and some load of either machine, runs on every
link, in turns, frame by frame. The edge rehearses a slower one (`slow`), so that there is something to
choose.
Three predictions stand beside what was measured:

    set      the plan for the link as it was set, from profiles measured before everything else
    probed   the same for the link as `splitpoint-edge probe` measures it
    seen     what the running edge expects: the probed link, corrected by the traffic of the *other*
             options, and both machines' loads as that traffic shows them
"""

import argparse
import random
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import mean, median
from typing import Any

import numpy as np

from benchmarks import reporting
from benchmarks.serving import apart, bound, copied, played, served
from edge_client.client.sync_client import EdgeClient
from edge_client.cloud.link_measurement import measure_link, probing
from edge_client.frames.result import Result
from partitioner.bundle.bundle import Bundle
from partitioner.common.memory import keep_freed_pages
from partitioner.estimators.link_estimator import LinkEstimate, LinkEstimator, Transfer
from partitioner.estimators.load_estimator import LoadEstimator
from partitioner.inputs.files import load_inputs
from partitioner.network.link import Link
from partitioner.planning.option import Option
from partitioner.planning.plan import plan
from partitioner.policy.conditions import Conditions
from partitioner.policy.policy import expected_s
from partitioner.profiles.profile import Profile
from partitioner.profiles.profiler import measure_profile
from partitioner.profiles.remote import measure_remote_profile
from partitioner.profiles.store import EDGE_PROFILE, keep_profile
from protos.tensors import Array

WARM_UP = 3
"""Rounds that are not counted: connecting, loading the stages, and TCP's start."""
PAUSE_S = 0.1
"""Before each frame; see partitioner/profiles/paused_frames.py."""
BOUNDS = {"error_median": 0.05, "error_p95": 0.15, "regret_median": 0.03}

_RTT_S = 0.02
"""Of the links on which options have to be the fastest to survive."""

Feeds = list[dict[str, Array]]
Runs = dict[Option, list[Result]]


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """Run every contending option on every link, and compare with what was predicted."""
    keep_freed_pages()
    here, there = apart()
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        bundle = copied(Path(arguments.bundle), Path(name))
        frames = load_inputs(Path(arguments.frames_from), bundle.inputs, arguments.frames)
        cloud = stack.enter_context(served(Path(name), cores=there))
        stack.enter_context(bound(here))
        edge = measure_profile(bundle, budget_s=arguments.budget, feeds=frames[:8])
        keep_profile(bundle, EDGE_PROFILE, edge)  # from which the client knows what frames cost
        profiles = (
            edge.scaled(arguments.slowdown),
            measure_remote_profile(cloud, bundle, arguments.budget),
        )
        rows = []
        for mbit in _numbers(arguments.mbit):
            for rtt_ms in _numbers(arguments.rtt_ms):
                link = Link(1e6 * mbit, 1e6 * mbit, 1e-3 * rtt_ms)
                with played(link, cloud, there) as address:
                    rows.append(_on_link(link, bundle, profiles, frames, address, arguments))
    return {"summary": _summary(rows), "bounds": BOUNDS, "links": rows}


def _on_link(
    link: Link,
    bundle: Bundle,
    profiles: tuple[Profile, Profile],
    frames: Feeds,
    address: str,
    arguments: argparse.Namespace,
) -> dict[str, Any]:
    with probing(address) as probe:
        probed = measure_link(probe).link
    as_set, as_probed = (
        plan(bundle, chosen, *profiles, accuracy_drop=arguments.accuracy_drop)
        for chosen in (link, probed)
    )
    runs = _run(_survivors(as_set.options), bundle, frames, address, arguments.slowdown)
    options = []
    for option in runs:
        others = {other: runs[other] for other in runs if other != option}
        predicted = {
            "set": option.total_s,
            "probed": next(o.total_s for o in as_probed.options if o.label == option.label),
            "seen": expected_s(option, _seen(probed, others)),
        }
        options.append(_compared(option, predicted, runs[option]))
    return {
        "mbit": link.uplink_bps / 1e6,
        "rtt_ms": link.rtt_s * 1e3,
        "probed": {"mbit": probed.uplink_bps / 1e6, "rtt_ms": probed.rtt_s * 1e3},
        "fastest": min(options, key=lambda o: o["measured_s"])["option"],
        "regret": {name: _regret(options, name) for name in ("set", "probed", "seen")},
        "options": options,
    }


def _survivors(options: Sequence[Option]) -> list[Option]:
    """Return the options that are the fastest somewhere: 0.1 Mbit/s to 1 Gbit/s, loads of 1/4 to 16."""
    loads = np.geomspace(0.25, 16, 13)
    s_per_byte, edge_load, cloud_load = np.meshgrid(8 / np.geomspace(1e5, 1e9, 81), loads, loads)
    totals = [
        option.edge_s * edge_load
        + (option.upload_bytes + option.download_bytes) * s_per_byte
        + option.cloud_s * cloud_load
        + bool(option.upload_bytes) * _RTT_S
        for option in options
    ]
    return [options[place] for place in np.unique(np.argmin(totals, axis=0))]


def _run(
    options: Sequence[Option], bundle: Bundle, frames: Feeds, address: str, slowdown: float
) -> Runs:
    """Run all options on each frame, in an order that is shuffled anew, so that a drift hits them all."""
    runs: Runs = {option: [] for option in options}
    turns = random.Random(0)
    with EdgeClient(
        address, bundle, "cloud", window=1, timeout_s=60, memory_bytes=4 << 30, slow=slowdown
    ) as edge:
        for number in range(-WARM_UP, len(frames)):
            for option in turns.sample(options, len(options)):
                edge.set_option(option.cut, option.codec if option.upload_bytes else None)
                # As a frame of a stream, which the plan counts: by the event loop and the device's thread,
                # and some time after the one before.
                time.sleep(PAUSE_S)
                result = edge.run(edge.asynchronous.infer(frames[number]))
                if number >= 0:
                    runs[option].append(result)
    return runs


def _seen(probed: Link, runs: Runs) -> Conditions:
    """Return what the product's estimators make of the traffic of these options."""
    link, edge, cloud, now_s = LinkEstimator(probed), LoadEstimator(), LoadEstimator(), 0.0
    for results in zip(*runs.values(), strict=True):
        for option, result in zip(runs, results, strict=True):
            timings = result.timings
            begun_s, now_s = now_s, now_s + timings.latency_s
            edge.add(timings.edge_s, option.edge_s - option.handing_s, now_s)
            if not option.upload_bytes:
                continue
            server_s = timings.queue_s + timings.cloud_s
            cloud.add(server_s, option.cloud_s, now_s)
            received_s = begun_s + timings.network_s + server_s
            sizes = result.upload_bytes, result.download_bytes
            link.add(Transfer(*sizes, begun_s, received_s, server_s))
    estimate: LinkEstimate = link.estimate(now_s)
    return Conditions(estimate, edge.load(now_s), cloud.load(now_s))


def _compared(option: Option, predicted: dict[str, float], results: list[Result]) -> dict[str, Any]:
    timings = [result.timings for result in results]
    measured = median(timing.latency_s for timing in timings)
    return {
        "option": option.label,
        "measured_s": measured,
        "predicted_s": predicted,
        "error": {name: predicted_s / measured - 1 for name, predicted_s in predicted.items()},
        "profiled": {
            "edge_s": option.edge_s, "network_s": option.network_s, "cloud_s": option.cloud_s,
            "upload_bytes": option.upload_bytes,
        },
        "parts": {
            "edge_s": median(timing.edge_s for timing in timings),
            "network_s": median(timing.network_s for timing in timings),
            "cloud_s": median(timing.cloud_s + timing.queue_s for timing in timings),
            "wait_s": median(timing.wait_s for timing in timings),
            "upload_bytes": mean(result.upload_bytes for result in results),
        },
    }  # fmt: skip


def _regret(options: list[dict[str, Any]], predictor: str) -> float:
    """Return how much slower the option that was predicted to be fastest is than the fastest."""
    chosen = min(options, key=lambda option: float(option["predicted_s"][predictor]))
    return float(chosen["measured_s"] / min(option["measured_s"] for option in options) - 1)


def _summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    def of(predictor: str) -> dict[str, float]:
        errors = [abs(option["error"][predictor]) for row in rows for option in row["options"]]
        regrets = [row["regret"][predictor] for row in rows]
        return {
            "error_median": float(np.median(errors)),
            "error_p95": float(np.percentile(errors, 95)),
            "regret_median": float(np.median(regrets)),
            "regret_worst": max(regrets),
            "runs": len(errors),
        }

    return {name: of(name) for name in ("set", "probed", "seen")}


def _numbers(text: str) -> list[float]:
    return [float(part) for part in text.split(",")]


if __name__ == "__main__":
    reporting.main(
        __doc__,
        measure,
        bundle="examples/digits/bundle",
        frames_from="examples/digits/frames",
        frames=20,
        mbit="1,2.5,6,20,100",
        rtt_ms="5,20,80",
        budget=20.0,
        accuracy_drop=0.5,
        slowdown=8.0,
    )
