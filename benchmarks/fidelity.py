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
    seen     what the running edge expects of each frame: the probed link, corrected by the traffic of the
             *other* options before it, and both machines' loads as that traffic shows them

Profiles are of the machine's own pace, and a shared machine changes its pace between them and the frames.
So the whole model is timed on the cores of either side (benchmarks/pace.py) before and behind each profile
and each frame. `error` is against what was measured, as it came; `error_at_pace` against the same with
what was computed on each side divided by how many times slower that side was than in its profile. The
running edge follows the pace by itself, so `seen` has the first alone.

A long benchmark can be run in parts: `--models`, `--pauses-s`, `--kinds`, `--mbit` and `--rtt-ms` choose,
`--made DIR` keeps the bundles that one part makes for the next, and `--add FILE` takes the rows of an
earlier part, such as benchmarks/results/fidelity.json, into the summary.
"""

import argparse
import json
import random
import tempfile
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from shutil import copytree
from statistics import mean, median
from typing import Any

import numpy as np

from benchmarks import reporting
from benchmarks.fidelity_cases import MODELS, PHOTOGRAPHS, Feeds, Play, relayed, routed
from benchmarks.fidelity_errors import PREDICTORS, Run, Runs, compared, regret_of, summaries
from benchmarks.pace import Pace, Reference, own_s, reference
from benchmarks.serving import apart, bound, copied
from edge_client.client.sync_client import EdgeClient
from edge_client.cloud.link_measurement import measure_link, probing
from partitioner.bundle.bundle import Bundle
from partitioner.common.memory import keep_freed_pages
from partitioner.estimators.link_estimator import LinkEstimator
from partitioner.estimators.load_estimator import LoadEstimator
from partitioner.estimators.transfer import Transfer
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
from protos.names import CLOUD, EDGE

WARM_UP = 3
"""Rounds that are not counted: connecting, loading the stages, and TCP's start."""
BOUNDS = {"error_median": 0.03, "error_p95": 0.10, "regret_median": 0.03}
RELAY, EMULATOR = "relay", "emulator"

_RTT_S = 0.02
"""Of the links on which options have to be the fastest to survive."""


@dataclass(frozen=True)
class Setting:
    """What the frames of one model run with, whatever the link."""

    model: str
    bundle: Bundle
    profiles: tuple[Profile, Profile]
    frames: Feeds
    look: Reference
    profiled: Pace
    """Of the whole model, in the moments of the profiles."""


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
    return {"summary": summaries(rows), "skipped": skipped, "bounds": BOUNDS, "links": rows}


def _of_model(name: str, kind: str, arguments: argparse.Namespace) -> list[dict[str, Any]]:
    here, there = apart()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        bundles = Path(folder) / "bundles"
        bundles.mkdir()
        bundle = _made(name, bundles, arguments.made)
        frames = load_inputs(PHOTOGRAPHS, bundle.inputs, arguments.frames)
        with (
            _leading(kind, bundles, there, arguments) as play,
            reference(bundle, frames[0], (here, there)) as look,
            bound(here),
        ):
            setting = _profiled(name, bundle, frames, look, play, arguments.budget)
            for pause_s in _numbers(arguments.pauses_s):
                for link in _links(arguments):
                    with play(link) as address:
                        found = _on_link(link, setting, address, pause_s)
                    rows.append({"model": name, "kind": kind, "pause_s": pause_s} | found)
    return rows


def _made(name: str, bundles: Path, kept: str) -> Bundle:
    """Return a model's bundle, below `bundles`: made anew, or as it was by an earlier part, in `kept`."""
    if kept and (Path(kept) / name).exists():
        return copied(Path(kept) / name, bundles)
    bundle = MODELS[name].make(bundles)
    if kept:
        copytree(bundle.path, Path(kept) / name)
    return bundle


def _profiled(
    name: str, bundle: Bundle, frames: Feeds, look: Reference, play: Play, budget_s: float
) -> Setting:
    """Measure both profiles, and the pace of the machine before and behind each."""
    watched = [look.watch()]
    edge = measure_profile(bundle, budget_s=budget_s, feeds=frames[:8])
    keep_profile(bundle, EDGE_PROFILE, edge)  # from which the client knows what frames cost
    watched.append(look.watch())
    with play(None) as address:
        cloud = measure_remote_profile(address, bundle, budget_s)
    watched.append(look.watch())
    (before, _), (between, idle), (_, behind) = watched
    pace = Pace(own_s(before, between), own_s(idle, behind))
    return Setting(name, bundle, (edge.scaled(MODELS[name].slowdown), cloud), frames, look, pace)


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


def _on_link(link: Link, setting: Setting, address: str, pause_s: float) -> dict[str, Any]:
    model = MODELS[setting.model]
    with probing(address) as probe:
        probed = measure_link(probe).link
    as_set, as_probed = (
        plan(setting.bundle, chosen, *setting.profiles, accuracy_drop=model.accuracy_drop)
        for chosen in (link, probed)
    )
    with _connected(setting.bundle, address, model.slowdown) as edge:
        runs = _run(_survivors(as_set.options), edge, setting, pause_s)
    options = []
    for option in runs:
        predicted = {
            "set": option.total_s,
            "probed": next(o.total_s for o in as_probed.options if o.label == option.label),
            "seen": _seen_s(option, probed, runs),
        }
        options.append(compared(option, predicted, runs[option]))
    return {
        "mbit": link.uplink_bps / 1e6,
        "rtt_ms": link.rtt_s * 1e3,
        "probed": {"mbit": probed.uplink_bps / 1e6, "rtt_ms": probed.rtt_s * 1e3},
        "whole_s": _whole_s(setting),
        "fastest": min(options, key=lambda o: o["measured_s"])["option"],
        "regret": {name: regret_of(options, name) for name in PREDICTORS},
        "options": options,
    }


def _whole_s(setting: Setting) -> dict[str, float]:
    """Return the whole model in a row on the edge, as profiled and by the reference, and in the cloud."""
    edge, cloud = setting.profiles
    head, tail = edge.cuts[EDGE].head, cloud.cuts[CLOUD].tail
    slowdown = MODELS[setting.model].slowdown
    return {
        "edge_profiled": head.seconds / slowdown if head else 0.0,
        "edge_reference": setting.profiled.edge_s,
        "cloud_profiled": tail.seconds if tail else 0.0,
        "cloud_reference": setting.profiled.cloud_s,
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


def _run(options: Sequence[Option], edge: EdgeClient, setting: Setting, pause_s: float) -> Runs:
    """Run all options on each frame, in an order that is shuffled anew, so that a drift hits them all."""
    runs: Runs = {option: [] for option in options}
    turns, frames = random.Random(0), setting.frames
    before = setting.look.now()
    for number in range(-WARM_UP, len(frames)):
        for option in turns.sample(options, len(options)):
            edge.set_option(option.cut, option.codec if option.upload_bytes else None)
            # As a frame of a stream, which the plan counts: by the event loop and the device's thread,
            # and some time after the one before.
            time.sleep(pause_s)
            result = edge.run(edge.asynchronous.infer(frames[number]))
            behind = setting.look.now()
            around = Pace(*(mean(pair) for pair in zip(before, behind, strict=True)))
            before = behind
            if number >= 0:
                runs[option].append(Run(result, around.over(setting.profiled)))
    return runs


def _seen_s(option: Option, probed: Link, runs: Runs) -> float:
    """Return what the running edge expects of an option's frames, each by the traffic of others before it."""
    link, edge, cloud, now_s = LinkEstimator(probed), LoadEstimator(), LoadEstimator(), 0.0
    expected_at_frames = []
    for frames in zip(*runs.values(), strict=True):
        for other, run in zip(runs, frames, strict=True):
            if other == option:
                seen = Conditions(link.estimate(now_s), edge.load(now_s), cloud.load(now_s))
                expected_at_frames.append(expected_s(option, seen))
                continue
            result, timings = run.result, run.result.timings
            begun_s, now_s = now_s, now_s + timings.latency_s
            edge.add(timings.edge_s, other.edge_s - other.handing_s, now_s)
            if not other.upload_bytes:
                continue
            server_s = timings.queue_s + timings.cloud_s
            cloud.add(server_s, other.cloud_s, now_s)
            received_s = begun_s + timings.network_s + server_s
            sizes = result.upload_bytes, result.download_bytes
            link.add(Transfer(*sizes, begun_s, received_s, server_s))
    return median(expected_at_frames)


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
        made="",
    )
