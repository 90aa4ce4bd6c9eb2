"""How long does the search for cuts take, and do the times of nodes predict those of heads and tails?"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from benchmarks import reporting
from benchmarks.architectures import densenet121, resnet50
from partitioner.bundle.bundle import Bundle
from partitioner.importer.importer import import_model
from partitioner.network.link import Link
from partitioner.profiles.parts.node_profiler import measure_nodes
from partitioner.profiles.timing import time_call
from partitioner.runtime.sessions import RuntimeOptions, random_feeds
from partitioner.search.placement import Flow, Workload, work_of
from partitioner.search.solver import Search
from partitioner.search.survivors import assumptions, find_survivors
from tests.kit.models import inception, save, transformer

ARCHITECTURES: dict[str, Callable[[], onnx.ModelProto]] = {
    "resnet50": resnet50,
    "densenet121": densenet121,
    "transformer, 12 layers": lambda: transformer(layers=12, width=256, length=128),
    "inception, 3 blocks": inception,
}
CLOUD_SPEED = 10
RTT_S = 0.01


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """Time single queries and envelopes, on random graphs and on real ones with their real times."""
    with tempfile.TemporaryDirectory() as folder:
        real = {
            name: _real(name, build, Path(folder), arguments)
            for name, build in ARCHITECTURES.items()
        }
    random = {
        f"{nodes} nodes, {branches} abreast": _timed(
            _random_work(nodes, branches, np.random.default_rng(nodes + branches)),
            arguments.queries,
        )
        for nodes in (1000, 10_000)
        for branches in (1, 4, 16)
    }
    return {
        "random": random,
        "real": real,
        "bounds": {"1000 nodes": {"query_s": 0.05, "envelope_s": 2}},
    }


def _timed(work: Workload, queries: int) -> dict[str, Any]:
    """Return the seconds of queries at uplinks from 100 kbit/s to 1 Gbit/s, and of the whole envelope."""
    start = time.perf_counter()
    search = Search(work)
    search.best([Link(10e6, 100e6, RTT_S)])
    first_s = time.perf_counter() - start
    seconds = []
    for uplink_bps in np.geomspace(1e5, 1e9, queries):
        start = time.perf_counter()
        search.best([Link(uplink_bps, 100e6, RTT_S)])
        seconds.append(time.perf_counter() - start)
    start = time.perf_counter()
    stretches = search.envelope(Link(1.0, 100e6, RTT_S))
    envelope_s = time.perf_counter() - start
    return {
        "items": work.items,
        "values": len(work.flows),
        "first_query_s": first_s,
        "query_s": reporting.spread(seconds) | {"max": max(seconds)},
        "envelope_s": envelope_s,
        "on_the_envelope": len(stretches),
    }


def _random_work(nodes: int, branches: int, rng: np.random.Generator) -> Workload:
    """A graph some branches wide, with skips, whose values shrink with its depth as those of CNNs do."""
    readers: list[set[int]] = [set() for _ in range(nodes + 1)]
    for node in range(nodes):
        near = rng.integers(max(0, node - branches), node + 1, 2)
        far = rng.integers(max(0, node - 8 * branches), node + 1, 1)
        for value in (*near, *far[rng.random(1) < 0.3]):
            readers[int(value)].add(node)
    depth = np.arange(nodes + 1) / nodes
    sizes = 3e6 * 10 ** (-2.5 * depth) * rng.lognormal(0, 0.5, nodes + 1)
    sizes[0] = 6e5
    flows = [
        Flow(float(sizes[value]), value - 1 if value else None, tuple(sorted(found)))
        for value, found in enumerate(readers)
        if found
    ]
    seconds = rng.lognormal(0, 1, nodes)
    seconds *= 0.5 / seconds.sum()
    answers = np.zeros(nodes)
    answers[-1] = 4000
    return Workload(np.stack([seconds, seconds / CLOUD_SPEED]), tuple(flows), answers)


def _real(
    name: str, build: Callable[[], onnx.ModelProto], folder: Path, arguments: argparse.Namespace
) -> dict[str, Any]:
    print(f"{name} …", file=sys.stderr, flush=True)
    stem = name.partition(",")[0]
    bundle = import_model(save(build(), folder / f"{stem}.onnx"), folder / stem)
    feeds = random_feeds(bundle.inputs, np.random.default_rng(0))
    until = time.perf_counter() + arguments.seconds
    node_s = measure_nodes(bundle, feeds, RuntimeOptions(), until)
    graph = bundle.graph
    if node_s is None or graph is None:
        raise SystemExit(f"{name}: the bundle keeps no graph")
    cloud_s = tuple(seconds / CLOUD_SPEED for seconds in node_s)
    work, groups = work_of(graph, (node_s, cloud_s))
    start = time.perf_counter()
    survivors = find_survivors(graph, (node_s, cloud_s), Link(1.0, 100e6, RTT_S), assumptions())
    return {
        "nodes": len(graph.nodes),
        "groups": len(groups),
        "whole_s": sum(node_s),
        **_timed(work, arguments.queries),
        "all_envelopes_s": time.perf_counter() - start,
        "envelopes": len(assumptions()),
        "survivors": len(survivors),
        "predicted_heads": _predicted(bundle, node_s, feeds),
    }


def _predicted(bundle: Bundle, node_s: tuple[float, ...], feeds: Any) -> dict[str, float]:
    """Return by how much the sum of a head's nodes misses its session, in shares of the whole model."""
    graph = bundle.graph
    errors = []
    for cut in bundle.manifest.cuts:
        stage = bundle.open_head(cut.id)
        timed_s = time_call(
            lambda stage=stage: stage.run(feeds), time.perf_counter() + 0.1
        ).median_s
        nodes = graph.head_before([spec.name for spec in cut.frontier]) if graph else ()
        errors.append(abs(sum(node_s[node] for node in nodes) - timed_s) / sum(node_s))
    return {"cuts": len(errors), "median": float(np.median(errors)), "worst": max(errors)}


if __name__ == "__main__":
    reporting.main(__doc__, measure, queries=15, seconds=1.0)
