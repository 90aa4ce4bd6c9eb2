"""How much of what the slowest stage alone allows does the pipelined stream reach?

Beside it stands what the machine allows: head and tail in two bare processes at the same time, which share
caches and memory as edge and cloud do here, but neither a frame nor a message.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import reporting
from benchmarks.architectures import resnet18
from benchmarks.serving import make_bundle, served
from edge_client.client.sync_client import EdgeClient
from partitioner.bundle.bundle import Bundle
from partitioner.common.memory import keep_freed_pages
from partitioner.profiles.timing import time_call
from partitioner.runtime.sessions import random_feeds
from protos.tensors import Array

_TOGETHER_S = 4.0


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """Stream frames at three cuts (early, balanced, late), and compare with head and tail alone."""
    keep_freed_pages()
    with tempfile.TemporaryDirectory() as name:
        bundle = make_bundle(resnet18(), Path(name), "resnet18")
        total = bundle.manifest.flops
        shares = {cut.id: cut.head_flops / total for cut in bundle.manifest.cuts}
        chosen = {
            wish: min(shares, key=lambda cut: abs(shares[cut] - wish)) for wish in (0.25, 0.5, 0.75)
        }
        feeds = random_feeds(bundle.inputs, np.random.default_rng(0))
        with served(Path(name)) as address:
            return {
                cut: _stream(address, bundle, cut, feeds, arguments.frames, arguments.rounds)
                for cut in chosen.values()
            }


def _stream(
    address: str, bundle: Bundle, cut: str, feeds: dict[str, Array], frames: int, rounds: int
) -> dict[str, Any]:
    head, tail = bundle.open_head(cut), bundle.open_tail(cut)
    values = head.run(feeds)
    ratios, rates, slowest, together = [], [], [], []
    with (
        EdgeClient(address, bundle, cut) as client,
        ProcessPoolExecutor(1, mp_context=get_context("spawn")) as other,
    ):
        for _ in range(rounds):
            alone = max(_median_s(lambda: head.run(feeds)), _median_s(lambda: tail.run(values)))
            beside = other.submit(_tail_s, bundle.path, cut, values)
            head_s = _median_s(lambda: head.run(feeds), _TOGETHER_S)
            together.append(1 / max(head_s, beside.result()))
            start = time.perf_counter()
            served_frames = sum(1 for _ in client.stream(feeds for _ in range(frames)))
            rate = served_frames / (time.perf_counter() - start)
            slowest.append(1 / alone)
            rates.append(rate)
            ratios.append(rate * alone)
    return {
        "frames_per_s": reporting.spread(rates),
        "slowest_stage_alone_per_s": reporting.spread(slowest),
        "both_at_once_without_service_per_s": reporting.spread(together),
        "ratio": float(np.median(ratios)),
        "ratio_to_both_at_once": float(np.median(np.divide(rates, together))),
        "bound": 0.9,
    }


def _tail_s(path: Path, cut: str, values: dict[str, Array]) -> float:
    """Return the seconds of a tail in a process of its own; it runs a little longer than the head does."""
    tail = Bundle.load(path).open_tail(cut)
    return _median_s(lambda: tail.run(values), _TOGETHER_S)


def _median_s(call: Callable[[], object], for_s: float = 1.0) -> float:
    return time_call(call, time.perf_counter() + for_s).median_s


if __name__ == "__main__":
    reporting.main(__doc__, measure, frames=200, rounds=5)
