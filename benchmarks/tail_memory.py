"""What do all tails of a model take in memory at once, and what does sharing segments cost in time?"""

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import reporting
from benchmarks.architectures import resnet50
from benchmarks.serving import make_bundle, watched
from partitioner.bundle.bundle import Bundle
from partitioner.runtime.sessions import random_feeds
from protos.inference_pb2 import ModelInferRequest
from protos.names import CLOUD, EDGE
from tests.kit.cloud_calls import TIMEOUT_S, connected, oip_stub, request_for

BOUND = 2.5
_WAYS = {
    "a session for every tail": ("--own-sessions", "99"),
    "two of their own, the others share": (),
    "all share": ("--own-sessions", "0"),
}


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """Serve a ResNet-50 in each way, ask for every tail, and read the server's memory and processor time."""
    with tempfile.TemporaryDirectory() as folder:
        bundle = make_bundle(resnet50(), Path(folder), "resnet50")
        feeds = random_feeds(bundle.inputs, np.random.default_rng(0))
        whole = request_for(bundle, CLOUD, feeds)
        cuts = [cut for cut in bundle.cuts if cut not in (CLOUD, EDGE)]
        tails = [request_for(bundle, cut, bundle.open_head(cut).run(feeds)) for cut in cuts]
        alone = _served(bundle, (), [whole], arguments.requests)
        found = {
            way: _served(bundle, flags, [whole, *tails], arguments.requests)
            for way, flags in _WAYS.items()
        }
    for one in found.values():
        one["memory_ratio"] = one["rss_bytes"] / alone["rss_bytes"]
        one["cpu_ratio_of_all"] = one["cpu_s"] / found["a session for every tail"]["cpu_s"]
    return {"bound": BOUND, "tails": len(cuts), "the whole model alone": alone, **found}


def _served(
    bundle: Bundle, flags: Sequence[str], requests: Sequence[ModelInferRequest], rounds: int
) -> dict[str, Any]:
    """Ask for every tail in turns; return the resident bytes, and the processor's seconds of one turn."""
    words = ("--workers", "1", "--threads", "1", *flags)
    with watched(bundle.path, *words) as (address, child), connected(address) as channel:
        stub = oip_stub(channel)

        def turn() -> float:
            before_s = child.cpu_s()
            for request in requests:
                stub.ModelInfer(request, timeout=TIMEOUT_S)
            return child.cpu_s() - before_s

        turn()
        seconds = [turn() for _ in range(rounds)]
        return {
            "rss_bytes": child.resident_bytes(),
            "cpu_s": float(np.median(seconds)),
            "cpu_s_spread": reporting.spread(seconds),
        }


if __name__ == "__main__":
    reporting.main(__doc__ or "", measure, requests=7)
