"""A cloud server in a process of its own, and bundles of the benchmark's models."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import onnx

from partitioner.bundle import Bundle
from partitioner.importing import ImportOptions, import_model
from tests.models import save


def make_bundle(model: onnx.ModelProto, folder: Path, name: str, **options: object) -> Bundle:
    """Import `model` into `folder`/`name`."""
    path = save(model, folder / f"{name}.onnx")
    return import_model(path, folder / name, ImportOptions(**options))  # type: ignore[arg-type]


@contextmanager
def served(bundles: Path, *flags: str) -> Iterator[str]:
    """Run `splitpoint-cloud serve` until the end of the block; give its HOST:PORT."""
    code = "from cloud_server.cli import main; main()"
    command = [
        sys.executable,
        "-c",
        code,
        "serve",
        "--bundles",
        str(bundles),
        "--listen",
        "127.0.0.1:0",
    ]
    with subprocess.Popen(
        [*command, *flags, "--json"], stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield json.loads(process.stdout.readline())["address"]  # type: ignore[union-attr]
        finally:
            process.terminate()


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
