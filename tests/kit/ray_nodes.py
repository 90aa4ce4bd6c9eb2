"""A Ray cluster of one node or two on this machine, run as a module with the number of nodes.

It prints where, and obeys lines of stdin: `kill` ends the second node with all that runs there, as a power
cut would, and is answered by a line.
"""

import json
import logging
import os
import sys
from typing import Any

import psutil

from tests.kit.sockets import free_port

MOST = 2
"""Nodes: all but the first have the same ports of proxies."""
CPUS = 2
"""Of each node, as Ray counts them: room for two replicas of one worker."""


def main() -> None:
    """Run the nodes until stdin ends."""
    # The proxies of both nodes share this machine, so those of the second one need ports of their own.
    second = {"grpc": free_port(), "http": free_port()}
    os.environ |= {
        "RAY_SERVE_WORKER_PROXY_GRPC_PORT": str(second["grpc"]),
        "RAY_SERVE_WORKER_PROXY_HTTP_PORT": str(second["http"]),
        "RAY_SERVE_USE_GRPC_BY_DEFAULT": "1",
    }
    from ray.cluster_utils import Cluster

    logging.disable(logging.INFO)
    cluster = Cluster(
        initialize_head=True,
        head_node_args={"num_cpus": CPUS, "include_dashboard": False},
    )
    try:
        node = cluster.add_node(num_cpus=CPUS) if int(sys.argv[1]) == MOST else None
        print(json.dumps({"address": cluster.address}), flush=True)
        for line in sys.stdin:
            if line.strip() == "kill":
                _cut_power(node)
                cluster.remove_node(node, allow_graceful=False)
                print(json.dumps({"event": "killed"}), flush=True)
    finally:
        cluster.shutdown()


def _cut_power(node: Any) -> None:
    """Kill all that runs on a node at once; Ray alone would let replicas finish what they have."""
    (raylet,) = (one.process for one in node.all_processes["raylet"])
    ends = [*psutil.Process(raylet.pid).children(recursive=True), psutil.Process(raylet.pid)]
    for process in ends:
        process.kill()


if __name__ == "__main__":
    main()
