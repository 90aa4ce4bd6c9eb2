"""Serving engines as processes: ours, Triton and Ray Serve, each from an interpreter that has it."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import grpc
import psutil

from benchmarks.children import Child
from benchmarks.serving import watched
from protos import inference_pb2 as oip
from protos.inference_pb2_grpc import GRPCInferenceServiceStub

_READY_S = 120.0
_UNREFUSED = ("--queue-wait", "60s")
"""What is compared is the cost of answers: a loaded machine is not to have requests refused."""
_FIND_TRITON = (
    "import json, sys, pytriton.utils.distribution as d; "
    "v = '.'.join(map(str, sys.version_info[:2])); "
    "print(json.dumps([str(d.get_root_module_path()), str(d.get_libs_path()), str(d.get_stub_path(v))]))"
)


class EngineServer:
    """A server with all of its processes."""

    def __init__(self, address: str, pid: int) -> None:
        self.address = address
        self._first = psutil.Process(pid)

    def cpu_s(self, called: str = "") -> float:
        """Return the CPU seconds of all processes that there are now and whose command has this in it."""
        total = 0.0
        for process in self._all():
            with suppress(OSError, psutil.Error):  # it has ended meanwhile
                if called in " ".join(process.cmdline()):
                    total += Child(process.pid).cpu_s()
        return total

    def memory(self) -> dict[str, int]:
        """Return processes, what they have in memory, and the same with shared pages counted once."""
        full = [process.memory_full_info() for process in self._all()]
        return {
            "processes": len(full),
            "resident_bytes": sum(one.rss for one in full),
            "proportional_bytes": sum(one.pss for one in full),
        }

    def _all(self) -> Sequence[psutil.Process]:
        return [self._first, *self._first.children(recursive=True)]


@contextmanager
def ours(bundles: Path, workers: int) -> Iterator[EngineServer]:
    """Run `splitpoint-cloud serve` until the end of the block."""
    with watched(bundles, "--workers", str(workers), "--http", "off", *_UNREFUSED) as (
        address,
        process,
    ):
        yield EngineServer(address, process.pid)


@contextmanager
def triton(python: str, bundles: Path, workers: int, folder: Path) -> Iterator[EngineServer]:
    """Run Triton with its Python backend until the end of the block: a process for each worker and model.

    `python`: an interpreter with nvidia-pytriton, which carries a server, and with onnxruntime.
    """
    found = subprocess.run(
        [python, "-c", _FIND_TRITON], capture_output=True, text=True, check=True
    ).stdout
    module, libraries, stub = json.loads(found.splitlines()[-1])
    backends, repository = folder / "backends", folder / "repository"
    shutil.copytree(Path(module) / "tritonserver" / "backends", backends)
    shutil.copy(stub, backends / "python")
    _export(bundles, repository, workers)
    ports = {name: _free_port() for name in ("grpc", "http", "metrics")}
    command = [
        str(Path(module) / "tritonserver" / "bin" / "tritonserver"),
        f"--model-repository={repository}",
        f"--backend-directory={backends}",
        *(f"--{name}-address=127.0.0.1" for name in ports),
        *(f"--{name}-port={port}" for name, port in ports.items()),
    ]
    path = f"{Path(python).parent}:{os.environ['PATH']}"
    environment = {**os.environ, "LD_LIBRARY_PATH": libraries, "PATH": path}
    with _running(command, environment) as process:
        address = f"127.0.0.1:{ports['grpc']}"
        _wait_until_ready(address, process)
        yield EngineServer(address, process.pid)


@contextmanager
def ray(python: str, bundles: Path, workers: int) -> Iterator[EngineServer]:
    """Run Ray Serve until the end of the block: a cluster of this machine, a replica for each worker.

    `python`: an interpreter with what splitpoint[ray] needs.
    """
    port, http = _free_port(), _free_port()
    code = "from cloud_server.cli.entrypoint import main; main()"
    flags = ["--ray", "local", "--port", str(port), "--http", f"127.0.0.1:{http}", "--insecure"]
    replicas = [
        "--min-replicas",
        str(workers),
        "--max-replicas",
        str(workers),
        "--log-level",
        "error",
    ]
    command = [
        python,
        "-c",
        code,
        "cluster",
        "--bundles",
        str(bundles),
        *flags,
        *replicas,
        *_UNREFUSED,
    ]
    environment = {**os.environ, "RAY_USAGE_STATS_ENABLED": "0"}
    with _running(command, environment) as process:
        address = f"127.0.0.1:{port}"
        _wait_until_ready(address, process)
        yield EngineServer(address, process.pid)


@contextmanager
def ray_nodes(python: str, bundles: Path, nodes: int) -> Iterator[EngineServer]:
    """Run Ray Serve until the end of the block: one node or two on this machine, with a replica each.

    What is asked is the proxy of the first node.
    """
    port, http = _free_port(), _free_port()
    environment = {**os.environ, "RAY_USAGE_STATS_ENABLED": "0"}
    command = [python, "-m", "tests.kit.ray_nodes", str(nodes)]
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            head = json.loads(process.stdout.readline())["address"]  # type: ignore[union-attr]
            code = "from cloud_server.cli.entrypoint import main; main()"
            flags = [
                "--ray",
                head,
                "--port",
                str(port),
                "--http",
                f"127.0.0.1:{http}",
                "--insecure",
            ]
            count = ["--min-replicas", str(nodes), "--max-replicas", str(nodes), *_UNREFUSED]
            words = [python, "-c", code, "cluster", "--bundles", str(bundles), *flags, *count]
            subprocess.run(words, check=True, capture_output=True, text=True, env=environment)
            yield EngineServer(f"127.0.0.1:{port}", process.pid)
        finally:
            process.stdin.close()  # type: ignore[union-attr]


def _export(bundles: Path, repository: Path, workers: int) -> None:
    """Write a repository of the whole models, each request alone, each computed by so many processes."""
    for bundle in sorted(path for path in bundles.iterdir() if (path / "bundle.json").exists()):
        code = "from partitioner.terminal.entrypoint import main; main()"
        part = repository.with_name(f"of-{bundle.name}")
        words = ["export", "triton", str(bundle), "--cuts", "cloud", "--backend", "python"]
        alone = ["--max-batch-size", "1", "--out", str(part)]
        subprocess.run(
            [sys.executable, "-c", code, *words, *alone], check=True, capture_output=True, text=True
        )
        # Without those that decode codecs: what is compared is one tail.
        shutil.copytree(part / bundle.name, repository / bundle.name)
    for config in repository.glob("*/config.pbtxt"):
        group = f"\ninstance_group [ {{ count: {workers} kind: KIND_CPU }} ]\n"
        config.write_text(config.read_text() + group)


@contextmanager
def _running(
    command: Sequence[str], environment: dict[str, str]
) -> Iterator["subprocess.Popen[Any]"]:
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL) as process:
        try:
            yield process
        finally:
            process.terminate()


def _wait_until_ready(address: str, process: "subprocess.Popen[Any]") -> None:
    until = time.monotonic() + _READY_S
    options = [("grpc.max_reconnect_backoff_ms", 500)]
    with grpc.insecure_channel(address, options=options) as channel:
        stub = GRPCInferenceServiceStub(channel)
        while time.monotonic() < until and process.poll() is None:
            with suppress(grpc.RpcError):
                if stub.ServerReady(oip.ServerReadyRequest(), timeout=2).ready:
                    return
            time.sleep(0.2)
    raise OSError(f"{process.args!r} was not ready: it has ended with {process.poll()}.")


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])
