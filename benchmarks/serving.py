"""A cloud server in a process of its own, and bundles of the benchmark's models."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import onnx

from benchmarks.children import Child
from partitioner.bundle.bundle import Bundle
from partitioner.importer.importer import ImportOptions, import_model
from partitioner.network.link import Link
from tests.kit.models import save

_HERE, _THERE = "10.77.0.1", "10.77.0.2"
"""The two ends of an emulated link."""


def make_bundle(model: onnx.ModelProto, folder: Path, name: str, **options: object) -> Bundle:
    """Import `model` into `folder`/`name`."""
    path = save(model, folder / f"{name}.onnx")
    return import_model(path, folder / name, ImportOptions(**options))  # type: ignore[arg-type]


def copied(bundle: Path, folder: Path) -> Bundle:
    """Copy a bundle below `folder`, where measuring may write into it, and load it there."""
    manifest = Bundle.load(bundle).manifest
    return Bundle.load(shutil.copytree(bundle, folder / manifest.name))


@contextmanager
def served(
    bundles: Path, *flags: str, cores: Collection[int] = (), listen: str = "127.0.0.1:0"
) -> Iterator[str]:
    """Run `splitpoint-cloud serve` until the end of the block; give its HOST:PORT."""
    words = ["serve", "--bundles", str(bundles), "--listen", listen, *flags]
    with _started("cloud_server", "cloud_server.server", words, cores) as ready:
        yield ready["address"]


@contextmanager
def watched(bundles: Path, *flags: str, cores: Collection[int] = ()) -> Iterator[tuple[str, Child]]:
    """Run `splitpoint-cloud serve` until the end of the block; give its HOST:PORT and its process."""
    words = ["serve", "--bundles", str(bundles), "--listen", "127.0.0.1:0", *flags]
    with _started("cloud_server", "cloud_server.server", words, cores) as ready:
        yield ready["address"], Child(int(ready["pid"]))


@contextmanager
def announced(bundles: Path, *flags: str) -> Iterator[dict[str, str]]:
    """Run `splitpoint-cloud serve` until the end of the block; give what it says once ready, and `pid`."""
    words = ["serve", "--bundles", str(bundles), "--listen", "127.0.0.1:0", *flags]
    with _started("cloud_server", "cloud_server.server", words, ()) as ready:
        yield ready


@contextmanager
def played(link: Link, to: str, cores: Collection[int] = ()) -> Iterator[str]:
    """Run `splitpoint-edge link` until the end of the block; give the HOST:PORT that leads to `to`."""
    rates = ["--bandwidth", f"{link.uplink_bps}bit", "--down", f"{link.downlink_bps}bit"]
    with followed(to, *rates, "--rtt", f"{link.rtt_s}s", cores=cores) as (address, _):
        yield address


@dataclass(frozen=True)
class Emulated:
    """A server in a network namespace of its own, and the script that plays links to it."""

    script: Path
    server: int
    """Its process."""
    port: int
    cores: frozenset[int]
    """Of the script, see `between`."""

    @contextmanager
    def played(self, link: Link | None = None) -> Iterator[str]:
        """Emulate `link` (None: without limit or delay) until the end of the block; give the HOST:PORT."""
        rates = (
            (0.0, 0.0, 0.0) if link is None else (link.uplink_bps, link.downlink_bps, link.rtt_s)
        )
        up, down, delay = rates[0] / 1e6, rates[1] / 1e6, rates[2] * 500
        with tempfile.TemporaryDirectory() as folder:
            command = [
                sys.executable, str(self.script),
                "/proc/self/ns/net", _HERE, f"/proc/{self.server}/ns/net", _THERE,
                f"up={up}", f"down={down}", f"delay={delay}", f"ctl={folder}/control",
            ]  # fmt: skip
            with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
                try:
                    os.sched_setaffinity(process.pid, self.cores or os.sched_getaffinity(0))
                    if not process.stdout.readline():  # type: ignore[union-attr]
                        raise OSError(f"{self.script} does not play a link: it needs root.")
                    yield f"{_THERE}:{self.port}"
                finally:
                    process.terminate()


@contextmanager
def emulated(script: Path, bundles: Path, cores: Collection[int] = ()) -> Iterator[Emulated]:
    """Run `splitpoint-cloud serve` in a network namespace of its own, to be reached by emulated links.

    Needs root. `script` is no part of the project: run as `SCRIPT NAMESPACE ADDRESS NAMESPACE ADDRESS
    up=MBIT down=MBIT delay=MS ctl=SOCKET`, it says a line once packets go between the two, until it ends.
    """
    words = ["serve", "--bundles", str(bundles), "--listen", "0.0.0.0:0", "--insecure"]
    apart = ["unshare", "--net"]
    with _started("cloud_server", "cloud_server.server", words, cores, apart) as ready:
        port = int(ready["address"].rpartition(":")[2])
        yield Emulated(script, int(ready["pid"]), port, frozenset(between()))


@contextmanager
def followed(to: str, *words: str, cores: Collection[int] = ()) -> Iterator[tuple[str, float]]:
    """Run `splitpoint-edge link` with `words`; give the HOST:PORT that leads to `to`, and its start.

    The start is a moment of time.monotonic.
    """
    command = ["link", "--listen", "127.0.0.1:0", "--to", to, *words]
    with _started("edge_client", "edge_client.relay.player", command, cores) as ready:
        yield ready["listen"], time.monotonic()


@contextmanager
def _started(
    package: str,
    heavy: str,
    words: list[str],
    cores: Collection[int],
    within: Sequence[str] = (),
) -> Iterator[dict[str, str]]:
    """Run a command of ours, bound to `cores` once it is loaded; give the line that says it is ready.

    `within`: the command that runs it, if any. Its process stands in the line as `pid`.
    """
    bind = f"import os, {heavy}; os.sched_setaffinity(0, {set(cores)}); " if cores else ""
    command = [sys.executable, "-c", f"{bind}from {package}.cli.entrypoint import main; main()"]
    with subprocess.Popen(
        [*within, *command, *words, "--json"], stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            ready = json.loads(process.stdout.readline())  # type: ignore[union-attr]
            # A relay says every change of its link: one that nobody reads stops it within seconds.
            threading.Thread(target=deque, args=(process.stdout, 0), daemon=True).start()
            yield ready | {"pid": str(process.pid)}
        finally:
            process.terminate()


def apart() -> tuple[set[int], set[int]]:
    """Return cores for the edge and for the cloud: not the same, if there are two."""
    cores = sorted(os.sched_getaffinity(0))
    return {cores[0]}, {cores[-1]}


def between() -> set[int]:
    """Return cores for what plays the link: those that neither side takes, if there are any.

    Else the edge's: it waits while something is on the way, and its caches have done their work by then. On
    the server's, what plays the link would take the caches right before the tail runs, as no link does.
    """
    here, there = apart()
    return os.sched_getaffinity(0).difference(here, there) or here


@contextmanager
def bound(cores: Collection[int]) -> Iterator[None]:
    """Bind this process to `cores` until the end of the block; threads that start in it inherit that."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def nearest_cut(bundle: Bundle, wanted_bytes: int) -> str:
    """Return the interior cut of one value whose frontier is nearest to `wanted_bytes`."""

    def distance(cut_id: str) -> float:
        frontier = bundle.cut(cut_id).frontier
        return abs(sum(spec.nbytes() for spec in frontier) - wanted_bytes) + 1e9 * (
            len(frontier) != 1
        )

    return min((cut.id for cut in bundle.manifest.cuts), key=distance)


def alternate(ways: dict[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """Call each way once a round, so that a machine that drifts drifts for all of them."""
    figures: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            figures[name].append(way())
    return figures
