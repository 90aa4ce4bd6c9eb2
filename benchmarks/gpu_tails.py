"""What does a tail cost on a GPU: by batch, in the GPU's memory, and beside other tails?

Tails of ResNet-50 in sessions of this process, on the CPU and on the GPU, without a server between. Wants
onnxruntime-gpu, a GPU that it can use, and nvidia-smi.
"""

import argparse
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from benchmarks import reporting
from benchmarks.architectures import resnet50
from benchmarks.serving import alternate, make_bundle
from partitioner.bundle.bundle import Bundle
from partitioner.runtime.providers import CUDA, accelerator_of, check_provider
from partitioner.runtime.sessions import RuntimeOptions, Stage, random_feeds
from protos.names import CLOUD
from protos.tensors import Array

BATCHES = (1, 8, 32)
TAILS = 9
BUSY_S = 1.5
WARM_UP = 3


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """Time tails on the CPU and on the GPU; weigh nine of them on the GPU, and run them together."""
    if CUDA not in onnxruntime.get_available_providers():
        check_provider(CUDA)  # which says what is missing
    before = _used_mib()
    gpu = RuntimeOptions(provider=CUDA)
    started = _used_mib()
    with tempfile.TemporaryDirectory() as name:
        bundle = make_bundle(resnet50(), Path(name), "resnet50")
        cuts = _spaced(bundle)
        return {
            "gpu": accelerator_of(CUDA),
            "memory_mib": {"of the provider": started - before} | _weigh(bundle, cuts, gpu),
            "together": _together(bundle, cuts, gpu),
            "batches": {
                cut: _batches(bundle, cut, RuntimeOptions(arguments.threads), gpu, arguments.rounds)
                for cut in (cuts[0], cuts[TAILS // 2], cuts[-1])
            },
        }


def _spaced(bundle: Bundle) -> list[str]:
    """Return nine cuts: the whole model, and tails from long to short."""
    inner = [cut.id for cut in bundle.cuts.values() if cut.head_graph and cut.tail_graph]
    places = np.linspace(0, len(inner) - 1, TAILS - 1).round().astype(int)
    return [CLOUD, *(inner[place] for place in places)]


def _used_mib() -> int:
    """Return what is taken of the first GPU, by whomever."""
    query = ["nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits"]
    return int(subprocess.run(query, capture_output=True, text=True, check=True).stdout.split()[0])


def _weigh(bundle: Bundle, cuts: Sequence[str], gpu: RuntimeOptions) -> dict[str, Any]:
    """Load tails one after the other, then run each at growing batches; MiB that each step takes more."""
    kept: dict[str, Stage] = {}
    loads: dict[str, int] = {}
    for cut in cuts:
        before = _used_mib()
        kept[cut] = bundle.open_tail(cut, gpu)
        loads[cut] = _used_mib() - before
    runs: dict[str, dict[str, int]] = {}
    for cut in (cuts[0], cuts[-1]):
        runs[cut] = {}
        for batch in BATCHES:
            before = _used_mib()
            kept[cut].run(_feeds(bundle, cut, batch))
            runs[cut][str(batch)] = _used_mib() - before
    total = _used_mib()
    kept.clear()
    return {"loaded": loads, "batches": runs, "freed by dropping them": total - _used_mib()}


def _together(bundle: Bundle, cuts: Sequence[str], gpu: RuntimeOptions) -> dict[str, Any]:
    """Inferences a second of 1 to 8 threads in one session, and of eight sessions with one thread each."""
    middle = cuts[TAILS // 2]
    feeds = _feeds(bundle, middle, 1)
    stages = [bundle.open_tail(middle, gpu) for _ in range(8)]
    one = {f"{threads} in one session": [stages[0]] * threads for threads in (1, 2, 4, 8)}
    ways = one | {f"one in each of {n} sessions": stages[:n] for n in (2, 4, 8)}
    return {name: _rate(used, feeds) for name, used in ways.items()}


def _rate(stages: Sequence[Stage], feeds: dict[str, Array]) -> float:
    end = time.perf_counter() + BUSY_S

    def run(stage: Stage) -> int:
        done = 0
        while time.perf_counter() < end:
            stage.run(feeds)
            done += 1
        return done

    with ThreadPoolExecutor(len(stages)) as pool:
        return sum(pool.map(run, stages)) / BUSY_S


def _batches(
    bundle: Bundle, cut: str, cpu: RuntimeOptions, gpu: RuntimeOptions, rounds: int
) -> dict[str, Any]:
    stages = {"cpu": bundle.open_tail(cut, cpu), "gpu": bundle.open_tail(cut, gpu)}
    return {str(batch): _at(stages, _feeds(bundle, cut, batch), rounds) for batch in BATCHES}


def _at(stages: dict[str, Stage], feeds: dict[str, Array], rounds: int) -> dict[str, Any]:
    answers: dict[str, dict[str, Array]] = {}

    def way(name: str) -> Callable[[], float]:
        def run() -> float:
            begun = time.perf_counter()
            answers[name] = stages[name].run(feeds)
            return time.perf_counter() - begun

        return run

    ways = {name: way(name) for name in stages}
    first_s = {name: run() for name, run in ways.items()}
    alternate(ways, WARM_UP)
    return {
        "first_s": first_s,
        "seconds": {k: reporting.spread(v) for k, v in alternate(ways, rounds).items()},
        "worst_relative_difference": max(
            float(np.abs(value - answers["gpu"][name]).max() / np.abs(value).max())
            for name, value in answers["cpu"].items()
        ),
    }


def _feeds(bundle: Bundle, cut: str, batch: int) -> dict[str, Array]:
    return random_feeds(bundle.cut(cut).frontier, np.random.default_rng(0), batch)


if __name__ == "__main__":
    reporting.main(__doc__, measure, rounds=20, threads=1)
