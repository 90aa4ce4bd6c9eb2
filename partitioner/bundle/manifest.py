"""The manifest of a bundle: what is in it, and the digests that hold it together.

A bundle is a folder:

    bundle.json          the manifest
    graphs/weights.bin   the one copy of the weights; every graph refers to it
    graphs/model.onnx    the whole model
    graphs/<cut>.head.onnx, graphs/<cut>.tail.onnx
    graphs/<cut>.segment.onnx  from this cut to the next, so that tails may share what they have in common
    graph.json           nodes and values of the whole model, to search for cuts in
    weights.json         which stretches of the weights each head reads, with their digests
    samples.npz          a few inputs, if any were given, to measure codecs with
    calibration.npz      ranges of low-bit codecs and their accuracy; has a digest of its own
    exits.npz            exits and how they did on held-out inputs; not part of the identity
    signature.json       who signed all of the above, and as which release; see partitioner/signatures/
    rollback.json        a signed permission to go back to this release, if one was given
    profiles/            what machines measured; not part of the bundle's identity
    serving.toml         on a server: how it batches the tails; see cloud_server/engine/serving_file.py
    heads.json           only where a device holds no more than some heads; see partitioner/bundle/heads.py
"""

import hashlib
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import (
    AfterValidator,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    WrapSerializer,
    model_serializer,
    model_validator,
)

from partitioner.common.files import read_document
from partitioner.common.frozen_model import FrozenModel
from partitioner.common.units import plural
from protos.errors import BundleError, reason
from protos.names import CLOUD, EDGE
from protos.tensors import BATCH_SIZE, DATA_SIZE, TensorSpec, is_carried

MANIFEST_FILE = "bundle.json"
SCHEMA_VERSION: Final = 1
MODEL_GRAPH = "graphs/model.onnx"
WEIGHTS_FILE = "graphs/weights.bin"
GRAPH_FILE = "graph.json"
WEIGHTS_MAP_FILE = "weights.json"
SAMPLES_FILE = "samples.npz"
PROFILES_FOLDER = "profiles"
SERVING_FILE = "serving.toml"
SIGNATURE_FILE = "signature.json"
ROLLBACK_FILE = "rollback.json"
MAX_SIGNATURE_BYTES: Final = 4 << 20
"""Of `signature.json` and of `rollback.json`, each: a file that is signed takes some 150."""

NAME_PATTERN = r"[A-Za-z0-9][A-Za-z0-9._-]*"

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


_ADDED = ("usual", "drawn", "white")
"""Fields of a spec that older bundles lack."""


def _without_empty(spec: TensorSpec, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
    """Write a spec without the fields that were added where they are empty, as older bundles have it."""
    written: dict[str, Any] = write(spec)
    return {key: value for key, value in written.items() if value or key not in _ADDED}


def _is_range(drawn: tuple[float, ...]) -> bool:
    return not drawn or (len(drawn) == 2 and -math.inf < drawn[0] < drawn[1] < math.inf)


Spec = Annotated[TensorSpec, WrapSerializer(_without_empty)]


def _inside(name: str) -> str:
    """Return the name of a file; ValueError for one that is not written as one below the bundle's folder."""
    parts = name.split("/")
    if {"", ".", ".."}.intersection(parts) or "\\" in name or "\0" in name:
        raise ValueError(f"{name!r} lies outside the bundle, or is no name of a file")
    return name


class Preprocess(FrozenModel):
    """What the graph does to a uint8 image [batch, height, width, channels] before the model."""

    frame: tuple[int, int]
    """Height and width of the input, in pixels."""
    resize: tuple[int, int] | None = None
    """Height and width that the model takes, where they differ."""
    mean: tuple[float, ...]
    std: tuple[float, ...]
    """y = (x * scale - mean) / std, for each channel."""
    scale: float = 1 / 255
    layout: Literal["nchw", "nhwc"] = "nchw"


class Cut(FrozenModel):
    """One split of the model. `None` for a graph: that side has nothing to run."""

    id: str
    after: str
    """Where it cuts, in the words of the model: the layers whose values cross."""
    frontier: tuple[Spec, ...]
    head_graph: str | None
    tail_graph: str | None
    head_outputs: tuple[str, ...] = ()
    """The model's outputs that the head computes itself; they do not cross."""
    tail_outputs: tuple[str, ...] = ()
    head_flops: int = 0
    """Floating-point operations of the head for one sample, two for each multiply-add."""


class Segment(FrozenModel):
    """The graph from one cut to a later one. Segments in a row compute what a tail does."""

    cut: str
    until: str
    graph: str


def segment_outputs(cut: Cut, until: Cut, outputs: Sequence[TensorSpec]) -> tuple[TensorSpec, ...]:
    """Return what a segment gives: what crosses at its end, and those of the model's `outputs` it makes."""
    made = set(cut.tail_outputs) - set(until.tail_outputs)
    crossing = tuple(spec for spec in until.frontier if spec.name not in made)
    return crossing + tuple(spec for spec in outputs if spec.name in made)


def ends_of(
    inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...], flops: int
) -> tuple[Cut, Cut]:
    """Return the cuts `cloud` and `edge` of a model."""
    names = tuple(spec.name for spec in outputs)
    cloud = Cut(
        id=CLOUD,
        after="the model's input",
        frontier=inputs,
        head_graph=None,
        tail_graph=MODEL_GRAPH,
        tail_outputs=names,
    )
    edge = Cut(
        id=EDGE,
        after="the model's output",
        frontier=(),
        head_graph=MODEL_GRAPH,
        tail_graph=None,
        head_outputs=names,
        head_flops=flops,
    )
    return cloud, edge


class FileDigest(FrozenModel):
    """Size and digest of one file of the bundle."""

    sha256: Sha256
    size_bytes: int = Field(ge=0)


class Manifest(FrozenModel):
    """Everything that the two sides must agree on."""

    schema_version: Literal[1] = SCHEMA_VERSION
    name: str = Field(pattern=f"^{NAME_PATTERN}$")
    created_by: str
    source: str
    inputs: tuple[Spec, ...]
    outputs: tuple[Spec, ...]
    labels: tuple[str, ...] = ()
    preprocess: Preprocess | None = None
    flops: int = 0
    parameters: int = 0
    cuts: tuple[Cut, ...]
    files: dict[Annotated[str, AfterValidator(_inside)], FileDigest]
    unoptimized: tuple[str, ...] = ()
    """Graphs that the runtime loads only if it leaves them as they are."""
    segments: tuple[Segment, ...] = ()
    """By which tails share what they have in common; none in older bundles."""

    @model_serializer(mode="wrap")
    def _without_added(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out fields that were added where they are empty, as bundles from before have it."""
        written: dict[str, Any] = write(self)
        return {k: v for k, v in written.items() if v or k not in ("unoptimized", "segments")}

    @model_validator(mode="after")
    def _holds_together(self) -> Self:
        """Every graph is a file with a digest, every cut has its own name, every tensor can cross."""
        named = {g for cut in self.cuts for g in (cut.head_graph, cut.tail_graph) if g}
        named |= {segment.graph for segment in self.segments}
        if missing := sorted((named | {MODEL_GRAPH}) - set(self.files)):
            raise ValueError(f"no digest for {', '.join(missing)}")
        ids = [cut.id for cut in (*self.cuts, *self.ends)]
        if len(set(ids)) != len(ids):
            raise ValueError("two cuts have the same id")
        places = {CLOUD: -1, **{cut.id: at for at, cut in enumerate(self.cuts)}, EDGE: len(ids)}
        for segment in self.segments:
            if not places.get(segment.cut, len(ids)) < places.get(segment.until, -1):
                raise ValueError(f"no segment goes from {segment.cut!r} to {segment.until!r}")
        specs = [*self.inputs, *self.outputs, *(spec for cut in self.cuts for spec in cut.frontier)]
        for spec in specs:
            if (
                not is_carried(spec.dtype)
                or spec.shape.count(BATCH_SIZE) > 1
                or min(spec.shape, default=1) < DATA_SIZE
                or spec.shape.count(DATA_SIZE) != len(spec.usual)
                or min(spec.usual, default=0) < 0
                or not _is_range(spec.drawn)
                or spec.white < 0
            ):
                raise ValueError(f"tensor {spec.name!r} cannot be {spec.dtype}{list(spec.shape)}")
        return self

    def __repr__(self) -> str:
        what = f"{plural(len(self.cuts), 'interior cut')}, {plural(len(self.files), 'file')}"
        return f"<Manifest of {self.name}: {what}, made from {self.source} by {self.created_by}>"

    @property
    def digest(self) -> str:
        """Sha256 in hex over the manifest's content, which holds the digest of every file."""
        content = json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(content.encode()).hexdigest()

    @property
    def split_digest(self) -> str:
        """Sha256 in hex over what the values at the cuts follow from: frontiers, graphs and weights.

        A bundle that gains files beside these, or another name, keeps it, and so its calibration.
        """
        graphs = {g for cut in self.cuts for g in (cut.head_graph, cut.tail_graph) if g}
        content = [
            [cut.model_dump(mode="json") for cut in self.cuts],
            [
                [name, file.sha256]
                for name, file in sorted(self.files.items())
                if name in graphs | {MODEL_GRAPH, WEIGHTS_FILE}
            ],
        ]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    @property
    def ends(self) -> tuple[Cut, Cut]:
        """The cuts `cloud` and `edge`."""
        return ends_of(self.inputs, self.outputs, self.flops)

    def segments_from(self, cut_id: str) -> tuple[Segment, ...]:
        """Return the segments that make the tail of a cut, in their order; none where one is missing."""
        by_cut = {segment.cut: segment for segment in self.segments}
        found: list[Segment] = []
        while cut_id != EDGE:
            if cut_id not in by_cut:
                return ()
            found.append(by_cut[cut_id])
            cut_id = found[-1].until
        return tuple(found)


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write the manifest, with its own digest beside it."""
    (folder / MANIFEST_FILE).write_bytes(manifest_bytes(manifest))


def manifest_bytes(manifest: Manifest) -> bytes:
    """Return the manifest as it is written, with its own digest beside it."""
    document = {"digest": manifest.digest, "manifest": manifest.model_dump(mode="json")}
    return (json.dumps(document, indent=1) + "\n").encode()


def manifest_mark(folder: Path) -> tuple[int, ...] | None:
    """Return what tells one manifest in `folder` from the next that replaces it; None: there is none."""
    try:
        found = (folder / MANIFEST_FILE).stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def mended_by(folder: Path, order: str) -> str:
    """Return what mends a file beside the manifest: `order`, as `Calibrate again with: …`, or its removal.

    Of a signed bundle neither does: what is made here nobody has signed.
    """
    if (folder / SIGNATURE_FILE).exists():
        return "The bundle is signed: fetch or copy it again, whole"
    return f"{order}, or remove the file"


def read_manifest(folder: Path) -> Manifest:
    """Read the manifest of the bundle in `folder`; BundleError when there is none, or one that is damaged."""
    return read_manifest_file(folder)[0]


def read_manifest_file(folder: Path) -> tuple[Manifest, bytes]:
    """Return the manifest of the bundle in `folder`, and the bytes of its file; see `read_manifest`."""
    path = folder / MANIFEST_FILE
    try:
        file = read_document(path)
        document = json.loads(file)
    except (FileNotFoundError, NotADirectoryError):
        raise BundleError(
            f"{folder} is no bundle: it has no {MANIFEST_FILE}. "
            "Make one with: splitpoint import MODEL --out BUNDLE."
        ) from None
    except OSError as error:
        raise BundleError(
            f"{path} cannot be read: {reason(error)}. Let this user read it, or look at the disk."
        ) from error
    except (ValueError, RecursionError) as error:
        raise BundleError(
            f"{path} is damaged: {error}. Copy or import the bundle again."
        ) from error
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
    return manifest, file
