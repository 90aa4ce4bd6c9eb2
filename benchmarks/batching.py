"""What do batches give at 32 requests in flight, and what of it reaches the clients?

Two servers of the same tails take turns, one that computes each request alone and one that batches. Beside
them, in the same turns: the same session called directly, row by row and in batches of the size that the
server came to, by as many threads as it has workers; and a bare stream of gRPC with the same bytes. A machine
that did nothing but these two would give 1 / (1/direct + 1/stream) requests a second; the server is
compared with that. With --provider CUDAExecutionProvider servers and session compute on a GPU.
"""

import argparse
import asyncio
import contextlib
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from benchmarks import reporting
from benchmarks.bare_stream import METHOD as BARE
from benchmarks.children import Child, child
from benchmarks.closed_loops import by_stream, event_loop
from benchmarks.convolutions import lasting
from benchmarks.serving import alternate, make_bundle, watched
from edge_client.cloud.stream import METHOD
from partitioner.bundle.bundle import Bundle
from partitioner.common.defaults import DEFAULT_PROVIDER
from partitioner.common.memory import keep_freed_pages
from partitioner.runtime.providers import check_provider
from partitioner.runtime.sessions import RuntimeOptions, Stage, random_feeds
from protos.inference_pb2 import ModelStatisticsRequest
from protos.inference_pb2_grpc import GRPCInferenceServiceStub
from protos.names import CLOUD
from protos.tensors import Array
from protos.wire.framing import encode_request
from protos.wire.messages import pack_request
from tests.kit.cloud_calls import connected
from tests.kit.models import Builder

SMALL_S, MIDDLE_S = 0.00115, 0.005
_WARM_UP = 100
_WIDTH = 1024


def layers(number: int) -> onnx.ModelProto:
    """4 kB in, and so many layers of 1,024 units, each with 4 MB of weights that a single row reads too."""
    b = Builder(number)
    x = b.input("x", ["n", _WIDTH])
    for _ in range(number):
        x = b.op("Relu", b.linear(x, _WIDTH, _WIDTH))
    return b.model(x)


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """Measure each tail in each way, in turns."""
    keep_freed_pages()
    check_provider(arguments.provider)
    with tempfile.TemporaryDirectory() as name, event_loop() as runner:
        folder = Path(name)
        tails = {
            "convolutions_1.15_ms": lasting(SMALL_S, folder),
            "convolutions_5_ms": lasting(MIDDLE_S, folder),
            "layers_4": layers(4),
            "layers_16": layers(16),
        }
        return {key: _compare(tail, folder / key, runner, arguments) for key, tail in tails.items()}


@dataclass(frozen=True)
class Way:
    """Something that answers requests: what sends it that many, and the CPU seconds that it has taken."""

    ask: Callable[[], None]
    cpu_s: Callable[[], float]
    requests: int

    def measured(self, cpu: list[float]) -> float:
        """Return the seconds a request; write down the CPU seconds a request."""
        begun_at, before_s = time.perf_counter(), self.cpu_s()
        self.ask()
        cpu.append((self.cpu_s() - before_s) / self.requests)
        return (time.perf_counter() - begun_at) / self.requests


def _compare(
    tail: onnx.ModelProto, folder: Path, runner: asyncio.Runner, arguments: argparse.Namespace
) -> dict[str, Any]:
    folder.mkdir()
    (folder / "bundles").mkdir()
    bundle = make_bundle(tail, folder / "bundles", "tail")
    with _servers(bundle, folder / "bundles", arguments) as servers:
        loads = {name: _load(runner, server) for name, server in servers.items()}
        for load in loads.values():
            load(arguments.in_flight, _WARM_UP)
        ways = {
            name: Way(
                partial(load, arguments.in_flight, arguments.requests),
                servers[name].child.cpu_s,
                arguments.requests,
            )
            for name, load in loads.items()
        }
        before = _executed(servers["batched"].address)
        ways["batched"].ask()
        size = max(1, round(_mean_batch(before, _executed(servers["batched"].address))))
        stage = bundle.open_tail(CLOUD, RuntimeOptions(provider=arguments.provider))
        ways["direct"] = _direct(stage, 1, arguments)
        ways["direct_batched"] = _direct(stage, size, arguments)
        before, cpu = _executed(servers["batched"].address), {name: [] for name in ways}
        taken = alternate(
            {name: partial(way.measured, cpu[name]) for name, way in ways.items()}, arguments.rounds
        )
        mean_batch = _mean_batch(before, _executed(servers["batched"].address))
        alone = {name: load(1, arguments.requests) for name, load in loads.items()}
    return {
        "request_s": {name: reporting.spread(seconds) for name, seconds in taken.items()},
        "cpu_s": {name: reporting.spread(seconds) for name, seconds in cpu.items()},
        "mean_batch": mean_batch,
        "direct_batch": size,
        "by_throughput": _ratios({name: float(np.median(s)) for name, s in taken.items()}),
        "by_cpu_of_the_server": _ratios({name: float(np.median(s)) for name, s in cpu.items()}),
        "latency_one_at_a_time_s": {name: reporting.spread(s) for name, s in alone.items()},
    }


def _ratios(p50: dict[str, float]) -> dict[str, float]:
    return {
        "gain": p50["unbatched"] / p50["batched"],
        "gain_direct": p50["direct"] / p50["direct_batched"],
        "unbatched_of_direct_and_stream": (p50["direct"] + p50["bare_stream"]) / p50["unbatched"],
        "batched_of_direct_and_stream": (p50["direct_batched"] + p50["bare_stream"])
        / p50["batched"],
    }


@dataclass(frozen=True)
class Server:
    """A server, where it is, and how it is asked."""

    address: str
    method: str
    message: bytes
    child: Child


@contextmanager
def _servers(
    bundle: Bundle, bundles: Path, arguments: argparse.Namespace
) -> Iterator[dict[str, Server]]:
    feeds = random_feeds(bundle.inputs, np.random.default_rng(0))
    message = encode_request(*pack_request(bundle.name, "7", feeds, bundle.inputs))
    answer_bytes = sum(array.nbytes for array in bundle.open_tail(CLOUD).run(feeds).values())
    common = (
        "--workers", str(arguments.workers), "--preload", CLOUD, "--queue-wait", "1min",
        "--provider", arguments.provider,
    )  # fmt: skip
    batches = {
        "unbatched": ("--max-batch-size", "1"),
        "batched": (
            "--max-batch-size", str(arguments.batch), "--max-queue-delay-us", str(arguments.delay_us),
        ),
    }  # fmt: skip
    with contextlib.ExitStack() as stack:
        found = {}
        for name, flags in batches.items():
            address, process = stack.enter_context(watched(bundles, *common, *flags))
            found[name] = Server(address, METHOD, message, process)
        bare = stack.enter_context(child("benchmarks.bare_stream", (str(answer_bytes),)))
        found["bare_stream"] = Server(f"127.0.0.1:{bare.said}", BARE, message, bare)
        yield found


def _load(runner: asyncio.Runner, server: Server) -> Callable[[int, int], list[float]]:
    """Return what sends so many requests with so many in flight, and returns the seconds of each."""

    def load(in_flight: int, requests: int) -> list[float]:
        return runner.run(
            by_stream(server.address, server.method, server.message, in_flight, requests)
        )

    return load


def _direct(stage: Stage, size: int, arguments: argparse.Namespace) -> Way:
    """Return the calls of a session in batches of a size, by as many threads as there are workers."""
    feeds = random_feeds(stage.inputs, np.random.default_rng(0), size)
    runs = max(1, arguments.requests // size // arguments.workers)

    def repeat(given: dict[str, Array]) -> None:
        for _ in range(runs):
            stage.run(given)

    def call() -> None:
        with ThreadPoolExecutor(arguments.workers) as workers:
            list(workers.map(repeat, [feeds] * arguments.workers))

    return Way(call, time.process_time, runs * size * arguments.workers)


def _executed(address: str) -> tuple[int, int]:
    """Return how many rows and how many runs the graph of a server has had."""
    with connected(address) as channel:
        stub: Any = GRPCInferenceServiceStub(channel)
        (found,) = stub.ModelStatistics(ModelStatisticsRequest(name="tail")).model_stats
    return found.inference_count, found.execution_count


def _mean_batch(before: tuple[int, int], after: tuple[int, int]) -> float:
    return (after[0] - before[0]) / max(1, after[1] - before[1])


if __name__ == "__main__":
    reporting.main(
        __doc__,
        measure,
        rounds=7,
        requests=400,
        in_flight=32,
        workers=2,
        batch=8,
        delay_us=0,
        provider=DEFAULT_PROVIDER,
    )
