"""What do import and calibrate cost where a graph is wide or its values are large?"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import onnx

from benchmarks import reporting
from benchmarks.architectures import mobilenet_v2
from partitioner.calibration.calibrator import calibrate
from partitioner.calibration.cores import Cores
from partitioner.calibration.measurement import Sample
from partitioner.importer.importer import import_model
from partitioner.profiles.samples import natural_feeds
from partitioner.runtime.sessions import Stage
from protos.codecs.registry import RAW, codecs_for
from protos.names import CLOUD
from tests.kit.models import Builder, save

WIDTHS = (20, 60, 150, 300)
BLOCKS = 4
"""Grouped convolutions, each as Split, 32 small convolutions and Concat."""
SIDE, LAYERS = 960, 24

_PROCESS = """
import resource, sys, time
{work}
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
print(time.perf_counter() - start, peak)
"""
_IMPORT = """
from partitioner.importer.importer import import_model
start = time.perf_counter()
import_model(sys.argv[1], sys.argv[1] + ".bundle")
"""
_INFER = """
from pathlib import Path
import numpy as np
from partitioner.runtime.sessions import RuntimeOptions, open_session
start = time.perf_counter()
session = open_session(Path(sys.argv[1]), RuntimeOptions())
feeds = {value.name: np.zeros(value.shape, np.float32) for value in session.get_inputs()}
session.run(None, feeds)
"""


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """Import and calibrate, each beside what is least: a chain of as many nodes, an inference, the runs."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        wide = {f"{width} branches": branches(width) for width in WIDTHS}
        wide[f"{BLOCKS} grouped convolutions"] = grouped(BLOCKS)
        return {
            "import": [_beside_chain(what, model, folder) for what, model in wide.items()],
            "memory": _beside_inference(folder),
            "calibrate": _beside_runs(folder, arguments.inputs, arguments.cuts),
        }


def branches(count: int) -> onnx.ModelProto:
    """Chains of two products and a softmax, side by side."""
    b = Builder()
    x = b.input("x", [1, 16])
    ends = [_products(b, x) for _ in range(count)]
    return b.model(b.op("Concat", *ends, axis=1))


def chain(nodes: int) -> onnx.ModelProto:
    """The same nodes one after the other."""
    b = Builder()
    x = b.input("x", [1, 16])
    for _ in range(nodes // 3):
        x = _products(b, x)
    return b.model(x)


def _products(b: Builder, x: str) -> str:
    inner = b.op("Softmax", b.op("MatMul", x, b.weight(16, 16)))
    return b.op("MatMul", inner, b.weight(16, 16))


def grouped(blocks: int) -> onnx.ModelProto:
    """Blocks of a ResNeXt as exporters without grouped convolutions write them."""
    b = Builder()
    x = b.conv(b.input("x", [1, 3, 32, 32]), 3, 128)
    for _ in range(blocks):
        first = b.op("Split", x, outputs=32, axis=1, num_outputs=32)
        parts = [first, *(f"{first}_{part}" for part in range(1, 32))]
        joined = b.op("Concat", *(b.conv(part, 4, 4) for part in parts), axis=1)
        x = b.op("Add", b.op("Relu", joined), x)
    return b.model(x)


def large() -> onnx.ModelProto:
    """A chain of convolutions without strides, whose values are large and whose weights are small."""
    b = Builder()
    x = b.input("x", [1, 3, SIDE, SIDE])
    for layer in range(LAYERS):
        x = b.op("Relu", b.conv(x, 3 if layer == 0 else 8, 8))
    return b.model(x)


def _beside_chain(what: str, model: onnx.ModelProto, folder: Path) -> dict[str, Any]:
    nodes = len(model.graph.node)
    both = {"wide": model, "chain": chain(nodes)}
    paths = {kind: save(one, folder / f"{kind}-{nodes}.onnx") for kind, one in both.items()}
    seconds = {kind: _process(_IMPORT, path)[0] for kind, path in paths.items()}
    return {
        "model": what,
        "nodes": nodes,
        **{f"{kind}_s": found for kind, found in seconds.items()},
        "ratio": seconds["wide"] / seconds["chain"],
    }


def _beside_inference(folder: Path) -> dict[str, Any]:
    path = save(large(), folder / "large.onnx")
    _, inferred = _process(_INFER, path)
    seconds, imported = _process(_IMPORT, path)
    values = 2 * LAYERS * 8 * SIDE * SIDE * 4
    return {
        "all_values_bytes": values,
        "inference_bytes": inferred,
        "import_bytes": imported,
        "import_s": seconds,
        "ratio": imported / inferred,
    }


def _beside_runs(folder: Path, inputs: int, cuts: int) -> dict[str, Any]:
    """Calibrate some cuts; beside it the runs of heads and tails that this takes, one at a time."""
    bundle = import_model(save(mobilenet_v2(), folder / "mobilenet.onnx"), folder / "mobilenet")
    interior = [cut.id for cut in bundle.manifest.cuts]
    chosen = interior[:: max(1, len(interior) // cuts)][:cuts]
    rng = np.random.default_rng(0)
    samples = [Sample(natural_feeds(bundle.inputs, rng)) for _ in range(inputs)]
    start = time.perf_counter()
    found = calibrate(bundle, samples, cuts=chosen)
    seconds = time.perf_counter() - start
    measured = found.meta.accuracies[0].samples
    runs_s = inputs * _seconds(bundle.open_tail(CLOUD), samples[0].feeds)
    for cut_id in chosen:
        cut = bundle.cut(cut_id)
        head = bundle.open_head(cut_id)
        crossing = head.run(samples[0].feeds)
        codecs = sum(codec is not RAW for codec in codecs_for(cut.frontier, found.ranges))
        runs_s += inputs * _seconds(head, samples[0].feeds)
        tail_s = _seconds(bundle.open_tail(cut_id), crossing)
        runs_s += measured * codecs * tail_s
    return {
        "cuts": len(chosen),
        "inputs": inputs,
        "cores": Cores().workers,
        "calibrate_s": seconds,
        "runs_s": runs_s,
        "ratio": seconds / (runs_s / Cores().workers),
    }


def _seconds(stage: Stage, feeds: Any) -> float:
    """Return the median of nine runs."""
    found = []
    for _ in range(9):
        start = time.perf_counter()
        stage.run(feeds)
        found.append(time.perf_counter() - start)
    return median(found)


def _process(work: str, path: Path) -> tuple[float, int]:
    """Return the seconds of some work after its imports, and the most memory of its process."""
    command = [sys.executable, "-c", _PROCESS.format(work=work), str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    seconds, peak = done.stdout.split()[-2:]
    return float(seconds), int(peak)


if __name__ == "__main__":
    reporting.main(__doc__, measure, inputs=40, cuts=5)
