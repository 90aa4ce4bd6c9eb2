"""What does it cost to move the cut a hundred times in a stream?

The same frames, paced, over the same server: at one cut, at another, and moving between the two with every
result. A stall is the time between two results beyond the period at which frames come.
"""

import argparse
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import reporting
from benchmarks.serving import served
from edge_client.client.sync_client import EdgeClient
from edge_client.frames.result import ServedBy
from edge_client.sources.paced_frames import paced
from partitioner.bundle.bundle import Bundle
from partitioner.common.memory import keep_freed_pages
from partitioner.runtime.sessions import random_feeds
from protos.tensors import Array

DIGITS = Path(__file__).parent.parent / "examples" / "digits"


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """Stream at either cut, and moving between them."""
    keep_freed_pages()
    bundle = Bundle.load(DIGITS / "bundle")
    cuts = [cut.id for cut in bundle.manifest.cuts]
    early, late = cuts[len(cuts) // 3], cuts[2 * len(cuts) // 3]
    with served(DIGITS / "bundle") as address:
        return {
            "period_s": 1 / arguments.fps,
            early: _stream(address, bundle, [early], arguments),
            late: _stream(address, bundle, [late], arguments),
            "moving": _stream(address, bundle, [early, late], arguments),
        }


def _stream(
    address: str, bundle: Bundle, cuts: list[str], arguments: argparse.Namespace
) -> dict[str, Any]:
    feeds = random_feeds(bundle.inputs, np.random.default_rng(0))
    with EdgeClient(address, bundle, cuts[0]) as client:
        for cut in cuts:  # loads heads and tails on both sides
            client.set_option(cut)
            client.infer(feeds)
        results, moments, moves = [], [], 0
        for result in client.stream(_frames(feeds, arguments)):
            moments.append(time.perf_counter())
            results.append(result)
            following = cuts[len(results) % len(cuts)]
            moves += following != client.choice.cut.id
            client.set_option(following)
    gaps = np.diff(moments)
    return {
        "moves": moves,
        "frames": len(results),
        "by_the_cloud": sum(result.served_by is ServedBy.CLOUD for result in results),
        "latency_s": reporting.spread([result.latency_s for result in results]),
        "longest_stall_s": float(max(gaps) - 1 / arguments.fps),
    }


def _frames(feeds: dict[str, Array], arguments: argparse.Namespace) -> Iterator[dict[str, Array]]:
    return paced((feeds for _ in range(arguments.frames)), arguments.fps)


if __name__ == "__main__":
    reporting.main(__doc__, measure, frames=220, fps=12.0)
