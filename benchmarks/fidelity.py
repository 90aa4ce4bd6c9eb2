"""Do the plan's predictions come true, and how much does its choice lose to the best really measured?

A real server and a real edge, each on a core of its own. Every option that survives, which is the fastest
at some uplink and some load of either machine, runs on every link, in turns, frame by frame; there is a
pause before each frame. Two models (benchmarks/fidelity_cases.py), two pauses and two kinds of link: those
that the project's relay plays, and with `--emulator SCRIPT` (see benchmarks/serving.py; needs root) those
of IP packets; without it these are skipped, and the summary says so. The demo's device rehearses a slower
one (`slow`), so that there is something to choose.
Three predictions stand beside what was measured:

    set      the plan for the link as it was set, from profiles measured before
    probed   the same for the link as `splitpoint-edge probe` measures it
    seen     what the running edge expects: the probed link, corrected by the traffic of the *other*
             options, and both machines' loads as that traffic shows them

A long benchmark can be run in parts: `--models`, `--pauses-s`, `--kinds`, `--mbit` and `--rtt-ms` choose, and
`--add FILE` takes the rows of an earlier part, such as benchmarks/results/fidelity.json, into the summary.
"""

import argparse
import json
import random
import tempfile
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from statistics import mean, median
from typing import Any

import numpy as np

from benchmarks import reporting
from benchmarks.fidelity_cases import MODELS, PHOTOGRAPHS, Feeds, Play, relayed, routed
from benchmarks.serving import apart, bound
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

WARM_UP = 3
"""Rounds that are not counted: connecting, loading the stages, and TCP's start."""
BOUNDS = {"error_median": 0.03, "error_p95": 0.10, "regret_median": 0.03}
RELAY, EMULATOR = "relay", "emulator"
_CASE = ("model", "kind", "pause_s")
_PREDICTORS = ("set", "probed", "seen")

_RTT_S = 0.02
"""Of the links on which options have to be the fastest to survive."""

Runs = dict[Option, list[Result]]


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """Run every contending option on every link, and compare with what was predicted."""
    keep_freed_pages()
    before = json.loads(Path(arguments.add).read_text()) if arguments.add else {}
    rows: list[dict[str, Any]] = before.get("results", {}).get("links", [])
    kinds = [kind for kind in arguments.kinds.split(",") if kind != EMULATOR or arguments.emulator]
    for name in arguments.models.split(","):
        for kind in kinds:
            rows += _of_model(name, kind, arguments)
    skipped = [] if any(row["kind"] == EMULATOR for row in rows) else ["no --emulator was given"]
    return {"summary": _summaries(rows), "skipped": skipped, "bounds": BOUNDS, "links": rows}


def _of_model(name: str, kind: str, arguments: argparse.Namespace) -> list[dict[str, Any]]:
    here, there = apart()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        bundles = Path(folder) / "bundles"
        bundles.mkdir()
        bundle = MODELS[name].make(bundles)
        frames = load_inputs(PHOTOGRAPHS, bundle.inputs, arguments.frames)
        with _leading(kind, bundles, there, arguments) as play, bound(here):
            edge = measure_profile(bundle, budget_s=arguments.budget, feeds=frames[:8])
            keep_profile(bundle, EDGE_PROFILE, edge)  # from which the client knows what frames cost
            with play(None) as address:
                cloud = measure_remote_profile(address, bundle, arguments.budget)
            profiles = edge.scaled(MODELS[name].slowdown), cloud
            for pause_s in _numbers(arguments.pauses_s):
                for link in _links(arguments):
                    with play(link) as address:
                        found = _on_link(link, bundle, profiles, frames, address, name, pause_s)
                    rows.append({"model": name, "kind": kind, "pause_s": pause_s} | found)
    return rows


def _leading(
    kind: str, bundles: Path, cores: Collection[int], arguments: argparse.Namespace
) -> AbstractContextManager[Play]:
    """Return how frames get to a server of these bundles."""
    if kind == EMULATOR:
        return routed(Path(arguments.emulator), bundles, cores)
    return relayed(bundles, cores)


def _links(arguments: argparse.Namespace) -> Iterator[Link]:
    for mbit in _numbers(arguments.mbit):
        for rtt_ms in _numbers(arguments.rtt_ms):
            yield Link(1e6 * mbit, 1e6 * mbit, 1e-3 * rtt_ms)


def _on_link(
    link: Link,
    bundle: Bundle,
    profiles: tuple[Profile, Profile],
    frames: Feeds,
    address: str,
    name: str,
    pause_s: float,
) -> dict[str, Any]:
    with probing(address) as probe:
        probed = measure_link(probe).link
    as_set, as_probed = (
        plan(bundle, chosen, *profiles, accuracy_drop=MODELS[name].accuracy_drop)
        for chosen in (link, probed)
    )
    with _connected(bundle, address, MODELS[name].slowdown) as edge:
        runs = _run(_survivors(as_set.options), edge, frames, pause_s)
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
        "regret": {name: _regret(options, name) for name in _PREDICTORS},
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


@contextmanager
def _connected(bundle: Bundle, address: str, slowdown: float) -> Iterator[EdgeClient]:
    with EdgeClient(
        address, bundle, "cloud", window=1, timeout_s=60, memory_bytes=4 << 30, slow=slowdown
    ) as edge:
        yield edge


def _run(options: Sequence[Option], edge: EdgeClient, frames: Feeds, pause_s: float) -> Runs:
    """Run all options on each frame, in an order that is shuffled anew, so that a drift hits them all."""
    runs: Runs = {option: [] for option in options}
    turns = random.Random(0)
    for number in range(-WARM_UP, len(frames)):
        for option in turns.sample(options, len(options)):
            edge.set_option(option.cut, option.codec if option.upload_bytes else None)
            # As a frame of a stream, which the plan counts: by the event loop and the device's thread,
            # and some time after the one before.
            time.sleep(pause_s)
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


def _summaries(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the errors of every case: a model, a kind of link and a pause."""
    cases = dict.fromkeys(tuple(row[name] for name in _CASE) for row in rows)
    return [
        dict(zip(_CASE, case, strict=True))
        | _summary([row for row in rows if tuple(row[name] for name in _CASE) == case])
        for case in cases
    ]


def _summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    def of(predictor: str) -> dict[str, float]:
        errors = [option["error"][predictor] for row in rows for option in row["options"]]
        regrets = [row["regret"][predictor] for row in rows]
        return {
            "error_median": float(np.median(np.abs(errors))),
            "error_p95": float(np.percentile(np.abs(errors), 95)),
            "too_low": sum(error < 0 for error in errors),
            "regret_median": float(np.median(regrets)),
            "regret_worst": max(regrets),
            "runs": len(errors),
        }

    return {name: of(name) for name in _PREDICTORS}


def _numbers(text: str) -> list[float]:
    return [float(part) for part in text.split(",")]


if __name__ == "__main__":
    reporting.main(
        __doc__,
        measure,
        models=",".join(MODELS),
        kinds=f"{RELAY},{EMULATOR}",
        emulator="",
        pauses_s="0.1,0.25",
        frames=20,
        mbit="1,2.5,6,20,100",
        rtt_ms="5,20,80",
        budget=20.0,
        add="",
    )
