"""A bundle on the disk, as both sides load it. Needs no onnx package."""

import hashlib
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from partitioner.bundle.calibration import BundleCalibration
from partitioner.bundle.contents import Contents
from partitioner.bundle.exits import BundleExits, Exit, ExitCost, open_exit
from partitioner.bundle.graph_file import parse_graph
from partitioner.bundle.heads import Held
from partitioner.bundle.manifest import (
    GRAPH_FILE,
    MANIFEST_FILE,
    MAX_SIGNATURE_BYTES,
    MODEL_GRAPH,
    PROFILES_FOLDER,
    ROLLBACK_FILE,
    SAMPLES_FILE,
    SIGNATURE_FILE,
    WEIGHTS_FILE,
    Cut,
    Manifest,
    Segment,
    manifest_bytes,
    manifest_mark,
    read_manifest,
    read_manifest_file,
    segment_outputs,
)
from partitioner.common.archive import BROKEN, unpack
from partitioner.common.arguments import need
from partitioner.common.files import read_document
from partitioner.common.nearest import meant_text
from partitioner.common.tables import html_table
from partitioner.common.units import format_size, plural
from partitioner.graph.graph import Graph
from partitioner.runtime.chain import Chain
from partitioner.runtime.sessions import ModelFile, RuntimeOptions, Stage, open_stage
from protos.codecs.calibration import Calibration
from protos.errors import BundleError, UnknownNameError, UsageError, reason
from protos.names import CLOUD, EDGE
from protos.tensors import Array, TensorSpec

_MAX_SAMPLES_BYTES = 2 << 30
"""Of all samples together once they are unpacked: 80 images of 2160 by 3840 pixels, three bytes each."""
_LOAD_ATTEMPTS = 3
"""Loads of a folder that is replaced meanwhile; each begins with the manifest that is there then."""


Check = Callable[["Bundle"], object]
"""Raises BundleError for a bundle that is not to be used."""


class Bundle:
    """A model cut in pieces: its manifest and the files that it names. Load it with `Bundle.load`.

    On a device it may be head-only: then it has the cuts whose heads are there, and not the cut `edge`.
    """

    def __init__(
        self,
        path: Path,
        manifest: Manifest,
        calibration: BundleCalibration | None = None,
        held: Held | None = None,
        contents: Contents | None = None,
        documents: Mapping[str, bytes] | None = None,
    ) -> None:
        self.path = path
        self.manifest = manifest
        self.calibration = calibration
        """What `splitpoint calibrate` found; None before."""
        self.held = held
        """What is there of a head-only bundle; None: all of it."""
        self.documents = documents or {MANIFEST_FILE: manifest_bytes(manifest)}
        """The manifest's file, the signature's and the permission's to go back, where they are there, as
        they were read: copies of a bundle get these bytes, so that a signature holds for them too."""
        self._contents = contents
        self._exits: BundleExits | BundleError | None = None

    def __repr__(self) -> str:
        what = plural(len(self.cuts), "cut")
        if self.held:
            what = f"only the heads of {', '.join(self.held.cuts)}"
        known = ", calibrated" if self.calibration else ""
        return f"<Bundle {self.name}: {what}{known}, at {self.path}>"

    def _repr_html_(self) -> str:
        rows = (
            ("cuts", ", ".join(self.cuts)),
            ("inputs", ", ".join(map(str, self.inputs))),
            ("outputs", ", ".join(map(str, self.outputs))),
            ("size", format_size(self.size_bytes)),
        )
        return html_table(repr(self), ("bundle", self.name), rows)

    @classmethod
    def load(
        cls, path: str | Path, *, calibrated: bool = True, check: "Check | None" = None
    ) -> "Bundle":
        """Read the bundle in folder `path` and check the digest of everything that is to be there.

        `calibrated=False` leaves the calibration alone, which is about to be replaced. `check` may refuse
        what was loaded, as `Trust.check` does. Raises BundleError when the folder holds no bundle, a newer
        one, or a damaged one.
        """
        folder = Path(path)
        for _ in range(_LOAD_ATTEMPTS):
            mark = manifest_mark(folder)
            try:
                bundle = cls._load(folder, calibrated=calibrated)
                if check is not None:
                    check(bundle)
                return bundle
            except BundleError:
                if manifest_mark(folder) == mark:
                    raise
        raise BundleError(
            f"{folder} was replaced {_LOAD_ATTEMPTS} times while it was being loaded. "
            "Wait until whoever writes to it has finished, then load it again."
        )

    @classmethod
    def _load(cls, folder: Path, *, calibrated: bool) -> "Bundle":
        mark = manifest_mark(folder)
        manifest, file = read_manifest_file(folder)
        documents = {**_beside(folder), MANIFEST_FILE: file}
        held = Held.load(folder, manifest)
        contents = held.open(folder, manifest) if held else Contents(folder, manifest.files)
        found = BundleCalibration.load(folder, manifest.split_digest) if calibrated else None
        bundle = cls(folder, manifest, found, held, contents, documents)
        try:
            bundle._exits = BundleExits.load(folder, manifest.split_digest)
        except BundleError as error:  # for those who ask for exits
            if manifest_mark(folder) != mark:
                raise
            bundle._exits = error
        return bundle

    @property
    def contents(self) -> Contents:
        """The files as they were when the bundle was loaded; UsageError in one that was put together."""
        if self._contents is None:
            raise UsageError(f"{self.name} was not loaded from a folder, so it has no files.")
        return self._contents

    @classmethod
    def of(cls, bundle: "Bundle | str | Path", check: "Check | None" = None) -> "Bundle":
        """Return a bundle that may be given as its folder, see `load`. Raises BundleError, UsageError."""
        if isinstance(bundle, str | Path):
            return cls.load(bundle, check=check)
        need("bundle", bundle, Bundle, wanted="a path of its folder, or a Bundle")
        if check is not None:
            check(bundle)
        return bundle

    @property
    def signature_documents(self) -> Mapping[str, bytes]:
        """What is signed about the bundle, by file; none of it is checked here."""
        return {name: file for name, file in self.documents.items() if name != MANIFEST_FILE}

    @property
    def name(self) -> str:
        """The name under which a server offers the bundle."""
        return self.manifest.name

    @cached_property
    def digest(self) -> str:
        """Hex digest over all that edge and cloud must have in common."""
        return self.manifest.digest

    @cached_property
    def version_digest(self) -> str:
        """Hex digest that tells one version from any other: over `digest`, the calibration and the exits.

        Of these every byte counts, the accuracies that a plan reads too. Exits that cannot be used make
        another version than none.
        """
        if isinstance(self._exits, BundleError):
            exits = "unusable"
        else:
            exits = _sha256(self._exits.file) if self._exits else ""
        ranges = _sha256(self.calibration.file) if self.calibration else ""
        return _sha256("\n".join([self.digest, ranges, exits]).encode())

    def folder_for(self, what: str) -> Path:
        """Return the folder, to keep there `what` was found of this bundle.

        Raises BundleError when the folder holds another version by now, or none, so that nothing of this
        one comes to lie in it.
        """
        if read_manifest(self.path).digest != self.digest:
            raise BundleError(
                f"{self.path} was replaced since it was loaded, and {what} of the version that was loaded "
                f"({self.digest[:12]}…) would be wrong there. Nothing was written. Run the command again."
            )
        return self.path

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
    def calibration_digest(self) -> str:
        """The digest of `ranges`; empty if it is not calibrated."""
        return self.ranges.digest if self.ranges else ""

    @property
    def size_bytes(self) -> int:
        """Bytes of all files that the manifest names, or of what a head-only bundle has of them."""
        if self.held:
            return self.held.size_bytes(self.contents, self.manifest)
        return sum(file.size_bytes for file in self.manifest.files.values())

    @cached_property
    def cuts(self) -> dict[str, Cut]:
        """All cuts whose heads are here, by their id, from `cloud` through the interior ones to `edge`."""
        held = None if self.held is None else {CLOUD, *self.held.cuts}
        every = self._every_cut
        return {cut_id: every[cut_id] for cut_id in every if held is None or cut_id in held}

    @cached_property
    def _every_cut(self) -> dict[str, Cut]:
        cloud, edge = self.manifest.ends
        return {cut.id: cut for cut in (cloud, *self.manifest.cuts, edge)}

    @property
    def heads_only(self) -> bool:
        """True where neither tails nor the whole model are here: without a cloud only exits answer then."""
        return self.held is not None

    @property
    def exits(self) -> BundleExits | None:
        """What `splitpoint exits train` made; None before. BundleError if it is of another model."""
        if isinstance(self._exits, BundleError):
            raise self._exits
        return self._exits

    @cached_property
    def graph(self) -> Graph | None:
        """The model as a DAG; None in a bundle of a splitpoint that did not keep it yet.

        Raises BundleError in a head-only bundle, which has no use for it.
        """
        self.need_whole("working on the model's graph")
        if GRAPH_FILE not in self.manifest.files:
            return None
        return parse_graph(self.contents.document(GRAPH_FILE), self.path / GRAPH_FILE)

    def cut(self, cut_id: str) -> Cut:
        """Return the cut called `cut_id`; UnknownNameError lists those that exist."""
        try:
            return self.cuts[cut_id]
        except KeyError:
            if cut_id in {EDGE, *(cut.id for cut in self.manifest.cuts)}:
                self.need_whole(f"the cut {cut_id!r}", f"Use one of: {', '.join(self.cuts)}")
            raise UnknownNameError(
                f"{self.name} has no cut {cut_id!r}.{meant_text(cut_id, self.cuts)} It has: "
                f"{', '.join(self.cuts)}. "
                "Use one of these, or import the bundle again."
            ) from None

    def only(self, cuts: Collection[str]) -> "Bundle":
        """Return the same bundle as if it had these interior cuts alone: to measure or verify just them."""
        chosen = tuple(cut for cut in self.manifest.cuts if cut.id in cuts)
        manifest = self.manifest.model_copy(update={"cuts": chosen, "segments": ()})
        found = Bundle(
            self.path, manifest, self.calibration, self.held, self._contents, self.documents
        )
        found._exits = self._exits
        return found

    def need_whole(self, what: str, instead: str = "Do that where all of it is") -> None:
        """Raise BundleError in a head-only bundle, since `what` needs more than is there."""
        if self.held:
            raise BundleError(
                f"{self.path} holds only heads of {self.name} (of {', '.join(self.held.cuts)}), and {what} "
                f"needs the rest of it. {instead}, or fetch the whole bundle: "
                f"splitpoint-edge fetch {self.name} --cloud HOST:PORT --out BUNDLE --force."
            )

    def open_head(self, cut_id: str, options: RuntimeOptions | None = None) -> Stage:
        """Load the head of a cut: from the model's inputs to the frontier and the head's own outputs."""
        cut = self.cut(cut_id)
        own = tuple(spec for spec in self.outputs if spec.name in cut.head_outputs)
        crossing = tuple(spec for spec in cut.frontier if spec.name not in cut.head_outputs)
        return self._open(cut.head_graph, self.inputs, crossing + own, options)

    def open_tail(self, cut_id: str, options: RuntimeOptions | None = None) -> Stage:
        """Load the tail of a cut: from the frontier to the rest of the model's outputs.

        Raises BundleError in a head-only bundle.
        """
        self.need_whole(f"the tail of {cut_id}" if cut_id != CLOUD else "running the whole model")
        cut = self.cut(cut_id)
        rest = tuple(spec for spec in self.outputs if spec.name in cut.tail_outputs)
        return self._open(cut.tail_graph, cut.frontier, rest, options)

    def open_chain(
        self, cut_id: str, opened: dict[str, Stage], options: RuntimeOptions | None = None
    ) -> Chain | None:
        """Return the tail of a cut as its segments; None where the bundle lacks some of them.

        `opened` has segments by the cut that they begin at; those that are missing are loaded into it, so
        that tails share them. Raises BundleError in a head-only bundle.
        """
        segments = self.manifest.segments_from(cut_id)
        if not segments:
            return None
        cut = self.cut(cut_id)
        rest = tuple(spec for spec in self.outputs if spec.name in cut.tail_outputs)
        for segment in segments:
            if segment.cut not in opened:
                opened[segment.cut] = self.open_segment(segment, options)
        return Chain([opened[segment.cut] for segment in segments], cut.frontier, rest)

    def open_segment(self, segment: Segment, options: RuntimeOptions | None = None) -> Stage:
        """Load a segment: from the frontier of its cut to that of a later one, and the outputs made between.

        Raises BundleError in a head-only bundle.
        """
        self.need_whole(f"the segment behind {segment.cut}")
        here, there = self._every_cut[segment.cut], self._every_cut[segment.until]
        made = segment_outputs(here, there, self.outputs)
        return self._open(segment.graph, here.frontier, made, options)

    def open_exit(self, cut_id: str, options: RuntimeOptions | None = None) -> Stage:
        """Load the exit of a cut: from the frontier to scores, named like the output, and CONFIDENCE."""
        found = self.known_exits().find(cut_id)
        return open_exit(found, self.cut(cut_id), self.outputs[0], options or RuntimeOptions())

    def exit_costs(self, threshold: float | None = None) -> dict[str, ExitCost]:
        """Return what a plan needs of every exit at `threshold` (None: its own); UsageError without any."""
        return self.known_exits().costs(threshold)

    def exit_at(self, cut_id: str) -> Exit | None:
        """Return the exit at a cut; None where there is none."""
        return self.exits.by_cut.get(cut_id) if self.exits else None

    def known_exits(self) -> BundleExits:
        """Return the exits; UsageError without any."""
        if self.exits is None:
            raise UsageError(
                f"{self.name} has no exits. Train some: splitpoint exits train {self.path} --data DIR."
            )
        return self.exits

    def samples(self) -> list[dict[str, Array]]:
        """Return the sample inputs that came with the bundle, one by one; none if none were given.

        Raises BundleError for a file that is no such archive, or that would fill the memory.
        """
        if SAMPLES_FILE not in self.manifest.files:
            return []
        frames: dict[str, dict[str, Array]] = {}
        try:
            arrays = unpack(bytes(self.contents.read(SAMPLES_FILE)), _MAX_SAMPLES_BYTES)
        except BROKEN as error:
            raise BundleError(
                f"{self.path / SAMPLES_FILE} holds no samples: {reason(error)}. Import the model again."
            ) from error
        for key, array in arrays.items():
            number, _, name = key.partition("/")
            frames.setdefault(number, {})[name] = array
        return list(frames.values())

    def _open(
        self,
        graph: str | None,
        inputs: tuple[TensorSpec, ...],
        outputs: tuple[TensorSpec, ...],
        options: RuntimeOptions | None,
    ) -> Stage:
        return open_stage(
            self._model(graph) if graph else None, inputs, outputs, options or RuntimeOptions()
        )

    def whole_model(self) -> ModelFile:
        """Return the file of the whole model, for a session of it."""
        return self._model(MODEL_GRAPH)

    def _model(self, graph: str) -> ModelFile:
        weights = self.contents.read(WEIGHTS_FILE) if WEIGHTS_FILE in self.contents.names else None
        data = {} if weights is None else {Path(WEIGHTS_FILE).name: weights}
        optimize = graph not in self.manifest.unoptimized
        return ModelFile(str(self.path / graph), self.contents.read(graph), data, optimize)


def _beside(folder: Path) -> dict[str, bytes]:
    """Read what is signed about a bundle, as far as it is there; BundleError when it cannot be read."""
    found: dict[str, bytes] = {}
    for name in (SIGNATURE_FILE, ROLLBACK_FILE):
        try:
            found[name] = read_document(folder / name, MAX_SIGNATURE_BYTES)
        except FileNotFoundError:
            continue
        except (OSError, ValueError) as error:
            raise BundleError(
                f"{folder / name} cannot be read: {reason(error)}. Copy it again, or remove it."
            ) from error
    return found


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def save_samples(folder: Path, frames: Sequence[Mapping[str, Array]]) -> None:
    """Write sample inputs into the folder of a bundle in the making; nothing if there are none."""
    if frames:
        arrays: dict[str, Any] = {
            f"{number}/{name}": array
            for number, frame in enumerate(frames)
            for name, array in frame.items()
        }
        np.savez_compressed(folder / SAMPLES_FILE, **arrays)
