"""What do several processes at one port cost a request, and what would they give on more cores?

The same load, on many connections, goes to a server of one process and to one of two, in turns. What a
request takes is divided into what the loop's thread takes (which holds the interpreter's lock), what the
session takes when it is called directly, and the rest. From these parts follows what a machine of any number
of cores can answer: no more than its cores have time for, and of one process no more than its lock has.
"""

import argparse
import asyncio
import math
import multiprocessing
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import psutil

from benchmarks import reporting
from benchmarks.architectures import pass_through
from benchmarks.children import Child
from benchmarks.closed_loops import by_stream, event_loop
from benchmarks.convolutions import lasting
from benchmarks.serving import alternate, make_bundle, watched
from edge_client.cloud.stream import METHOD
from partitioner.bundle.bundle import Bundle
from partitioner.common.memory import keep_freed_pages
from partitioner.runtime.sessions import random_feeds
from protos.names import CLOUD
from protos.wire.framing import encode_request
from protos.wire.messages import pack_request

SMALL_S = 0.00115
CORES = (2, 4, 8, 16)
_TICK_S = 1 / os.sysconf("SC_CLK_TCK")
_SERIAL = {
    "loop_alone_serial": ("loop_cpu_s",),
    "all_but_computing_serial": ("loop_cpu_s", "rest_cpu_s"),
}
"""The parts of a request that take turns in one process: at least the first, and at most the second."""
_DRAWS = 400
_CONNECTIONS = (64, 1024)


@dataclass(frozen=True)
class Load:
    """So many requests on each of so many connections, from so many clients that are processes each."""

    clients: int
    connections: int
    in_flight: int
    requests: int

    @property
    def total(self) -> int:
        """All requests of one run."""
        return self.clients * self.connections * self.requests


@dataclass(frozen=True)
class Run:
    """What one run took for each request: on the clock, and of CPU time."""

    wall_s: float
    server_s: float
    loops_s: float
    """Of the threads that run the servers' event loops."""
    client_s: float


class Server:
    """A server of some processes."""

    def __init__(self, address: str, front: Child) -> None:
        self.address = address
        children = psutil.Process(front.pid).children()
        self.processes = [front, *(Child(one.pid) for one in children)]

    def cpu_s(self) -> float:
        """Return the CPU seconds of all of it so far."""
        return sum(one.cpu_s() for one in self.processes)

    def loops_s(self) -> float:
        """Return those of the main threads."""
        return sum(_thread_s(one.pid) for one in self.processes)


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """Measure each graph with one process and with two, and work out what follows."""
    keep_freed_pages()
    load = Load(arguments.clients, arguments.connections, arguments.in_flight, arguments.requests)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        graphs = {
            "tail_of_1.15_ms": lasting(SMALL_S, folder),
            "identity_200_kB": pass_through(50_000),
        }
        found = {
            key: _compare(graph, folder / key, load, arguments.rounds)
            for key, graph in graphs.items()
        }
    return found | {"spread_of_connections": _spread_of_connections()}


def _compare(graph: onnx.ModelProto, folder: Path, load: Load, rounds: int) -> dict[str, Any]:
    folder.mkdir()
    bundle = make_bundle(graph, folder, "graph")
    message, direct_s = message_of(bundle), compute_s(bundle)
    with _servers(folder) as servers, _clients(load) as clients:
        for server in servers.values():
            _run(server, message, load, clients)
        runs = alternate(
            {
                count: lambda server=server: _run(server, message, load, clients)  # type: ignore[misc]
                for count, server in servers.items()
            },
            rounds,
        )
    parts = {count: _parts(found, direct_s) for count, found in runs.items()}
    return {
        "processes": parts,
        "to_one_process": {
            "server_cpu": parts["2"]["server_cpu_s"]["p50"] / parts["1"]["server_cpu_s"]["p50"],
            "requests_per_s": parts["2"]["requests_per_s"] / parts["1"]["requests_per_s"],
        },
        "model": {str(cores): _model(parts, cores) for cores in CORES},
    }


def _parts(runs: Sequence[Run], direct_s: float) -> dict[str, Any]:
    """Return what a request took, and of what that consists."""
    server = reporting.spread([run.server_s for run in runs])
    loops_s = float(np.median([run.loops_s for run in runs]))
    return {
        "requests_per_s": 1 / float(np.median([run.wall_s for run in runs])),
        "server_cpu_s": server,
        "loop_cpu_s": loops_s,
        "compute_cpu_s": direct_s,
        "rest_cpu_s": max(0.0, server["p50"] - loops_s - direct_s),
        "client_cpu_s": float(np.median([run.client_s for run in runs])),
    }


def _model(parts: dict[str, dict[str, Any]], cores: int) -> dict[str, Any]:
    """Return what the parts allow on so many cores that only the server uses, in requests a second.

    One process is reckoned by the parts of one, several by those of two.
    """
    found: dict[str, Any] = {}
    for name, serial in _SERIAL.items():
        lock_s = {count: sum(one[part] for part in serial) for count, one in parts.items()}
        cost_s = {count: one["server_cpu_s"]["p50"] for count, one in parts.items()}
        single = min(cores / cost_s["1"], 1 / lock_s["1"])
        enough = min(cores, max(1, math.ceil(lock_s["2"] * cores / cost_s["2"])))
        several = single if enough == 1 else min(cores / cost_s["2"], enough / lock_s["2"])
        found[name] = {
            "one_process_per_s": single,
            "processes_enough": enough,
            "that_many_per_s": several,
            "gain": several / single,
        }
    return found


def _spread_of_connections() -> dict[str, float]:
    """Return how even the system's draw of a process for each connection leaves 16 processes.

    The mean load over that of the busiest, on average; 1: all have the same.
    """
    drawn, processes = np.random.default_rng(0), max(CORES)
    return {
        str(count): float(
            np.mean(
                [
                    count / processes / drawn.multinomial(count, [1 / processes] * processes).max()
                    for _ in range(_DRAWS)
                ]
            )
        )
        for count in _CONNECTIONS
    }


def _run(server: Server, message: bytes, load: Load, clients: ProcessPoolExecutor) -> Run:
    cpu_s, loops_s = server.cpu_s(), server.loops_s()
    begun_at = time.perf_counter()
    asking = [clients.submit(_ask, server.address, message, load) for _ in range(load.clients)]
    client_s = sum(one.result() for one in asking)
    found = (
        time.perf_counter() - begun_at,
        server.cpu_s() - cpu_s,
        server.loops_s() - loops_s,
        client_s,
    )
    return Run(*(seconds / load.total for seconds in found))


@cache
def _runner() -> asyncio.Runner:
    """Return the one event loop of a client's process."""
    return event_loop()


def _ask(address: str, message: bytes, load: Load) -> float:
    """Send the requests of one client; return the CPU seconds that it took."""
    begun_s = time.process_time()
    _runner().run(_ask_all(address, message, load))
    return time.process_time() - begun_s


async def _ask_all(address: str, message: bytes, load: Load) -> None:
    await asyncio.gather(
        *(
            by_stream(address, METHOD, message, load.in_flight, load.requests)
            for _ in range(load.connections)
        )
    )


@contextmanager
def _servers(bundles: Path) -> Iterator[dict[str, Server]]:
    """Run a server of one process and one of two."""
    with ExitStack() as stack:
        yield {
            str(count): Server(
                *stack.enter_context(
                    watched(bundles, "--processes", str(count), "--preload", CLOUD, "--http", "off")
                )
            )
            for count in (1, 2)
        }


@contextmanager
def _clients(load: Load) -> Iterator[ProcessPoolExecutor]:
    """Keep the clients' processes, each begun before anything is measured."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(load.clients, mp_context=spawn) as clients:
        list(clients.map(abs, range(load.clients)))
        yield clients


def message_of(bundle: Bundle) -> bytes:
    feeds = random_feeds(bundle.inputs, np.random.default_rng(0))
    return encode_request(*pack_request(bundle.name, "7", feeds, bundle.inputs))


def compute_s(bundle: Bundle, runs: int = 200) -> float:
    """Return the CPU seconds of one run of the session, called directly; it has this one thread."""
    stage, feeds = bundle.open_tail(CLOUD), random_feeds(bundle.inputs, np.random.default_rng(0))
    for _ in range(20):
        stage.run(feeds)
    begun_s = time.thread_time()
    for _ in range(runs):
        stage.run(feeds)
    return (time.thread_time() - begun_s) / runs


def _thread_s(pid: int) -> float:
    """Return the CPU seconds of the main thread of a process, as the system's ticks have it."""
    fields = Path(f"/proc/{pid}/task/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * _TICK_S


if __name__ == "__main__":
    reporting.main(__doc__, measure, rounds=5, clients=2, connections=16, in_flight=2, requests=60)
