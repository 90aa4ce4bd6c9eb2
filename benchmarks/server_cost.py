"""What CPU time does a request cost the server, beside a service by hand and a bare stream of gRPC?

All servers are there at once and take turns, each with the same bytes and as many requests in flight. What
counts is the CPU time of the server's process, which a busy machine lengthens less than the time on a clock.
"""

import argparse
import asyncio
import contextlib
import tempfile
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from benchmarks import reporting
from benchmarks.architectures import pass_through
from benchmarks.bare_stream import METHOD as BARE
from benchmarks.children import Child, child
from benchmarks.closed_loops import by_http, by_stream, event_loop
from benchmarks.convolutions import lasting
from benchmarks.serving import alternate, make_bundle, watched
from edge_client.cloud.stream import METHOD
from partitioner.bundle.bundle import Bundle
from partitioner.common.memory import keep_freed_pages
from partitioner.runtime.sessions import random_feeds
from protos.names import CLOUD
from protos.wire.checksums import seal
from protos.wire.framing import encode_request
from protos.wire.messages import pack_request

SMALL_S, MIDDLE_S = 0.00115, 0.005
_WARM_UP = 50

Load = Callable[[int, int], Coroutine[Any, Any, list[float]]]
"""Sends so many requests with so many in flight; its result are the seconds of each."""


@dataclass(frozen=True)
class Way:
    """A server, and how it is asked."""

    server: Child
    load: Load


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """Measure each graph behind each server, in turns."""
    keep_freed_pages()
    with tempfile.TemporaryDirectory() as name, event_loop() as runner:
        folder = Path(name)
        graphs = {
            "tail_of_1.15_ms": lasting(SMALL_S, folder),
            "tail_of_5_ms": lasting(MIDDLE_S, folder),
            "identity_200_kB": pass_through(50_000),
            "identity_800_kB": pass_through(200_000),
        }
        return {
            key: _compare(graph, folder / key, runner, arguments) for key, graph in graphs.items()
        }


def _compare(
    graph: onnx.ModelProto, folder: Path, runner: asyncio.Runner, arguments: argparse.Namespace
) -> dict[str, Any]:
    folder.mkdir()
    (folder / "bundles").mkdir()
    bundle = make_bundle(graph, folder / "bundles", "graph")
    with _ways(bundle, folder / "bundles", arguments.workers) as ways:
        for way in ways.values():
            runner.run(way.load(arguments.in_flight, _WARM_UP))
        costs = alternate(
            {
                name: lambda way=way: _cost_s(way, runner, arguments)  # type: ignore[misc]
                for name, way in ways.items()
            },
            arguments.rounds,
        )
        alone = {name: runner.run(way.load(1, arguments.requests)) for name, way in ways.items()}
    cost_s = {name: reporting.spread(seconds) for name, seconds in costs.items()}
    by_hand_s = cost_s["fastapi"]["p50"]
    return {
        "cpu_s": cost_s,
        "latency_one_at_a_time_s": {name: reporting.spread(s) for name, s in alone.items()},
        "to_fastapi": {name: found["p50"] / by_hand_s for name, found in cost_s.items()},
    }


def _cost_s(way: Way, runner: asyncio.Runner, arguments: argparse.Namespace) -> float:
    before_s = way.server.cpu_s()
    runner.run(way.load(arguments.in_flight, arguments.requests))
    return (way.server.cpu_s() - before_s) / float(arguments.requests)


@contextmanager
def _ways(bundle: Bundle, bundles: Path, workers: int) -> Iterator[dict[str, Way]]:
    """Start the servers: ours, FastAPI around the same graph, and a stream that computes nothing."""
    feeds = random_feeds(bundle.inputs, np.random.default_rng(0))
    (values,) = feeds.values()
    body = values.tobytes()
    with contextlib.ExitStack() as stack:
        flags = ("--workers", str(workers), "--preload", CLOUD, "--http", "off")
        address, ours = stack.enter_context(watched(bundles, *flags))
        words = (str(bundles / "graph.onnx"), str(workers))
        fastapi = stack.enter_context(child("benchmarks.raw_fastapi", words))
        answer_bytes = sum(value.nbytes for value in bundle.open_tail(CLOUD).run(feeds).values())
        bare = stack.enter_context(child("benchmarks.bare_stream", (str(answer_bytes),)))
        plain, sealed = (_message(bundle, feeds, sealed=sealed) for sealed in (False, True))
        yield {
            "ours": Way(ours, lambda *n: by_stream(address, METHOD, plain, *n)),
            "ours_with_checksums": Way(ours, lambda *n: by_stream(address, METHOD, sealed, *n)),
            "fastapi": Way(fastapi, lambda *n: by_http(int(fastapi.said), body, *n)),
            "bare_stream": Way(
                bare, lambda *n: by_stream(f"127.0.0.1:{bare.said}", BARE, body, *n)
            ),
        }


def _message(bundle: Bundle, feeds: dict[str, Any], *, sealed: bool) -> bytes:
    header, buffers = pack_request(bundle.name, "7", feeds, bundle.inputs)
    if sealed:
        seal(header, buffers)
    return encode_request(header, buffers)


if __name__ == "__main__":
    reporting.main(__doc__, measure, rounds=7, requests=400, in_flight=16, workers=2)
