"""What becomes of frames when the cloud dies, hangs, lies, refuses, or the link goes away?

A stream of frames with a deadline runs on while each kind of failure is brought about, ended, and watched
until the cloud serves frames again. Frames in = results out, in order, none twice; every result within its
deadline + 10 %; recovery within 2 s of the failure's end.

A relay cannot lose TCP's packets. Loss of 30 % is played as what it makes of a link: the rate that TCP
reaches by the formula of Mathis et al. (CCR 1997), MSS / RTT · 1.22 / sqrt(loss), and stalls of 200 ms, TCP's
least retransmission time-out, at 30 % of the moments that are 100 ms apart.
"""

import argparse
import asyncio
import json
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import grpc
import numpy as np

from benchmarks import reporting
from edge_client.client.async_client import AsyncEdgeClient
from edge_client.frames.result import Result, ServedBy
from edge_client.relay.relay import Relay
from partitioner.bundle.bundle import Bundle
from partitioner.common.memory import keep_freed_pages
from partitioner.network.link import Link
from partitioner.runtime.sessions import random_feeds
from protos.names import EDGE
from protos.tensors import Array
from tests.kit.fake_cloud import FakeCloud, error_answer

DIGITS = Path(__file__).parent.parent / "examples" / "digits"
LINK = Link(20e6, 20e6, 0.02)
GIVE_UP_S = 30.0
LOSS = 0.3
LOSSY = Link(8 * 1448 / 0.02 * 1.22 / LOSS**0.5, 20e6, 0.02)


class Server:
    """A real server in a process of its own, always at the same address."""

    def __init__(self, bundles: Path) -> None:
        self._bundles = bundles
        self._process: subprocess.Popen[str] | None = None
        self.address = ""

    def start(self) -> None:
        """Start it and wait until it listens."""
        code = "from cloud_server.cli.main import main; main()"
        flags = ["--bundles", str(self._bundles), "--listen", self.address or "127.0.0.1:0"]
        command = [sys.executable, "-c", code, "serve", *flags, "--json", "--log-level", "error"]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.address = json.loads(self._process.stdout.readline())["address"]  # type: ignore[union-attr]

    @property
    def pid(self) -> int:
        """The process, once it has been started."""
        if self._process is None:
            raise RuntimeError("the server has not been started")
        return self._process.pid

    def signal(self, number: int) -> None:
        """Send it a signal."""
        if self._process is not None:
            self._process.send_signal(number)

    def kill(self) -> None:
        """End it at once, as kill -9 does."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()


class Scene:
    """What a failure may touch."""

    def __init__(self, server: Server, relay: Relay, mangle: "Mangle", fake: FakeCloud) -> None:
        self.server, self.relay, self.mangle, self.fake = server, relay, mangle, fake
        self.random = random.Random(0)


class Mangle:
    """Loses every byte, or flips a bit in some chunks, while told to."""

    def __init__(self) -> None:
        self.swallows = False
        self.flips = 0.0
        self._random = random.Random(1)

    def __call__(self, data: bytes) -> bytes:
        if self.swallows:
            return b""
        if self._random.random() >= self.flips:
            return data
        changed = bytearray(data)
        changed[self._random.randrange(len(changed))] ^= 1 << self._random.randrange(8)
        return bytes(changed)


Failure = Callable[[Scene], Awaitable[None]]


async def kill_and_restart(scene: Scene) -> None:
    """Kill -9, and half a second later start it again; over when it listens."""
    scene.server.kill()
    await asyncio.sleep(0.5)
    await asyncio.to_thread(scene.server.start)


async def black_hole(scene: Scene) -> None:
    """Bytes of all connections vanish for a second, without a reset; those connections are lost."""
    scene.mangle.swallows = True
    await asyncio.sleep(1.0)
    scene.mangle.swallows = False


async def loss(scene: Scene) -> None:
    """Three seconds of a link that loses 30 %; see above."""
    scene.relay.set_link(LOSSY)
    for _ in range(30):
        if scene.random.random() < LOSS:
            scene.relay.set_link(None)
            await asyncio.sleep(0.2)
            scene.relay.set_link(LOSSY)
        await asyncio.sleep(0.1)
    scene.relay.set_link(LINK)


async def black_out(scene: Scene) -> None:
    """Nothing gets through for five seconds."""
    scene.relay.set_link(None)
    await asyncio.sleep(5.0)
    scene.relay.set_link(LINK)


async def slow_server(scene: Scene) -> None:
    """The server gets a tenth of the time for two seconds, in slices of 200 ms."""
    for _ in range(10):
        scene.server.signal(signal.SIGSTOP)
        await asyncio.sleep(0.18)
        scene.server.signal(signal.SIGCONT)
        await asyncio.sleep(0.02)


async def flipped_bytes(scene: Scene) -> None:
    """A bit in each twentieth chunk is flipped for a second."""
    scene.mangle.flips = 0.05
    await asyncio.sleep(1.0)
    scene.mangle.flips = 0.0


async def refusing_server(scene: Scene) -> None:
    """The server says that it is overloaded for a second."""

    async def refuse(header: Any, _raw: Any) -> bytes:
        return error_answer(header, grpc.StatusCode.RESOURCE_EXHAUSTED, "too much to do.")

    scene.fake.answer = refuse
    await asyncio.sleep(1.0)
    scene.fake.answer = scene.fake.infer


FAILURES: dict[str, Failure] = {
    "kill -9 and restart": kill_and_restart,
    "black hole": black_hole,
    "loss of 30 %": loss,
    "black-out of 5 s": black_out,
    "slow server": slow_server,
    "flipped bytes": flipped_bytes,
    "refusing server": refusing_server,
}


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """Bring about every failure `rounds` times."""
    keep_freed_pages()
    bundle = Bundle.load(DIGITS / "bundle")
    wanted = arguments.only.split(",") if arguments.only else list(FAILURES)
    found = {name: asyncio.run(_bring_about(name, bundle, arguments)) for name in wanted}
    return {"failures": found, "holds": all(entry["holds"] for entry in found.values())}


async def _bring_about(name: str, bundle: Bundle, arguments: argparse.Namespace) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    frames = [random_feeds(bundle.inputs, rng) for _ in range(16)]
    oracle = [bundle.open_head(EDGE).run(frame) for frame in frames]
    cut = arguments.cut or bundle.manifest.cuts[len(bundle.manifest.cuts) // 2].id
    watch = _Watch(frames, oracle, arguments.deadline, 1 / arguments.fps)
    async with (
        _scene(bundle, refusing=name == "refusing server") as scene,
        AsyncEdgeClient(scene.relay.address, bundle, cut, deadline_s=arguments.deadline) as client,
    ):
        streaming = asyncio.create_task(watch.stream(client))
        await watch.served()
        recoveries = []
        for _ in range(arguments.rounds):
            await FAILURES[name](scene)
            ended = time.perf_counter()
            recoveries.append(await watch.served() - ended)
            await asyncio.sleep(0.3)
        watch.ended = True
        await streaming
    return watch.verdict(recoveries, dict(client.fallbacks))


@asynccontextmanager
async def _scene(bundle: Bundle, *, refusing: bool) -> AsyncIterator[Scene]:
    server, fake, mangle = Server(bundle.path), FakeCloud(bundle), Mangle()
    async with fake:
        if not refusing:
            server.start()
        to = fake.address if refusing else server.address
        try:
            async with Relay("127.0.0.1:0", to, LINK, mangle=mangle) as relay:
                yield Scene(server, relay, mangle, fake)
        finally:
            with suppress(ProcessLookupError):
                server.kill()


class _Watch:
    """Sends frames at a steady beat and holds every result against what was promised."""

    def __init__(
        self,
        frames: list[dict[str, Array]],
        oracle: list[dict[str, Array]],
        deadline_s: float,
        period_s: float,
    ) -> None:
        self.ended = False
        self._frames, self._oracle = frames, oracle
        self._deadline_s, self._period_s = deadline_s, period_s
        self._sent = 0
        self._numbers: list[int] = []
        self._latencies: list[float] = []
        self._served: Counter[str] = Counter()
        self._wrong = 0
        self._cloud = asyncio.Event()
        self.stuck: list[str] = []
        """What results said whenever no recovery was seen."""
        self._said = ""

    async def served(self) -> float:
        """Wait for a frame that the cloud serves from now on; return when that was, or after 30 s."""
        self._cloud.clear()
        try:
            await asyncio.wait_for(self._cloud.wait(), GIVE_UP_S)
        except TimeoutError:
            self.stuck.append(self._said)
        return time.perf_counter()

    async def stream(self, client: AsyncEdgeClient) -> None:
        """Stream until told to end."""
        async for result in client.stream(self._source(), on_error="result"):
            self._note(result)

    async def _source(self) -> AsyncIterator[dict[str, Array]]:
        begun = time.perf_counter()
        while not self.ended:
            self._sent += 1
            yield self._frames[(self._sent - 1) % len(self._frames)]
            due = begun + self._sent * self._period_s
            await asyncio.sleep(max(0.0, due - time.perf_counter()))

    def _note(self, result: Result) -> None:
        self._numbers.append(result.frame)
        self._latencies.append(result.latency_s)
        self._served[str(result.served_by)] += 1
        self._said = result.reason
        wanted = self._oracle[result.frame % len(self._oracle)]
        if result.served_by is not ServedBy.NONE and not all(
            np.allclose(result.outputs[name], wanted[name], rtol=1e-3, atol=1e-3) for name in wanted
        ):
            self._wrong += 1
        if result.served_by is ServedBy.CLOUD:
            self._cloud.set()

    def verdict(self, recoveries: list[float], fallbacks: dict[str, int]) -> dict[str, Any]:
        """Return the counts and whether all that was promised holds."""
        late = sum(latency > 1.1 * self._deadline_s for latency in self._latencies)
        in_order = self._numbers == list(range(self._sent))
        return {
            "frames_in": self._sent,
            "results_out": len(self._numbers),
            "in_order_none_twice": in_order,
            "later_than_deadline_and_10_percent": late,
            "latest_s": max(self._latencies),
            "wrong_answers": self._wrong,
            "served_by": dict(self._served),
            "fallbacks": fallbacks,
            "stuck": self.stuck,
            "recovery_s": {"max": max(recoveries), **reporting.spread(recoveries)},
            "holds": in_order and not late and not self._wrong and max(recoveries) <= 2.0,
        }


if __name__ == "__main__":
    reporting.main(__doc__, measure, rounds=100, fps=20.0, deadline=0.25, cut="", only="")
