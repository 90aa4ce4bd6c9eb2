"""What does a request take behind our server, behind Triton and behind Ray Serve, with the same tail?

All engines are there at once and take turns, each with the same bytes by the same client, each request
computed alone and by as many workers. An engine whose interpreter is not given, or cannot run it, is left
out, and said to be. `engine_costs.json`, beside the results, is what `splitpoint simulate fleet --engines`
reads: the CPU seconds of requests, without what the engine takes while nobody asks.
"""

import argparse
import asyncio
import json
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc.aio
import numpy as np

from benchmarks import engine_servers, reporting
from benchmarks.architectures import pass_through
from benchmarks.closed_loops import by_stream, event_loop
from benchmarks.convolutions import lasting
from benchmarks.engine_servers import EngineServer
from benchmarks.processes import compute_s, message_of
from benchmarks.serving import alternate, make_bundle
from edge_client.cloud.stream import METHOD as STREAM
from partitioner.bundle.bundle import Bundle
from partitioner.common.memory import keep_freed_pages
from protos.rpc.channels import channel_options
from protos.rpc.message_limits import DEFAULT_MAX_MESSAGE_BYTES

UNARY = "/inference.GRPCInferenceService/ModelInfer"
SMALL_S, MIDDLE_S = 0.00115, 0.005
COSTS = reporting.RESULTS / "engine_costs.json"
_WARM_UP = 60
_IDLE_S = 4.0
_CALLED = {"ours": "splitpoint", "triton": "triton", "ray": "ray-serve"}
"""As `splitpoint simulate fleet --engine` calls them."""


@dataclass(frozen=True)
class Case:
    """One model, and one request for it."""

    bundle: Bundle
    message: bytes
    tail_s: float
    """CPU seconds of its session, called directly."""


@dataclass(frozen=True)
class Run:
    """What each request of one run took: on the clock, and of the CPU time of all of the engine."""

    wall_s: float
    cpu_s: float


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """Measure each model behind each engine, in turns."""
    keep_freed_pages()
    with tempfile.TemporaryDirectory() as name, event_loop() as runner:
        folder = Path(name)
        cases = _cases(folder)
        with _engines(folder, arguments) as (engines, left_out):
            found = {
                "left_out": left_out,
                "memory_before": {name: one.memory() for name, one in engines.items()},
                "idle_cpu_share": {name: idle_share(one) for name, one in engines.items()},
                "models": {
                    key: _compare(case, engines, runner, arguments) for key, case in cases.items()
                },
                "memory": {name: one.memory() for name, one in engines.items()},
            }
    _write_costs(found, cases)
    return found


def _cases(folder: Path) -> dict[str, Case]:
    (folder / "bundles").mkdir()
    graphs = {
        "tail_of_1.15_ms": lasting(SMALL_S, folder),
        "tail_of_5_ms": lasting(MIDDLE_S, folder),
        "identity_200_kB": pass_through(50_000),
        "identity_800_kB": pass_through(200_000),
    }
    cases = {}
    for at, (key, graph) in enumerate(graphs.items()):
        bundle = make_bundle(graph, folder / "bundles", f"graph{at}")
        cases[key] = Case(bundle, message_of(bundle), compute_s(bundle))
    return cases


@contextmanager
def _engines(
    folder: Path, arguments: argparse.Namespace
) -> Iterator[tuple[dict[str, EngineServer], dict[str, str]]]:
    """Start the engines that there are; give them, and why the others are left out."""
    bundles, workers = folder / "bundles", arguments.workers
    found: dict[str, EngineServer] = {}
    left_out: dict[str, str] = {}
    with ExitStack() as stack:
        found["ours"] = stack.enter_context(engine_servers.ours(bundles, workers))
        starts: dict[str, tuple[str, Callable[[str], Any]]] = {
            "triton": (
                arguments.triton_python,
                lambda python: engine_servers.triton(python, bundles, workers, folder),
            ),
            "ray": (
                arguments.ray_python,
                lambda python: engine_servers.ray(python, bundles, workers),
            ),
        }
        for name, (python, start) in starts.items():
            if not python:
                left_out[name] = f"no --{name}-python was given"
                continue
            try:
                found[name] = stack.enter_context(start(python))
            except (OSError, ValueError, engine_servers.subprocess.CalledProcessError) as error:
                left_out[name] = str(error)
        for name, why in left_out.items():
            print(f"{name} is left out: {why}", flush=True)
        yield found, left_out


def _compare(
    case: Case,
    engines: dict[str, EngineServer],
    runner: asyncio.Runner,
    arguments: argparse.Namespace,
) -> dict[str, Any]:
    ways: dict[str, tuple[EngineServer, Callable[[int, int], Any]]] = {}
    for name, engine in engines.items():
        ways[name] = engine, lambda *n, to=engine.address: by_call(to, case.message, *n)
        if name == "ours":
            ways["ours, one stream"] = (
                engine,
                lambda *n, to=engine.address: by_stream(to, STREAM, case.message, *n),
            )
    for _, ask in ways.values():
        runner.run(ask(arguments.in_flight, _WARM_UP))
    alone = alternate(
        {name: lambda way=way: ask_alone(way, runner, arguments) for name, way in ways.items()},  # type: ignore[misc]
        arguments.rounds,
    )
    runs = alternate(
        {name: lambda way=way: ask_together(way, runner, arguments) for name, way in ways.items()},  # type: ignore[misc]
        arguments.rounds,
    )
    return {
        "tail_cpu_s": case.tail_s,
        "request_bytes": len(case.message),
        "answer_bytes": len(runner.run(_answer(engines["ours"].address, case.message))),
        "ways": {name: _parts(alone[name], found) for name, found in runs.items()},
    }


def _parts(alone: list[Any], runs: list[Any]) -> dict[str, Any]:
    return {
        "latency_one_at_a_time_s": reporting.spread([one for part in alone for one in part]),
        "requests_per_s": 1 / float(np.median([run.wall_s for run in runs])),
        "cpu_s": reporting.spread([run.cpu_s for run in runs]),
        "wall_s": float(np.median([run.wall_s for run in runs])),
    }


def ask_alone(way: Any, runner: asyncio.Runner, arguments: argparse.Namespace) -> Any:
    """Ask one at a time; return the seconds of each request. `way`: an engine, and how it is asked."""
    return runner.run(way[1](1, arguments.requests // 4))


def ask_together(way: Any, runner: asyncio.Runner, arguments: argparse.Namespace) -> Any:
    """Ask with several in flight; return what a request took."""
    engine, ask = way
    cpu_s, begun_at = engine.cpu_s(), time.perf_counter()
    runner.run(ask(arguments.in_flight, arguments.requests))
    wall_s = time.perf_counter() - begun_at
    return Run(wall_s / arguments.requests, (engine.cpu_s() - cpu_s) / arguments.requests)


def idle_share(engine: EngineServer) -> float:
    """Return the CPU seconds a second that an engine takes while nobody asks."""
    cpu_s, begun_at = engine.cpu_s(), time.perf_counter()
    time.sleep(_IDLE_S)
    return (engine.cpu_s() - cpu_s) / (time.perf_counter() - begun_at)


async def by_call(address: str, message: bytes, in_flight: int, requests: int) -> list[float]:
    """Make `requests` calls of one request each, `in_flight` at a time; return the seconds of each."""
    options = channel_options(DEFAULT_MAX_MESSAGE_BYTES)
    took_s: list[float] = []
    left = requests
    async with grpc.aio.insecure_channel(address, options=options) as channel:
        ask: Any = channel.unary_unary(UNARY)

        async def follow() -> None:
            nonlocal left
            while left > 0:
                left -= 1
                begun_at = time.perf_counter()
                await ask(message)
                took_s.append(time.perf_counter() - begun_at)

        await asyncio.gather(*(follow() for _ in range(in_flight)))
    return took_s


async def _answer(address: str, message: bytes) -> bytes:
    options = channel_options(DEFAULT_MAX_MESSAGE_BYTES)
    async with grpc.aio.insecure_channel(address, options=options) as channel:
        ask: Any = channel.unary_unary(UNARY)
        answer: bytes = await ask(message)
        return answer


def _write_costs(found: dict[str, Any], cases: dict[str, Case]) -> None:
    rows = []
    for key, case in cases.items():
        model = found["models"][key]
        for name, called in _CALLED.items():
            if (way := model["ways"].get(name)) is None:
                continue
            idle_s = found["idle_cpu_share"][name] * way["wall_s"]
            memory = found["memory_before"][name]
            row = {
                "engine": called,
                "tail_s": case.tail_s,
                "request_bytes": model["request_bytes"],
                "answer_bytes": model["answer_bytes"],
                "request_cpu_s": max(way["cpu_s"]["p50"] - idle_s, 1e-9),
                "process_bytes": memory["proportional_bytes"],
            }
            rows.append(row)
    COSTS.parent.mkdir(exist_ok=True)
    COSTS.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    reporting.main(
        __doc__,
        measure,
        rounds=5,
        requests=240,
        in_flight=16,
        workers=2,
        triton_python="",
        ray_python="",
    )
