"""What does TLS cost a request: milliseconds end to end, and CPU at both ends?

Three servers answer the same requests in turns: in the clear, by TLS, and by mutual TLS with a token. The
model computes next to nothing, so that what remains is the service and what secures it.
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from grpc_health.v1 import health_pb2, health_pb2_grpc

from benchmarks import reporting
from benchmarks.architectures import pass_through
from benchmarks.children import Child
from benchmarks.serving import alternate, make_bundle, nearest_cut, watched
from edge_client.client.options import ClientOptions
from edge_client.client.sync_client import EdgeClient
from partitioner.bundle.bundle import Bundle
from partitioner.common.memory import keep_freed_pages
from partitioner.runtime.sessions import random_feeds
from protos.rpc.endpoints import Endpoint
from tests.kit.certificates import Authority

SIZES_BYTES = (2_000, 200_000, 800_000)
PLAIN = "in the clear"
_WARM_ROUNDS, _CONNECTIONS = 20, 30


@dataclass
class Way:
    """One server, and what a client needs to reach it."""

    address: str
    process: Child
    options: dict[str, Any]
    client_cpu_s: float = 0.0

    def timed(self, client: EdgeClient, feeds: Any) -> Callable[[], float]:
        """Return what asks once, and returns its seconds; this process's CPU is added up beside."""

        def once() -> float:
            cpu_s, begun = time.process_time(), time.perf_counter()
            client.infer(feeds)
            took_s = time.perf_counter() - begun
            self.client_cpu_s += time.process_time() - cpu_s
            return took_s

        return once


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """Time requests of each size, and new connections, of all three in turns."""
    keep_freed_pages()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bundles = folder / "bundles"
        bundles.mkdir()
        made = {
            size: make_bundle(pass_through(size // 4), bundles, f"p{size}") for size in SIZES_BYTES
        }
        with _all_ways(folder, bundles) as ways:
            return {
                "requests": {
                    size: _compare(ways, bundle, size, arguments.rounds)
                    for size, bundle in made.items()
                },
                "connections": _connections(ways),
            }


@contextmanager
def _all_ways(folder: Path, bundles: Path) -> Iterator[dict[str, Way]]:
    authority = Authority(folder / "certificates")
    served = authority.issue()
    own = authority.issue("device", name="device")
    tls = ("--tls-cert", str(served.cert), "--tls-key", str(served.key))
    mutual = (*tls, "--tls-client-ca", str(authority.path))
    trusting: dict[str, Any] = {"tls_ca": authority.path}
    shown = trusting | {"tls_cert": own.cert, "tls_key": own.key, "token": "0123456789abcdef" * 2}
    flags: dict[str, tuple[tuple[str, ...], dict[str, Any]]] = {
        PLAIN: ((), {}),
        "TLS": (tls, trusting),
        "mutual TLS and token": (mutual, shown),
    }
    with ExitStack() as stack:
        ways = {}
        for name, (words, options) in flags.items():
            address, process = stack.enter_context(watched(bundles, *words))
            ways[name] = Way(address, process, options)
        yield ways


def _compare(ways: dict[str, Way], bundle: Bundle, size: int, rounds: int) -> dict[str, Any]:
    feeds = random_feeds(bundle.inputs, np.random.default_rng(0))
    cut = nearest_cut(bundle, size)
    with ExitStack() as stack:
        asking = {}
        for name, way in ways.items():
            client = EdgeClient(way.address, bundle, cut, on_failure="fail", **way.options)
            asking[name] = way.timed(stack.enter_context(client), feeds)
        alternate(asking, _WARM_ROUNDS)
        before = {name: way.process.cpu_s() for name, way in ways.items()}
        for way in ways.values():
            way.client_cpu_s = 0.0
        figures = alternate(asking, rounds)
        server_s = {name: way.process.cpu_s() - before[name] for name, way in ways.items()}
    plain_s = float(np.median(figures[PLAIN]))
    return {
        name: {
            "seconds": reporting.spread(figures[name]),
            "more_ms": 1e3 * (float(np.median(figures[name])) - plain_s),
            "to_plain": float(np.median(figures[name])) / plain_s,
            "server_cpu_ms": 1e3 * server_s[name] / rounds,
            "client_cpu_ms": 1e3 * way.client_cpu_s / rounds,
        }
        for name, way in ways.items()
    }


def _connections(ways: dict[str, Way]) -> dict[str, Any]:
    """Time a new connection with its first call, the server's health."""

    def connecting(way: Way) -> Callable[[], float]:
        options = ClientOptions(way.address, "unused", **way.options)
        endpoint = Endpoint(way.address, options.security)

        def once() -> float:
            begun = time.perf_counter()
            with endpoint.open() as channel:
                health_pb2_grpc.HealthStub(channel).Check(
                    health_pb2.HealthCheckRequest(), timeout=5
                )
            return time.perf_counter() - begun

        return once

    figures = alternate({name: connecting(way) for name, way in ways.items()}, _CONNECTIONS)
    return {name: reporting.spread(seconds) for name, seconds in figures.items()}


if __name__ == "__main__":
    reporting.main(__doc__, measure, rounds=300)
