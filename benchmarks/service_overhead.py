"""What does the service add to head and tail on loopback, raw float32?

Beside it, in the same turns: what a bare gRPC stream takes for a message and an answer of the same sizes, of
which no service over gRPC in Python can take less on the machine as it is at that time.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import reporting
from benchmarks.architectures import pass_through, resnet18
from benchmarks.bare_stream import bare_stream
from benchmarks.serving import alternate, make_bundle, nearest_cut, served
from edge_client.client.sync_client import EdgeClient
from partitioner.bundle.bundle import Bundle
from partitioner.common.memory import keep_freed_pages
from partitioner.runtime.sessions import random_feeds

BOUNDS_MS = {200_000: 1.0, 800_000: 1.5}


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """Time the client against head and tail alone, turn by turn, at two sizes of frontier.

    `pass_through` computes next to nothing, so all that remains is the service; `resnet18` is a real
    network whose third and first stage have those sizes.
    """
    keep_freed_pages()
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bundles = {
            f"pass_through_{size}": (make_bundle(pass_through(size // 4), folder, f"p{size}"), size)
            for size in BOUNDS_MS
        }
        resnet = make_bundle(resnet18(), folder, "resnet18")
        bundles |= {f"resnet18_{size}": (resnet, size) for size in BOUNDS_MS}
        with served(folder) as address:
            for key, (bundle, size) in bundles.items():
                results[key] = _compare(address, bundle, size, arguments.rounds)
    return results


def _compare(address: str, bundle: Bundle, size: int, rounds: int) -> dict[str, Any]:
    cut = nearest_cut(bundle, size)
    feeds = random_feeds(bundle.inputs, np.random.default_rng(0))
    head, tail = bundle.open_head(cut), bundle.open_tail(cut)
    values = head.run(feeds)
    answer_bytes = sum(value.nbytes for value in tail.run(values).values())
    with (
        EdgeClient(address, bundle, cut) as client,
        bare_stream(sum(value.nbytes for value in values.values()), answer_bytes) as exchange,
    ):
        ways = {
            "end_to_end": _timed(lambda: client.infer(feeds)),
            "head": _timed(lambda: head.run(feeds)),
            "tail": _timed(lambda: tail.run(values)),
            "bare_stream": exchange,
        }
        alternate(ways, 20)
        figures = alternate(ways, rounds)
    p50 = {name: float(np.median(seconds)) for name, seconds in figures.items()}
    overhead_s = p50["end_to_end"] - p50["head"] - p50["tail"]
    return {
        "cut": cut,
        "frontier_bytes": sum(spec.nbytes() for spec in bundle.cut(cut).frontier),
        "seconds": {name: reporting.spread(seconds) for name, seconds in figures.items()},
        "overhead_ms": 1e3 * overhead_s,
        "overhead_to_bare_stream": overhead_s / p50["bare_stream"],
        "bound_ms": BOUNDS_MS[size],
    }


def _timed(call: Callable[[], object]) -> Callable[[], float]:
    def run() -> float:
        start = time.perf_counter()
        call()
        return time.perf_counter() - start

    return run


if __name__ == "__main__":
    reporting.main(__doc__, measure, rounds=300)
