"""Does memory stay flat at full rate, while the cut moves all the time?

Frames are streamed as fast as they go through a real server in a process of its own, the cut moves every
quarter of a second over four cuts, and telemetry is made and sent. The resident memory of both processes
is sampled once a second. After the warm-up it has to stay within 3 %, and frames in = results out, in order.
What of it is the processes' own, and no page of a file, stands beside it.
"""

import argparse
import asyncio
import time
from collections import Counter
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from benchmarks import reporting
from benchmarks.chaos import Server
from edge_client.client.async_client import AsyncEdgeClient
from edge_client.telemetry.health import State
from edge_client.telemetry.observer import Observer
from edge_client.telemetry.reporter import Reporter
from partitioner.bundle.bundle import Bundle
from partitioner.common.memory import keep_freed_pages
from partitioner.runtime.sessions import random_feeds
from protos.names import EDGE
from protos.tensors import Array

DIGITS = Path(__file__).parent.parent / "examples" / "digits"
FLAT = 0.03
_WINDOW_S = 10.0


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """Stream for `minutes`; what comes before `warm_up` of them have passed is not held against memory."""
    keep_freed_pages()
    bundle = Bundle.load(DIGITS / "bundle")
    server = Server(bundle.path)
    server.start()
    try:
        return asyncio.run(_soak(bundle, server, arguments))
    finally:
        server.kill()


async def _soak(bundle: Bundle, server: Server, arguments: argparse.Namespace) -> dict[str, Any]:
    crossing = [cut.id for cut in bundle.manifest.cuts if cut.id != EDGE]
    places = np.linspace(0, len(crossing) - 1, 4).round().astype(int)
    cuts = [crossing[place] for place in places]
    watch = _Watch(bundle, 60 * arguments.minutes)
    async with AsyncEdgeClient(server.address, bundle, cuts[0]) as client:
        observer = Observer(client, "soak")
        reporter = Reporter(client, observer, 10.0, lambda _record: None, _unheard)
        beside = [
            asyncio.create_task(work)
            for work in (_switch(client, cuts, watch), _sample(server, watch), reporter.run())
        ]
        async for result in client.stream(watch.frames(), on_error="result"):
            observer.add(result)
            watch.frames_out += 1
            watch.in_order &= result.frame == watch.frames_out - 1
            watch.served_by[str(result.served_by)] += 1
            watch.cuts[result.cut] += 1
        for task in beside:
            task.cancel()
        for finished in await asyncio.gather(*beside, return_exceptions=True):
            if isinstance(finished, Exception):
                raise finished
    return watch.verdict(arguments.warm_up * 60, arguments.minutes * 60)


async def _unheard(_state: State) -> None:
    """Nobody listens."""


async def _switch(client: AsyncEdgeClient, cuts: list[str], watch: "_Watch") -> None:
    for cut in cycle(cuts):
        client.set_option(cut)
        watch.switches += 1
        await asyncio.sleep(0.25)


async def _sample(server: Server, watch: "_Watch") -> None:
    processes = psutil.Process(), psutil.Process(server.pid)
    while True:
        memory = (process.memory_info() for process in processes)
        sizes = (size for each in memory for size in (each.rss, each.rss - each.shared))
        watch.samples.append((time.perf_counter() - watch.begun, *sizes))
        await asyncio.sleep(1.0)


class _Watch:
    """What went in, what came out, and the memory meanwhile."""

    def __init__(self, bundle: Bundle, seconds: float) -> None:
        rng = np.random.default_rng(0)
        self._frames = [random_feeds(bundle.inputs, rng) for _ in range(16)]
        self._seconds = seconds
        self.begun = time.perf_counter()
        self.frames_in = self.frames_out = self.switches = 0
        self.in_order = True
        self.served_by: Counter[str] = Counter()
        self.cuts: Counter[str] = Counter()
        self.samples: list[tuple[float, ...]] = []
        """Seconds; resident bytes of the edge, and what is its own; the same of the cloud."""

    def frames(self) -> Iterator[dict[str, Array]]:
        """Yield frames until the time is over."""
        while time.perf_counter() - self.begun < self._seconds:
            self.frames_in += 1
            yield self._frames[self.frames_in % len(self._frames)]

    def verdict(self, warm_up_s: float, seconds: float) -> dict[str, Any]:
        """Return the counts, the memory of both sides, and whether all that is asked for holds."""
        warm = np.array([sample for sample in self.samples if sample[0] >= warm_up_s])
        memory = {
            name: {
                **_flatness(warm[:, 0], warm[:, column]),
                "own": _flatness(warm[:, 0], warm[:, column + 1]),
            }
            for column, name in ((1, "edge"), (3, "cloud"))
        }
        whole = self.in_order and self.frames_in == self.frames_out
        flat = all(found["spread"] <= FLAT for found in memory.values())
        return {
            "frames_in": self.frames_in,
            "results_out": self.frames_out,
            "in_order_none_twice": self.in_order,
            "fps": self.frames_out / seconds,
            "switches": self.switches,
            "served_by": dict(self.served_by),
            "cuts": dict(self.cuts),
            "memory": memory,
            "holds": whole and flat and self.served_by["cloud"] == self.frames_out,
        }


def _flatness(seconds: Any, rss_bytes: Any) -> dict[str, Any]:
    """Return the spread, as a share of the median: of the medians of ten seconds, and of single samples.

    Protobuf has malloc give freed pages back after so many messages, every ten seconds or so; within half a
    second they are in use again. That moves single samples, and tells nothing of whether memory grows.
    """
    windows = [
        rss_bytes[seconds // _WINDOW_S == window] for window in np.unique(seconds // _WINDOW_S)
    ]
    medians = np.array([np.median(window) for window in windows])
    return {
        "medians_mib": (medians / 2**20).round(2).tolist(),
        "spread": float(np.ptp(medians) / np.median(medians)),
        "spread_of_samples": float(np.ptp(rss_bytes) / np.median(rss_bytes)),
        "samples": len(rss_bytes),
    }


if __name__ == "__main__":
    reporting.main(__doc__, measure, minutes=10.0, warm_up=1.0)
