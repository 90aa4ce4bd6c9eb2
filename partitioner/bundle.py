"""A bundle on the disk, as both sides load it. Needs no onnx package."""

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from partitioner.calibration import BundleCalibration
from partitioner.exits.stored import BundleExits, ExitCost, open_exit
from partitioner.graph import Graph
from partitioner.graph_file import load_graph
from partitioner.manifest import (
    GRAPH_FILE,
    MANIFEST_FILE,
    PROFILES_FOLDER,
    SAMPLES_FILE,
    SCHEMA_VERSION,
    Cut,
    FileDigest,
    Manifest,
)
from partitioner.sessions import RuntimeOptions, Stage, open_stage
from protos.codecs import Calibration
from protos.errors import BundleError, UnknownNameError, UsageError
from protos.tensors import Array, TensorSpec


class Bundle:
    """A model cut in pieces: its manifest and the files that it names. Load it with `Bundle.load`."""

    def __init__(
        self, path: Path, manifest: Manifest, calibration: BundleCalibration | None = None
    ) -> None:
        self.path = path
        self.manifest = manifest
        self.calibration = calibration
        """What `splitpoint calibrate` found; None before."""

    @classmethod
    def load(cls, path: str | Path, *, calibrated: bool = True) -> "Bundle":
        """Read the bundle in folder `path` and check every digest.

        `calibrated=False` leaves the calibration alone, which is about to be replaced. Raises
        BundleError when the folder holds no bundle, a newer one, or a damaged one.
        """
        folder = Path(path)
        manifest = _read_manifest(folder)
        for name, wanted in manifest.files.items():
            _check_file(folder, name, wanted)
        found = BundleCalibration.load(folder, manifest.split_digest) if calibrated else None
        return cls(folder, manifest, found)

    @property
    def name(self) -> str:
        """The name under which a server offers the bundle."""
        return self.manifest.name

    @cached_property
    def digest(self) -> str:
        """Hex digest over all that edge and cloud must have in common."""
        return self.manifest.digest

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """The whole model's inputs."""
        return self.manifest.inputs

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """The whole model's outputs."""
        return self.manifest.outputs

    @property
    def profiles(self) -> Path:
        """The folder for what machines measured of this bundle."""
        return self.path / PROFILES_FOLDER

    @property
    def ranges(self) -> Calibration | None:
        """What low-bit codecs need to know of this bundle's values; None if it is not calibrated."""
        return self.calibration.ranges if self.calibration else None

    @property
    def size_bytes(self) -> int:
        """Bytes of all files that the manifest names."""
        return sum(file.size_bytes for file in self.manifest.files.values())

    @cached_property
    def cuts(self) -> dict[str, Cut]:
        """All cuts by their id, from `cloud` through the interior ones to `edge`."""
        cloud, edge = self.manifest.ends
        return {cut.id: cut for cut in (cloud, *self.manifest.cuts, edge)}

    @cached_property
    def exits(self) -> BundleExits | None:
        """What `splitpoint exits train` made; None before. BundleError if it is of another model."""
        return BundleExits.load(self.path, self.manifest.split_digest)

    @cached_property
    def graph(self) -> Graph | None:
        """The model as a DAG; None in a bundle of a splitpoint that did not keep it yet."""
        if GRAPH_FILE not in self.manifest.files:
            return None
        return load_graph(self.path / GRAPH_FILE)

    def cut(self, cut_id: str) -> Cut:
        """Return the cut called `cut_id`; UnknownNameError lists those that exist."""
        try:
            return self.cuts[cut_id]
        except KeyError:
            raise UnknownNameError(
                f"{self.name} has no cut {cut_id!r}. It has: {', '.join(self.cuts)}. "
                "Use one of these, or import the bundle again."
            ) from None

    def only(self, cuts: Collection[str]) -> "Bundle":
        """Return the same bundle as if it had these interior cuts alone: to measure or verify just them."""
        chosen = tuple(cut for cut in self.manifest.cuts if cut.id in cuts)
        manifest = self.manifest.model_copy(update={"cuts": chosen})
        return Bundle(self.path, manifest, self.calibration)

    def open_head(self, cut_id: str, options: RuntimeOptions | None = None) -> Stage:
        """Load the head of a cut: from the model's inputs to the frontier and the head's own outputs."""
        cut = self.cut(cut_id)
        own = tuple(spec for spec in self.outputs if spec.name in cut.head_outputs)
        crossing = tuple(spec for spec in cut.frontier if spec.name not in cut.head_outputs)
        return self._open(cut.head_graph, self.inputs, crossing + own, options)

    def open_tail(self, cut_id: str, options: RuntimeOptions | None = None) -> Stage:
        """Load the tail of a cut: from the frontier to the rest of the model's outputs."""
        cut = self.cut(cut_id)
        rest = tuple(spec for spec in self.outputs if spec.name in cut.tail_outputs)
        return self._open(cut.tail_graph, cut.frontier, rest, options)

    def open_exit(self, cut_id: str, options: RuntimeOptions | None = None) -> Stage:
        """Load the exit of a cut: from the frontier to scores, named like the output, and CONFIDENCE."""
        found = self.known_exits().find(cut_id)
        return open_exit(found, self.cut(cut_id), self.outputs[0], options or RuntimeOptions())

    def exit_costs(self, threshold: float | None = None) -> dict[str, ExitCost]:
        """Return what a plan needs of every exit at `threshold` (None: its own); UsageError without any."""
        return self.known_exits().costs(threshold)

    def known_exits(self) -> BundleExits:
        """Return the exits; UsageError without any."""
        if self.exits is None:
            raise UsageError(
                f"{self.name} has no exits. Train some: splitpoint exits train {self.path} --data DIR."
            )
        return self.exits

    def samples(self) -> list[dict[str, Array]]:
        """Return the sample inputs that came with the bundle, one by one; none if none were given."""
        if SAMPLES_FILE not in self.manifest.files:
            return []
        frames: dict[str, dict[str, Array]] = {}
        with np.load(self.path / SAMPLES_FILE, allow_pickle=False) as arrays:
            for key in arrays.files:
                number, _, name = key.partition("/")
                frames.setdefault(number, {})[name] = arrays[key]
        return list(frames.values())

    def _open(
        self,
        graph: str | None,
        inputs: tuple[TensorSpec, ...],
        outputs: tuple[TensorSpec, ...],
        options: RuntimeOptions | None,
    ) -> Stage:
        path = self.path / graph if graph else None
        return open_stage(path, inputs, outputs, options or RuntimeOptions())


def digest_file(path: Path) -> FileDigest:
    """Return size and sha256 of a file."""
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return FileDigest(sha256=sha256, size_bytes=path.stat().st_size)


def save_samples(folder: Path, frames: Sequence[Mapping[str, Array]]) -> None:
    """Write sample inputs into the folder of a bundle in the making; nothing if there are none."""
    if frames:
        arrays: dict[str, Any] = {
            f"{number}/{name}": array
            for number, frame in enumerate(frames)
            for name, array in frame.items()
        }
        np.savez_compressed(folder / SAMPLES_FILE, **arrays)


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write the manifest, with its own digest beside it."""
    document = {"digest": manifest.digest, "manifest": manifest.model_dump(mode="json")}
    (folder / MANIFEST_FILE).write_text(json.dumps(document, indent=1) + "\n")


def _read_manifest(folder: Path) -> Manifest:
    path = folder / MANIFEST_FILE
    try:
        document = json.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        raise BundleError(
            f"{folder} is no bundle: it has no {MANIFEST_FILE}. "
            "Make one with: splitpoint import MODEL --out BUNDLE."
        ) from None
    except (OSError, ValueError, RecursionError) as error:
        raise BundleError(f"{path} cannot be read: {error}. Import the bundle again.") from error
    content = document.get("manifest") if isinstance(document, dict) else None
    version = content.get("schema_version") if isinstance(content, dict) else None
    if isinstance(version, int) and version != SCHEMA_VERSION:
        raise BundleError(
            f"{folder} has schema version {version}, and this splitpoint reads {SCHEMA_VERSION}. "
            "Install the splitpoint that made it, or import the bundle again."
        )
    try:
        manifest = Manifest.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the document"
        raise BundleError(
            f"{path} is damaged: {where}: {first['msg']}. Import the bundle again."
        ) from error
    if document.get("digest") != manifest.digest:
        raise BundleError(
            f"{path} was changed: its digest is {manifest.digest[:12]}…, but it says "
            f"{str(document.get('digest'))[:12]}…. Import or copy the bundle again."
        )
    return manifest


def _check_file(folder: Path, name: str, wanted: FileDigest) -> None:
    path = folder / name
    if not path.resolve().is_relative_to(folder.resolve()):
        raise BundleError(
            f"{folder / MANIFEST_FILE} names {name!r}, which lies outside the bundle."
        )
    try:
        found = digest_file(path)
    except OSError as error:
        raise BundleError(
            f"{folder} lacks {name} ({error.strerror}). Import or copy the bundle again."
        ) from error
    if found != wanted:
        what = (
            f"has {found.size_bytes} bytes instead of {wanted.size_bytes}"
            if found.size_bytes != wanted.size_bytes
            else f"has the digest {found.sha256[:12]}… instead of {wanted.sha256[:12]}…"
        )
        raise BundleError(f"{path} is damaged: it {what}. Import or copy the bundle again.")
