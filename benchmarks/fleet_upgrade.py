"""Is a frame lost, or answered by a mixture, while a fleet goes to another version of its bundle?

Twenty edges stream to one cloud at a steady rate and send telemetry. The cloud has three versions of one
bundle whose answers tell them apart: the one that the edges begin with, a good one, and one whose tail
is of another version. The good one is rolled out to 10 %, 50 % and 100 %, the cloud is killed and
started again on the way, and then the bad one is rolled out to 50 %. Every answer is held against that of the
whole model of the version that it names.
"""

import argparse
import asyncio
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import reporting
from benchmarks.serving import served
from edge_client.client.async_client import AsyncEdgeClient
from edge_client.frames.result import Result, ServedBy
from edge_client.telemetry.observer import Observer
from edge_client.telemetry.reporter import Reporter
from edge_client.updates.update_state import Phase
from partitioner.bundle.bundle import Bundle
from protos.names import EDGE
from protos.rpc.calls import translate
from protos.rpc.endpoints import Endpoint
from protos.splitpoint_pb2 import ListRolloutsRequest, Rollout, SteerRolloutRequest
from protos.splitpoint_pb2_grpc import UpdatesStub
from protos.tensors import Array
from tests.kit.sockets import free_port
from tests.kit.versions import make_version, spoil_tail

NAME, CUT = "net", "cut-02"
_PATIENCE_S = 120.0
_AFTER_S = 2.0
"""A phase goes on for so long once it has come to what it is about."""

Feeds = dict[str, Array]


@dataclass
class Tally:
    """What the frames of one phase came to."""

    served_by: Counter[str] = field(default_factory=Counter)
    mixed: int = 0
    fallbacks: Counter[str] = field(default_factory=Counter)
    latencies_s: list[float] = field(default_factory=list)
    refused: set[str] = field(default_factory=set)


class Fleet:
    """Edges that stream, and what becomes of their frames."""

    def __init__(self, versions: dict[str, Bundle], inputs: Feeds) -> None:
        self.clients: dict[str, AsyncEdgeClient] = {}
        self.tally = Tally()
        self.asked = self.answered = 0
        self.ends = False
        self.inputs = inputs
        self._wanted = {
            bundle.version_digest: bundle.open_head(EDGE).run(inputs)
            for bundle in versions.values()
        }

    async def stream(self, client: AsyncEdgeClient, observer: Observer, fps: float) -> None:
        """Infer at a steady beat until the fleet `ends`; late frames follow at once."""
        due_at = time.perf_counter()
        while not self.ends:
            self.asked += 1
            result = await client.infer(self.inputs, on_error="result")
            observer.add(result)
            self._note(result)
            due_at = max(due_at + 1 / fps, time.perf_counter() - 1.0)
            await asyncio.sleep(max(0.0, due_at - time.perf_counter()))

    def _note(self, result: Result) -> None:
        self.answered += 1
        self.tally.served_by[str(result.served_by)] += 1
        self.tally.latencies_s.append(result.latency_s)
        if result.fallback is not None:
            self.tally.fallbacks[result.fallback] += 1
        if result.served_by is ServedBy.NONE:
            return
        wanted = self._wanted[result.version_digest]
        same = (np.allclose(result.outputs[n], a, rtol=1e-3, atol=1e-3) for n, a in wanted.items())
        self.tally.mixed += not all(same)

    def running(self, bundle: Bundle) -> int:
        """Return how many edges run a version for good."""
        digest = bundle.version_digest
        return sum(
            client.bundle.version_digest == digest and client.update_state.phase is not Phase.TRIAL
            for client in self.clients.values()
        )

    @property
    def refusals(self) -> int:
        """How many edges have refused a version in this phase."""
        return len(self.tally.refused)


class Cloud:
    """A cloud in a process of its own, which may be killed and started again at its address."""

    def __init__(self, bundles: Path) -> None:
        self.address = f"127.0.0.1:{free_port()}"
        self._bundles = bundles
        self._process = ExitStack()

    def start(self) -> None:
        self._process.enter_context(served(self._bundles, listen=self.address))

    def stop(self) -> None:
        self._process.close()

    def steer(self, action: str, version: str = "", share: float = 0.0) -> None:
        """Do what `splitpoint-cloud rollout` does."""
        request = SteerRolloutRequest(name=NAME, action=action, version=version, share=share)
        self._ask("SteerRollout", request)

    def rollout(self) -> Rollout:
        """Return the roll-out as it stands."""
        return self._ask("ListRollouts", ListRolloutsRequest()).rollouts[0]

    def _ask(self, method: str, request: Any) -> Any:
        import grpc

        server = Endpoint.of(self.address)
        with server.open() as channel:
            try:
                return getattr(UpdatesStub(channel), method)(request, timeout=10.0)
            except grpc.RpcError as failure:
                raise translate(failure, server) from failure


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """Take the fleet through everything; return a row a phase."""
    with tempfile.TemporaryDirectory() as folder:
        versions = _versions(Path(folder))
        return asyncio.run(_run(Path(folder), versions, arguments))


def _versions(folder: Path) -> dict[str, Bundle]:
    root = folder / "bundles"
    first, good = make_version(root / "1", 0, NAME), make_version(root / "2", 1, NAME)
    return {
        "first": first,
        "good": good,
        "bad": spoil_tail(make_version(root / "3", 2, NAME), CUT, first),
    }


async def _run(
    folder: Path, versions: dict[str, Bundle], arguments: argparse.Namespace
) -> dict[str, Any]:
    (spec,) = versions["first"].inputs
    inputs = {spec.name: np.random.default_rng(0).standard_normal(spec.sized()).astype(spec.dtype)}
    fleet, cloud = Fleet(versions, inputs), Cloud(folder / "bundles")
    await asyncio.to_thread(cloud.start)
    rows: list[dict[str, Any]] = []
    async with AsyncExitStack() as stack:
        stack.callback(cloud.stop)
        tasks = [
            await _edge(stack, fleet, cloud, folder, f"camera-{number}", versions, arguments)
            for number in range(arguments.edges)
        ]
        for name, begin, done in _phases(fleet, cloud, versions, arguments.edges):
            rows.append(await _phase(fleet, name, begin, done, versions, tasks))
        fleet.ends = True
        await asyncio.gather(*tasks)
    return {"phases": rows, "frames": fleet.asked, "answered": fleet.answered}


async def _edge(
    stack: AsyncExitStack,
    fleet: Fleet,
    cloud: Cloud,
    folder: Path,
    name: str,
    versions: dict[str, Bundle],
    arguments: argparse.Namespace,
) -> "asyncio.Task[None]":
    """Start an edge and its telemetry; return its stream."""
    shutil.copytree(versions["first"].path, folder / name)
    made = AsyncEdgeClient(
        cloud.address, folder / name, CUT,
        updates="auto", update_trial=arguments.trial, edge_name=name, timeout_s=2.0,
    )  # fmt: skip
    client = await stack.enter_async_context(made)
    fleet.clients[name] = client
    client.on_update.add(
        lambda state: fleet.tally.refused.add(name) if state.phase is Phase.REFUSED else None
    )
    observer = Observer(client, name)
    reporter = Reporter(client, observer, 2.0, lambda _record: None, _unheard)
    reporting = asyncio.create_task(reporter.run())
    stack.callback(reporting.cancel)
    return asyncio.create_task(fleet.stream(client, observer, arguments.fps))


async def _unheard(_state: object) -> None:
    """Do nothing with a change of health."""


Phase_ = tuple[str, Callable[[], None], Callable[[], bool]]


def _phases(
    fleet: Fleet, cloud: Cloud, versions: dict[str, Bundle], edges: int
) -> Iterator[Phase_]:
    good, bad = versions["good"], versions["bad"]
    yield "first version", lambda: None, lambda: fleet.tally.served_by["cloud"] >= 5 * edges
    yield (
        "good one to 10 %",
        lambda: cloud.steer("start", good.version_digest, 0.1),
        lambda: fleet.running(good) >= 1,
    )
    yield (
        "to 50 %",
        lambda: cloud.steer("share", share=0.5),
        lambda: fleet.running(good) >= edges / 4,
    )
    yield "cloud killed", cloud.stop, lambda: fleet.tally.served_by["edge"] >= 5 * edges
    yield "cloud back", cloud.start, lambda: fleet.tally.served_by["cloud"] >= 5 * edges
    yield (
        "to 100 %",
        lambda: cloud.steer("share", share=1.0),
        lambda: fleet.running(good) == edges,
    )
    yield (
        "bad one to 50 %",
        lambda: cloud.steer("start", bad.version_digest, 0.5),
        lambda: cloud.rollout().state == "back",
    )


async def _phase(
    fleet: Fleet,
    name: str,
    begin: Callable[[], None],
    done: Callable[[], bool],
    versions: dict[str, Bundle],
    tasks: list["asyncio.Task[None]"],
) -> dict[str, Any]:
    fleet.tally = Tally()
    begun_at = time.perf_counter()
    await asyncio.to_thread(begin)
    while not await asyncio.to_thread(done):
        if time.perf_counter() - begun_at > _PATIENCE_S:
            raise TimeoutError(f"{name} has not come to an end in {_PATIENCE_S:g} s.")
        for task in tasks:
            if task.done():
                task.result()
        await asyncio.sleep(0.1)
    took_s = time.perf_counter() - begun_at
    await asyncio.sleep(_AFTER_S)
    tally = fleet.tally
    return {
        "phase": name,
        "seconds": round(took_s, 2),
        "frames": len(tally.latencies_s),
        **{place: tally.served_by[place] for place in ("cloud", "edge", "none")},
        "mixed": tally.mixed,
        "fallbacks": dict(tally.fallbacks),
        "p50_ms": round(1000 * float(np.median(tally.latencies_s)), 1),
        "p99_ms": round(1000 * float(np.percentile(tally.latencies_s, 99)), 1),
        "running": {label: fleet.running(bundle) for label, bundle in versions.items()},
        "refused": fleet.refusals,
    }


if __name__ == "__main__":
    reporting.main(
        "Is a frame lost, or answered by a mixture, while a fleet goes to another version?",
        measure,
        edges=20,
        fps=5.0,
        trial=25,
    )
