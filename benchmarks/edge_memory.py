"""How much memory does the edge take beside a bare session of ONNX Runtime on the whole model?"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import reporting
from benchmarks.architectures import resnet18, resnet50
from benchmarks.serving import make_bundle, served
from partitioner.bundle.bundle import Bundle

BARE = """
import sys, numpy, onnxruntime, psutil
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
session = onnxruntime.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
frames = numpy.load(sys.argv[2])
name = session.get_inputs()[0].name
for frame in frames:
    session.run(None, {name: frame[None]})
print(psutil.Process().memory_info().rss)
"""


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """Run the same frames through a bare session and through `splitpoint-edge run`, and read the RSS."""
    results = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bundles = folder / "bundles"
        bundles.mkdir()
        frames = folder / "frames.npy"
        np.save(
            frames, np.random.default_rng(0).standard_normal((20, 3, 224, 224)).astype(np.float32)
        )
        made = {
            key: make_bundle(build(), bundles, key)
            for key, build in (("resnet50", resnet50), ("resnet18", resnet18))
        }
        with served(bundles) as address:
            for key, bundle in made.items():
                results[key] = _compare(bundle, address, frames, arguments.rounds)
    return results


def _compare(bundle: Bundle, address: str, frames: Path, rounds: int) -> dict[str, Any]:
    middle = bundle.manifest.cuts[len(bundle.manifest.cuts) // 2].id
    bare = [_bare(bundle, frames) for _ in range(rounds)]
    result: dict[str, Any] = {"bare_session_bytes": float(np.median(bare)), "bound": 1.3}
    for cut in ("cloud", middle, "edge"):
        rss = [_edge(bundle, address, frames, cut) for _ in range(rounds)]
        result[cut] = {
            "rss_bytes": float(np.median(rss)),
            "ratio": float(np.median(rss) / np.median(bare)),
        }
    return result


def _bare(bundle: Bundle, frames: Path) -> int:
    words = [str(bundle.path / "graphs" / "model.onnx"), str(frames)]
    done = subprocess.run(
        [sys.executable, "-c", BARE, *words], capture_output=True, text=True, check=True
    )
    return int(done.stdout)


def _edge(bundle: Bundle, address: str, frames: Path, cut: str) -> int:
    code = (
        "import atexit, psutil, sys\n"
        "atexit.register(lambda: print(psutil.Process().memory_info().rss, file=sys.stderr))\n"
        "from edge_client.cli.main import main; main()"
    )
    words = [
        "run",
        "--cloud",
        address,
        "--bundle",
        str(bundle.path),
        "--source",
        str(frames),
        "--cut",
        cut,
    ]
    command = [sys.executable, "-c", code, *words, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    summary = json.loads(done.stdout.splitlines()[-1])["summary"]
    if summary["frames"] != 20 or summary["failed"]:
        raise RuntimeError(f"the edge served {summary}")
    return int(done.stderr.splitlines()[-1])


if __name__ == "__main__":
    reporting.main(__doc__, measure, rounds=3)
