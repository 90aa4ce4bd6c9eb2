"""What does a request cost on a Ray cluster of one node and of two?

Both clusters are on this machine and take turns, with a replica of one worker on each node, and are asked
through the proxy of their first node. What a request takes of all processes is divided into the session's
part, called directly, and the rest. Nodes that share two cores show that a request costs no more where
there are more nodes, not what they give: that follows from the cost.
"""

import argparse
import asyncio
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import engine_servers, reporting
from benchmarks.closed_loops import event_loop
from benchmarks.convolutions import lasting
from benchmarks.engines import SMALL_S, ask_alone, ask_together, by_call, idle_share
from benchmarks.processes import compute_s, message_of
from benchmarks.serving import alternate, make_bundle
from partitioner.common.memory import keep_freed_pages

NODES = (1, 2)
CORES = 16
"""Of the nodes that are worked out."""
_WARM_UP = 100


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """Measure one tail on both clusters, in turns."""
    keep_freed_pages()
    with tempfile.TemporaryDirectory() as name, event_loop() as runner:
        folder = Path(name)
        (folder / "bundles").mkdir()
        bundle = make_bundle(lasting(SMALL_S, folder), folder / "bundles", "graph")
        message, tail_s = message_of(bundle), compute_s(bundle)
        with (
            engine_servers.ray_nodes(arguments.ray_python, folder / "bundles", 1) as one,
            engine_servers.ray_nodes(arguments.ray_python, folder / "bundles", 2) as two,
        ):
            ways = {
                str(nodes): (server, lambda *n, to=server.address: by_call(to, message, *n))
                for nodes, server in zip(NODES, (one, two), strict=True)
            }
            for _, ask in ways.values():
                runner.run(ask(arguments.in_flight, _WARM_UP))
            alone = alternate(
                {
                    key: lambda way=way: ask_alone(way, runner, arguments)
                    for key, way in ways.items()
                },  # type: ignore[misc]
                arguments.rounds,
            )
            runs = alternate(
                {
                    key: lambda way=way: ask_together(way, runner, arguments)
                    for key, way in ways.items()
                },  # type: ignore[misc]
                arguments.rounds,
            )
            proxies = {key: _proxy_s(way, runner, arguments) for key, way in ways.items()}
            idle = {key: idle_share(server) for key, (server, _) in ways.items()}
            memory = {key: server.memory() for key, (server, _) in ways.items()}
    found = {}
    for key in ways:
        cost_s = float(np.median([run.cpu_s - idle[key] * run.wall_s for run in runs[key]]))
        found[key] = {
            "latency_one_at_a_time_s": reporting.spread([s for part in alone[key] for s in part]),
            "requests_per_s": 1 / float(np.median([run.wall_s for run in runs[key]])),
            "request_cpu_s": cost_s,
            "beside_the_tail_s": cost_s - tail_s,
            "proxies_cpu_s": proxies[key],
            "idle_cpu_share": idle[key],
            "memory": memory[key],
            f"requests_per_s_of_{CORES}_cores": CORES / cost_s,
        }
    ratio = found["2"]["request_cpu_s"] / found["1"]["request_cpu_s"]
    return {"tail_cpu_s": tail_s, "nodes": found, "cost_of_two_to_one": ratio}


def _proxy_s(way: Any, runner: asyncio.Runner, arguments: argparse.Namespace) -> float:
    """Return what a request takes of the proxies, each of which has one event loop."""
    server, ask = way
    before_s = server.cpu_s("ProxyActor")
    runner.run(ask(arguments.in_flight, arguments.requests))
    return float(server.cpu_s("ProxyActor") - before_s) / float(arguments.requests)


if __name__ == "__main__":
    reporting.main(__doc__, measure, rounds=5, requests=300, in_flight=16, ray_python="")
