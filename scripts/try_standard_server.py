"""Run the edge against a standard server of the Open Inference Protocol, and say what came of it.

Triton as the package nvidia-pytriton has it (with the Python backend alone), or MLServer; each in an
environment of its own, since both are too large to be dependencies of the tests:

python -m venv engine && engine/bin/pip install nvidia-pytriton onnxruntime     # or: mlserver onnxruntime
python scripts/try_standard_server.py triton BUNDLE --python engine/bin/python
python scripts/try_standard_server.py mlserver BUNDLE --python engine/bin/python

The bundle's tails are exported, and the server is started on them, on ports of this machine. Then: what it
serves is found out; every model answers what our own codec and tail give here; frames stream; the cut follows
the link; and the server is killed, started without the models, and started again, with no frame lost.
"""

import argparse
import asyncio
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import numpy as np

from edge_client.client.async_client import AsyncEdgeClient
from edge_client.frames.result import Result, ServedBy
from edge_client.relay.relay import Relay
from partitioner.bundle.bundle import Bundle
from partitioner.exports.triton_repository import TritonExport, TritonOptions, export_triton
from partitioner.network.link import Link
from partitioner.profiles.profiler import measure_profile
from partitioner.profiles.store import EDGE_PROFILE, keep_profile, kept_profile
from partitioner.runtime.sessions import random_feeds
from protos.codecs.registry import RAW, get_codec
from protos.names import EDGE
from protos.tensors import Array

HERE = Path(__file__).resolve().parent
READY_S = 120.0
FAST, SLOW = Link(200e6, 200e6, 0.002), Link(400e3, 400e3, 0.1)
_TOLERANCE, _COMPARED = 1e-4, 10
"""Rows that are computed together may differ by rounding; every tenth frame of a stream is compared."""
_SETTLED = 5
"""Frames in a row that go one way."""
WHOLE_S, SLOWEST = 0.6, 100.0
"""The device is played so slow that the whole model takes so long on it, or so many times as slow."""


class Checks:
    """Says what was seen, and remembers whether all was as it should be."""

    def __init__(self) -> None:
        self.failed = 0

    def note(self, holds: bool, what: str) -> None:
        """Print one line."""
        self.failed += not holds
        print(f"{'ok ' if holds else 'NOT'} {what}", flush=True)


def free_port() -> int:
    """Return a port that is free now."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


class Engine:
    """A server in a process of its own. `python` has its package."""

    def __init__(self, python: Path, folder: Path) -> None:
        self.python, self.folder, self.port = python, folder, free_port()
        self.address = f"127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None

    def command(self, models: Path) -> tuple[list[str], dict[str, str]]:
        """Return the command that serves a folder of models, and what it needs of the environment."""
        raise NotImplementedError

    def start(self, models: Path) -> None:
        """Start it, and wait until it is ready."""
        words, environment = self.command(models)
        with (self.folder / "engine.log").open("ab") as log:
            self._process = subprocess.Popen(
                words, env={**os.environ, **environment}, stdout=log, stderr=log, cwd=self.folder
            )
        begun = time.monotonic()
        ready = "/inference.GRPCInferenceService/ServerReady"
        while time.monotonic() - begun < READY_S:
            if self._process.poll() is not None:
                break
            with grpc.insecure_channel(self.address) as channel:
                try:
                    if channel.unary_unary(ready)(b"", timeout=2) == b"\x08\x01":
                        return
                except grpc.RpcError:
                    pass
            time.sleep(0.3)
        raise SystemExit(
            f"the server does not get ready:\n{(self.folder / 'engine.log').read_text()[-3000:]}"
        )

    def kill(self) -> None:
        """End it as a power cut would."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process = None


class Triton(Engine):
    """The tritonserver of nvidia-pytriton, with its Python backend."""

    def export(self, bundle: Bundle, out: Path, cuts: tuple[str, ...]) -> TritonExport:
        """Write what it serves."""
        return export_triton(bundle, out, TritonOptions(cuts, backend="python"))

    def command(self, models: Path) -> tuple[list[str], dict[str, str]]:
        """Return the command; the backend is put together as pytriton does it."""
        ask = "import pytriton, sys; print(pytriton.__path__[0], sys.version_info[:2])"
        said = subprocess.run([self.python, "-c", ask], capture_output=True, text=True, check=True)
        path, _, version = said.stdout.strip().partition(" ")
        home, number = Path(path) / "tritonserver", version.strip("()").replace(", ", ".")
        backends = self.folder / "backends"
        if not backends.exists():
            shutil.copytree(home / "backends" / "python", backends / "python")
            stub = home / "python_backend_stubs" / number / "triton_python_backend_stub"
            shutil.copy(stub, backends / "python")
        site = Path(path).parent
        return [
            str(home / "bin" / "tritonserver"),
            f"--model-repository={models}",
            f"--backend-directory={backends}",
            "--grpc-address=127.0.0.1",
            f"--grpc-port={self.port}",
            "--allow-http=false",
            "--allow-metrics=false",
        ], {
            "LD_LIBRARY_PATH": str(site / "nvidia_pytriton.libs"),
            "PATH": f"{self.python.parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(site),
        }


class MlServer(Engine):
    """MLServer, with a runtime of a few lines."""

    def export(self, bundle: Bundle, out: Path, cuts: tuple[str, ...]) -> TritonExport:
        """Write what it serves: tails that decode by themselves, each with MLServer's own settings."""
        made = export_triton(bundle, out, TritonOptions(cuts, ensembles=False))
        for model in made.models:
            tensors = {
                role: [
                    {"name": s.name, "datatype": s.oip_datatype, "shape": s.oip_shape}
                    for s in specs
                ]
                for role, specs in (("inputs", model.inputs), ("outputs", model.outputs))
            }
            graph = next((out / model.name).glob("*/model.onnx")).resolve()
            document = {
                "name": model.name,
                "implementation": "mlserver_runtime.OnnxTail",
                "parameters": {"uri": str(graph), "version": "1"},
                **tensors,
            }
            (out / model.name / "model-settings.json").write_text(json.dumps(document, indent=1))
        return made

    def command(self, models: Path) -> tuple[list[str], dict[str, str]]:
        """Return the command; its settings lie beside the models."""
        settings = {
            "host": "127.0.0.1",
            "grpc_port": self.port,
            "http_port": free_port(),
            "metrics_port": free_port(),
            "parallel_workers": 0,
        }
        (models / "settings.json").write_text(json.dumps(settings))
        return [str(self.python.parent / "mlserver"), "start", str(models)], {
            "PYTHONPATH": str(HERE)
        }


ENGINES = {"triton": Triton, "mlserver": MlServer}


def by_our_codec(
    bundle: Bundle, cut: str, codec: str, inputs: dict[str, Array]
) -> dict[str, Array]:
    """Head, our own codec there and back, and tail, all of them here."""
    values = bundle.open_head(cut).run(inputs) if bundle.cut(cut).head_graph else inputs
    by, decoded = get_codec(codec, bundle.ranges), {}
    for spec in bundle.cut(cut).frontier:
        array, one = values[spec.name], by if by.accepts(spec) else RAW
        data = one.encode(array, spec.name)
        decoded[spec.name] = one.decode(data, spec.dtype, array.shape, spec.name)
    return bundle.open_tail(cut).run(decoded)


async def compare(checks: Checks, address: str, bundle: Bundle, made: TritonExport) -> None:
    """Have every model answer, and hold that against what is computed here."""
    equal, largest = 0, 0.0
    for model in made.models:
        inputs = random_feeds(bundle.inputs, np.random.default_rng(7))
        async with AsyncEdgeClient(address, bundle, model.cut, codec=model.codec) as client:
            result = await client.infer(inputs)
        if result.served_by is not ServedBy.CLOUD:
            checks.note(False, f"{model.name}: {result.served_by}, {result.reason}")
            continue
        wanted = by_our_codec(bundle, model.cut, model.codec, inputs)
        largest = max(largest, difference(result.outputs, wanted))
        equal += 1
    checks.note(
        equal == len(made.models) and largest < _TOLERANCE,
        f"{equal} of {len(made.models)} models answer what our codec and tail give here; largest "
        f"difference {largest:.1e} of the largest output",
    )


def endless(bundle: Bundle) -> Iterator[dict[str, Array]]:
    """Yield frames, all different."""
    seed = 0
    while True:
        yield random_feeds(bundle.inputs, np.random.default_rng(seed))
        seed += 1


async def paced(bundle: Bundle, fps: float, seconds: float) -> AsyncIterator[dict[str, Array]]:
    """Yield frames at a rate for some time."""
    begun, frames = time.monotonic(), endless(bundle)
    for number in range(int(fps * seconds)):
        await asyncio.sleep(max(0.0, begun + number / fps - time.monotonic()))
        yield next(frames)


async def stream(checks: Checks, address: str, bundle: Bundle, cut: str, count: int) -> None:
    """Stream frames at one cut, as fast as they are answered: several are computed together then."""
    source = endless(bundle)
    frames = [next(source) for _ in range(count)]
    results: list[Result] = []
    async with AsyncEdgeClient(address, bundle, cut, codec="int8", window=4, hedge="off") as client:
        begun = time.monotonic()
        async for result in client.stream(frames):
            results.append(result)
        fps = count / (time.monotonic() - begun)
    served = Counter(str(result.served_by) for result in results)
    largest = max(
        difference(result.outputs, by_our_codec(bundle, cut, "int8", inputs))
        for result, inputs in list(zip(results, frames, strict=True))[::_COMPARED]
    )
    median_ms = 1e3 * statistics.median(result.latency_s for result in results)
    checks.note(
        served == {"cloud": count} and largest < _TOLERANCE,
        f"{count} frames at {cut}/int8: {dict(served)}, median {median_ms:.1f} ms, {fps:.0f} a second, "
        f"largest difference {largest:.1e}",
    )


def difference(found: Mapping[str, Array], wanted: Mapping[str, Array]) -> float:
    """Return the largest difference of outputs, as a share of the largest number of each."""
    return max(
        float(np.max(np.abs(found[name] - array))) / max(1e-6, float(np.max(np.abs(array))))
        for name, array in wanted.items()
    )


async def follow_link(checks: Checks, address: str, bundle: Bundle, slow: float) -> None:
    """Let the cut follow a link that gets slow and fast again."""
    async with Relay("127.0.0.1:0", address, FAST) as relay:
        arguments = {"cut": "auto", "codec": "int8", "slow": slow, "window": 1, "hedge": "off"}
        async with AsyncEdgeClient(relay.address, bundle, **arguments) as client:
            used: list[str] = []
            for link, away in ((FAST, False), (SLOW, True), (FAST, False)):
                relay.set_link(link)
                latest: deque[str] = deque(maxlen=_SETTLED)
                async for result in client.stream(paced(bundle, 1.0, 60.0)):
                    latest.append(_label(result))
                    if len(latest) == _SETTLED and all((each == EDGE) is away for each in latest):
                        break
                used.append(latest[-1])
            failed = client.fallbacks
    checks.note(
        used[1] == EDGE and EDGE not in (used[0], used[2]),
        f"int8 at auto on {FAST}, then {SLOW}, then as before: {', '.join(used)}; fallbacks "
        f"{dict(failed)}",
    )


def _label(result: Result) -> str:
    return result.cut if result.cut == EDGE else f"{result.cut}/{result.codec}"


async def survive(
    checks: Checks, engine: Engine, bundle: Bundle, cut: str, models: Path, empty: Path
) -> None:
    """Kill the server under a stream, start one without the models, and then the right one."""
    results: list[Result] = []
    said = ""

    async def disturb(client: AsyncEdgeClient) -> None:
        nonlocal said
        await asyncio.sleep(3)
        engine.kill()
        await asyncio.sleep(2)
        await asyncio.to_thread(engine.start, empty)
        for _ in range(300):
            said = str(client.trouble or "")
            if "serves no model" in said:
                break
            await asyncio.sleep(0.1)
        engine.kill()
        await asyncio.to_thread(engine.start, models)

    async with AsyncEdgeClient(engine.address, bundle, cut) as client:
        disturbing = asyncio.create_task(disturb(client))
        back_at = float("inf")
        async for result in client.stream(paced(bundle, 10.0, 180.0)):
            results.append(result)
            if disturbing.done() and result.served_by is ServedBy.CLOUD:
                back_at = min(back_at, time.monotonic())
            if time.monotonic() - back_at > 2:
                break
        await disturbing
    served = Counter(str(result.served_by) for result in results)
    lost = sum(result.served_by is ServedBy.NONE for result in results)
    reasons = Counter(str(result.reason).partition(":")[0] for result in results)
    checks.note(
        lost == 0 and served["edge"] > 0 and results[-1].served_by is ServedBy.CLOUD,
        f"killed, and started again twice: {len(results)} frames, {lost} lost, {dict(served)}; "
        f"{dict(reasons)}",
    )
    checks.note("serves no model" in said, f"without its models the edge says: {said}")


async def run(checks: Checks, engine: Engine, bundle: Bundle, made: TritonExport) -> None:
    """Try everything."""
    inner = [model.cut for model in made.models if model.cut != "cloud"]
    async with AsyncEdgeClient(engine.address, bundle, inner[0], strict=True) as client:
        plain = client.server.plain if client.server else None
    wanted = {f"{model.cut}/{model.codec}" for model in made.models}
    if plain is not None:
        known = sorted(plain.labels)
        whole = plain.labels == wanted or not plain.tells_digest
        checks.note(whole, f"{plain.name}: {len(known)} of {len(wanted)} models are used; its digest is "
                    f"{'told' if plain.tells_digest else 'not told'}; left alone: {plain.wrong}")  # fmt: skip
        used = tuple(m for m in made.models if f"{m.cut}/{m.codec}" in plain.labels)
        await compare(checks, engine.address, bundle, TritonExport(made.path, used))
    else:
        checks.note(False, "the server is not seen as a standard one")
    await stream(checks, engine.address, bundle, inner[-1], 200)
    profile = kept_profile(bundle, EDGE_PROFILE)
    if profile is None:
        profile = keep_profile(bundle, EDGE_PROFILE, measure_profile(bundle, budget_s=10.0))
    head = profile.cuts[EDGE].head
    slow = min(SLOWEST, max(1.0, WHOLE_S / head.seconds)) if head else 1.0
    await follow_link(checks, engine.address, bundle, slow)
    empty = engine.folder / "empty"
    empty.mkdir()
    await survive(checks, engine, bundle, inner[-1], made.path, empty)


@contextmanager
def working_folder() -> Iterator[Path]:
    """Give a folder that goes away again."""
    with tempfile.TemporaryDirectory(prefix="splitpoint-") as name:
        yield Path(name)


def main() -> None:
    """Command line entry."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("engine", choices=ENGINES)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--python", type=Path, required=True, help="of the engine's environment")
    parser.add_argument("--cuts", help="default: cloud and two within", default="")
    given: Any = parser.parse_args()
    bundle = Bundle.load(given.bundle)
    inner = [cut.id for cut in bundle.manifest.cuts]
    chosen = (
        tuple(given.cuts.split(",")) if given.cuts else ("cloud", inner[len(inner) // 3], inner[-1])
    )
    checks = Checks()
    with working_folder() as folder:
        engine: Any = ENGINES[given.engine](given.python.absolute(), folder)
        made = engine.export(bundle, folder / "models", chosen)
        try:
            engine.start(made.path)
            asyncio.run(run(checks, engine, bundle, made))
        finally:
            engine.kill()
    sys.exit(checks.failed > 0)


if __name__ == "__main__":
    main()
