"""The cases of benchmarks.fidelity: models, and the kinds of link that lead to their server."""

import shutil
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from benchmarks.architectures import mobilenet_v2
from benchmarks.serving import between, copied, emulated, make_bundle, played, served
from partitioner.bundle.bundle import Bundle
from partitioner.calibration.calibrator import Sample, calibrate
from partitioner.inputs.files import load_inputs
from partitioner.network.link import Link
from protos.tensors import Array

DIGITS = Path("examples/digits")
PHOTOGRAPHS = DIGITS / "frames"
_CALIBRATED_ON = 32
"""Frames; what codecs lose on a model of random weights matters to no one."""

Feeds = list[dict[str, Array]]
Play = Callable[[Link | None], AbstractContextManager[str]]
"""Leads to the server over a link, or over none that is felt; gives the HOST:PORT."""


@dataclass(frozen=True)
class Model:
    """A model whose predictions are looked at."""

    make: Callable[[Path], Bundle]
    """Writes its bundle below a folder."""
    slowdown: float
    """By how much its device is slowed, so that there is something to choose."""
    accuracy_drop: float
    """Points that its options may lose."""


def _mobilenet(folder: Path) -> Bundle:
    made = make_bundle(mobilenet_v2(classes=10), folder.parent, "mobilenet", preprocess="imagenet")
    frames = load_inputs(PHOTOGRAPHS, made.inputs, _CALIBRATED_ON)
    calibrate(made, [Sample(frame) for frame in frames]).save(made.path)
    shutil.move(made.path, folder)
    return Bundle.load(folder / "mobilenet")


MODELS = {
    "digits": Model(lambda folder: copied(DIGITS / "bundle", folder), 8.0, 0.5),
    "mobilenet": Model(_mobilenet, 1.0, 100.0),
}


@contextmanager
def relayed(bundles: Path, cores: Collection[int]) -> Iterator[Play]:
    """Serve over links that the project's relay plays, on the level of TCP."""
    way = between()
    with served(bundles, cores=cores) as address:

        def play(link: Link | None) -> AbstractContextManager[str]:
            return played(link, address, way) if link else nullcontext(address)

        yield play


@contextmanager
def routed(script: Path, bundles: Path, cores: Collection[int]) -> Iterator[Play]:
    """Serve over links that `script` emulates, on the level of IP packets."""
    with emulated(script, bundles, cores) as server:
        yield server.played
