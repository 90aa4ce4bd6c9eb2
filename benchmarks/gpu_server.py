"""What does a GPU under the server change: a frame's seconds by cut, the first one, and the answers?

Two servers on one machine, one computing on its CPU and one on its GPU, are asked in turns by one edge on
loopback. Wants onnxruntime-gpu, and a GPU that it can use.
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from benchmarks import reporting
from benchmarks.architectures import resnet50
from benchmarks.serving import alternate, copied, make_bundle, served
from edge_client.client.sync_client import EdgeClient
from edge_client.frames.result import Result
from partitioner.bundle.bundle import Bundle
from partitioner.bundle.manifest import MODEL_GRAPH
from partitioner.common.defaults import DEFAULT_PROVIDER
from partitioner.runtime.providers import CUDA, accelerator_of, check_provider
from partitioner.runtime.sessions import random_feeds
from protos.tensors import Array

DEMO = Path(__file__).parent.parent / "examples" / "digits" / "bundle"
WARM_UP = 10


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """Time frames through both servers at four cuts of two models, and what TF32 would save."""
    check_provider(CUDA)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bundles = [copied(DEMO, folder), make_bundle(resnet50(), folder, "resnet50")]
        flags = ("--threads", str(arguments.threads))
        with (
            served(folder, *flags) as on_cpu,
            served(folder, *flags, "--provider", CUDA) as on_gpu,
        ):
            compared = {
                bundle.name: _compare({"cpu": on_cpu, "gpu": on_gpu}, bundle, arguments.rounds)
                for bundle in bundles
            }
        return {
            "gpu": accelerator_of(CUDA),
            "through the servers": compared,
            "whole model alone": {
                bundle.name: _precisions(bundle, arguments.rounds) for bundle in bundles
            },
        }


def _compare(servers: Mapping[str, str], bundle: Bundle, rounds: int) -> dict[str, Any]:
    feeds = random_feeds(bundle.inputs, np.random.default_rng(0))
    inner = [cut.id for cut in bundle.cuts.values() if cut.head_graph and cut.tail_graph]
    quarters = [inner[len(inner) * quarter // 4] for quarter in (1, 2, 3)]
    return {cut: _at(servers, bundle, cut, feeds, rounds) for cut in ("cloud", *quarters)}


def _at(
    servers: Mapping[str, str], bundle: Bundle, cut: str, feeds: Mapping[str, Array], rounds: int
) -> dict[str, Any]:
    cloud_s: dict[str, list[float]] = {name: [] for name in servers}
    answers: dict[str, Result] = {}
    first_s: dict[str, float] = {}

    def way(name: str, client: EdgeClient) -> Callable[[], float]:
        def run() -> float:
            begun = time.perf_counter()
            answers[name] = client.infer(feeds)
            took_s = time.perf_counter() - begun
            cloud_s[name].append(answers[name].timings.cloud_s)
            return took_s

        return run

    with (
        EdgeClient(servers["cpu"], bundle, cut, codec="raw") as by_cpu,
        EdgeClient(servers["gpu"], bundle, cut, codec="raw") as by_gpu,
    ):
        ways = {"cpu": way("cpu", by_cpu), "gpu": way("gpu", by_gpu)}
        for name, run in ways.items():
            first_s[name] = run()
        alternate(ways, WARM_UP)
        for seconds in cloud_s.values():
            seconds.clear()
        frames_s = alternate(ways, rounds)
    return {
        "first_frame_s": first_s,
        "frame_s": {name: reporting.spread(seconds) for name, seconds in frames_s.items()},
        "cloud_s": {name: reporting.spread(seconds) for name, seconds in cloud_s.items()},
        "worst_relative_difference": max(
            _difference(value, answers["gpu"].outputs[name])
            for name, value in answers["cpu"].outputs.items()
        ),
    }


def _precisions(bundle: Bundle, rounds: int) -> dict[str, Any]:
    """Time the whole model on the GPU with and without TF32, beside what its answers differ by."""
    feeds = random_feeds(bundle.inputs, np.random.default_rng(0))
    model = str(bundle.path / MODEL_GRAPH)
    sessions = {
        "float32": onnxruntime.InferenceSession(model, providers=[(CUDA, {"use_tf32": "0"})]),
        "tf32": onnxruntime.InferenceSession(model, providers=[(CUDA, {"use_tf32": "1"})]),
    }
    [expected] = onnxruntime.InferenceSession(model, providers=[DEFAULT_PROVIDER]).run(None, feeds)

    def way(session: Any) -> Callable[[], float]:
        def run() -> float:
            begun = time.perf_counter()
            session.run(None, feeds)
            return time.perf_counter() - begun

        return run

    ways = {name: way(session) for name, session in sessions.items()}
    alternate(ways, WARM_UP)
    return {
        name: {
            "seconds": reporting.spread(seconds),
            "difference_to_cpu": _difference(expected, sessions[name].run(None, feeds)[0]),
        }
        for name, seconds in alternate(ways, rounds).items()
    }


def _difference(one: Array, other: Array) -> float:
    return float(np.abs(one - other).max() / np.abs(one).max())


if __name__ == "__main__":
    reporting.main(__doc__, measure, rounds=200, threads=1)
