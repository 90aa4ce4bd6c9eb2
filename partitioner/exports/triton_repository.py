"""A model repository for Triton: the whole model, the tails, and what decodes the frontiers of codecs."""

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import NoneType

from partitioner.bundle.bundle import Bundle
from partitioner.bundle.manifest import Cut
from partitioner.common.arguments import need
from partitioner.common.defaults import DEFAULT_THREADS, EXPORT_BACKEND, EXPORT_BATCH_SIZE
from partitioner.common.files import whole_folder
from partitioner.common.progress import OnProgress, unheard
from partitioner.exports import python_model
from partitioner.exports.decoder_graph import build_in, decoder
from partitioner.exports.tail_graph import GRAPH, outputs_of, read_tail, write_model
from partitioner.exports.triton_config import (
    BACKENDS,
    PYTHON,
    backend_config,
    config_text,
    ensemble_config,
    identity_of,
    why_unbatched,
)
from partitioner.runtime.failures import Failure
from partitioner.runtime.row_independence import dependence
from partitioner.runtime.sessions import RuntimeOptions, Stage, open_session
from protos import inference_pb2 as oip
from protos.codecs.base import Codec
from protos.codecs.plain_tensors import PLAIN_CODECS, plain_codecs, plain_frontier
from protos.codecs.registry import RAW, codec_name, get_codec, is_calibrated
from protos.errors import FileError, ModelError, UsageError
from protos.names import EDGE, plain_model_name, plain_model_version
from protos.tensors import TensorSpec

CONTENTS = "splitpoint.json"
"""In the repository, beside its models: what was exported."""
_SCHEMA_VERSION = 1


@dataclass(frozen=True)
class TritonOptions:
    """How a bundle is exported. `cuts`, `codecs`: none of them means all that there are."""

    cuts: Sequence[str] = ()
    codecs: Sequence[str] = ()
    backend: str = EXPORT_BACKEND
    ensembles: bool = True
    """Decode in models of their own, from which requests go on to the tail; else in copies of the tail."""
    model_version: int | None = None
    """None: a number that no other version of the bundle has, so that an edge can ask for just this one."""
    max_batch_size: int = EXPORT_BATCH_SIZE
    """Rows of several requests that are computed together, where they do not depend on one another."""
    threads: int = DEFAULT_THREADS
    replace: bool = False

    def __post_init__(self) -> None:
        if self.backend not in BACKENDS:
            raise UsageError(
                f"there is no backend {self.backend!r} here. Use {' or '.join(BACKENDS)}."
            )
        for name in ("model_version", "max_batch_size"):
            number = getattr(self, name)
            if number is not None and number < 1:
                raise UsageError(f"`{name}` {number} has no meaning. Give 1 or more.")
        RuntimeOptions(self.threads)


@dataclass(frozen=True)
class ExportedModel:
    """One model of a repository, as clients see it."""

    name: str
    cut: str
    codec: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    why_unbatched: str
    """Why its requests are computed one by one; empty: they are batched."""


@dataclass(frozen=True)
class TritonExport:
    """What was exported."""

    path: Path
    models: tuple[ExportedModel, ...]
    left_out: dict[str, str] = field(default_factory=dict)
    """Cuts whose tail cannot be served by others, and why."""

    @property
    def size_bytes(self) -> int:
        """Bytes of all files."""
        return sum(path.stat().st_size for path in self.path.rglob("*") if path.is_file())


def export_triton(
    bundle: Bundle,
    out: Path,
    options: TritonOptions | None = None,
    on_progress: OnProgress = unheard,
) -> TritonExport:
    """Write a model repository to `out`; it appears whole or never.

    A model is called `<bundle>` or `<bundle>.<cut>`, and `<bundle>.<cut>.<codec>` where it decodes. Each has
    its own copy of the weights that it reads. Every tail is opened and run here. Raises FileError when `out`
    is in the way or the disk refuses, BundleError for a head-only bundle, UsageError or UnknownNameError for
    cuts and codecs that cannot be exported, ModelError where none of the cuts can.
    """
    need("bundle", bundle, Bundle, wanted="a Bundle, as Bundle.load(path) returns it")
    need("options", options, TritonOptions, NoneType, wanted="TritonOptions, or None")
    options = options or TritonOptions()
    bundle.need_whole("exporting tails")
    cuts, codecs = _cuts(bundle, options.cuts), _codecs(bundle, options.codecs)
    check_replaceable(bundle, out, replace=options.replace)
    with whole_folder(out) as folder:
        writer = _Writer(bundle, folder, options)
        models: list[ExportedModel] = []
        left_out: dict[str, str] = {}
        for at, cut in enumerate(cuts):
            on_progress(f"cut {cut.id}", at, len(cuts))
            try:
                models += writer.write_cut(cut, codecs)
            except ModelError as error:
                left_out[cut.id] = str(error)
        on_progress("done", len(cuts), len(cuts))
        if not models:
            raise ModelError(" ".join(left_out.values()))
        (folder / CONTENTS).write_text(_contents(bundle, options, writer.version, models))
        check_replaceable(
            bundle, out, replace=options.replace
        )  # as another may have come meanwhile
    return TritonExport(out, tuple(models), left_out)


def check_replaceable(bundle: Bundle, out: Path, *, replace: bool) -> None:
    """Raise FileError unless an export may come to `out`: before the work, not after it."""
    ours, theirs = bundle.path.resolve(), out.resolve()
    if ours.is_relative_to(theirs) or theirs.is_relative_to(ours):
        raise FileError(
            f"a repository in {out} would take the place of the bundle {bundle.path}, or lie in it. Give an "
            "`out` beside it."
        )
    if not out.exists():
        return
    if not out.is_dir():
        raise FileError(f"{out} is no folder, and stays. Give another `out`.")
    if not any(out.iterdir()):
        return
    if not (out / CONTENTS).is_file():
        raise FileError(
            f"{out} holds other things than an export of ours (there is no {CONTENTS}), and is left alone. "
            "Give an `out` that is new or empty."
        )
    if not replace:
        raise FileError(
            f"{out} holds an export already. Give another `out`, or `replace` to replace it."
        )


def _cuts(bundle: Bundle, wanted: Sequence[str]) -> list[Cut]:
    if EDGE in wanted:
        raise UsageError(f"at the cut {EDGE!r} nothing is left to serve. Leave it out.")
    named = list(dict.fromkeys(wanted)) or [each for each in bundle.cuts if each != EDGE]
    return [bundle.cut(cut) for cut in named]


def _codecs(bundle: Bundle, wanted: Sequence[str]) -> list[Codec]:
    names = list(dict.fromkeys(codec_name(name) for name in wanted))
    if others := [name for name in names if name not in PLAIN_CODECS]:
        raise UsageError(
            f"the codec {others[0]} cannot be exported: a graph has no nodes that decode it. There are "
            f"{', '.join(PLAIN_CODECS)}."
        )
    if not names:
        known = bundle.ranges is not None
        names = [name for name in PLAIN_CODECS if known or not is_calibrated(name)]
    return [get_codec(name, bundle.ranges) for name in names]


class _Writer:
    """Writes the models of one repository in the making."""

    def __init__(self, bundle: Bundle, folder: Path, options: TritonOptions) -> None:
        self._bundle = bundle
        self._folder = folder
        self._options = options
        self.version = options.model_version or plain_model_version(bundle.version_digest)
        """The number of the version."""
        self._begun: list[Path] = []
        """The folders of the cut that is being written."""

    def write_cut(self, cut: Cut, codecs: Sequence[Codec]) -> list[ExportedModel]:
        """Write the tail of a cut, and what decodes for it; or ModelError, and nothing of it stays."""
        codecs = plain_codecs(cut.frontier, codecs)
        _check_names(cut, codecs)
        self._begun.clear()
        try:
            tail, raw = self._write_tail(cut)
            return [raw, *(self._write_codec(cut, codec, tail, raw) for codec in codecs[1:])]
        except ModelError:
            for folder in self._begun:
                shutil.rmtree(folder)
            raise

    def _write_tail(self, cut: Cut) -> tuple[oip.ModelConfig, ExportedModel]:
        name = plain_model_name(self._bundle.name, cut.id, RAW.name)
        outputs = outputs_of(self._bundle, cut)
        for spec in (*cut.frontier, *outputs):
            if not spec.shape:
                raise ModelError(
                    f"{spec.name} of the cut {cut.id} has no axis, and Triton knows no such tensor. Use "
                    "another cut."
                )
        folder = self._version_folder(name)
        write_model(self._bundle, read_tail(self._bundle, cut), folder)
        unbatched = why_unbatched(cut.frontier, outputs)
        stage = self._open(folder, cut, outputs)
        unbatched = unbatched or dependence(stage)
        model = ExportedModel(name, cut.id, RAW.name, cut.frontier, outputs, unbatched)
        config = self._config(model, cut)
        self._write_config(config)
        return config, model

    def _write_codec(
        self, cut: Cut, codec: Codec, tail: oip.ModelConfig, raw: ExportedModel
    ) -> ExportedModel:
        name = plain_model_name(self._bundle.name, cut.id, codec.name)
        taken = plain_frontier(codec, cut.frontier)
        model = ExportedModel(name, cut.id, codec.name, taken, raw.outputs, raw.why_unbatched)
        if self._options.ensembles:
            self._write_ensemble(cut, codec, tail, model)
        else:
            graph = read_tail(self._bundle, cut)
            build_in(graph, codec, cut.frontier, self._bundle.ranges)
            folder = self._version_folder(name)
            write_model(self._bundle, graph, folder)
            self._write_config(self._config(model, cut))
        return model

    def _write_ensemble(
        self, cut: Cut, codec: Codec, tail: oip.ModelConfig, model: ExportedModel
    ) -> None:
        graph = decoder(codec, cut.frontier, self._bundle.ranges)
        made = {value.name for value in graph.graph.output}
        decoded = tuple(spec for spec in cut.frontier if spec.name in made)
        part = backend_config(
            f"{model.name}.decoder",
            plain_frontier(codec, decoded),
            decoded,
            backend=self._options.backend,
            threads=self._options.threads,
            parameters={},
            max_batch_size=tail.max_batch_size,
            queues=False,
        )
        (self._version_folder(part.name) / GRAPH).write_bytes(graph.SerializeToString())
        self._write_config(part)
        identity = self._identity(codec.name)
        whole = ensemble_config(
            model.name, model.inputs, model.outputs, part, tail, identity, self.version
        )
        # Copies, such as those of object stores, leave empty folders out.
        note = "An ensemble has no model of its own: its config.pbtxt names its parts.\n"
        (self._version_folder(model.name) / "README").write_text(note)
        self._write_config(whole)

    def _config(self, model: ExportedModel, cut: Cut) -> oip.ModelConfig:
        options = self._options
        return backend_config(
            model.name,
            model.inputs,
            model.outputs,
            backend=options.backend,
            threads=options.threads,
            parameters=self._identity(model.codec),
            max_batch_size=0 if model.why_unbatched else options.max_batch_size,
            optimize=cut.tail_graph not in self._bundle.manifest.unoptimized,
        )

    def _identity(self, codec: str) -> dict[str, str]:
        ranges = self._bundle.ranges if is_calibrated(codec) else None
        return identity_of(self._bundle.digest, ranges.mark if ranges else "")

    def _version_folder(self, name: str) -> Path:
        model = self._folder / name
        self._begun.append(model)
        folder = model / str(self.version)
        folder.mkdir(parents=True)
        return folder

    def _write_config(self, config: oip.ModelConfig) -> None:
        folder = self._folder / config.name
        (folder / "config.pbtxt").write_text(config_text(config))
        if config.backend == PYTHON:
            shutil.copyfile(python_model.__file__, folder / str(self.version) / "model.py")

    def _open(self, folder: Path, cut: Cut, outputs: tuple[TensorSpec, ...]) -> Stage:
        """Open what was written from the disk, as a server will; ModelError where the runtime refuses it."""
        optimize = cut.tail_graph not in self._bundle.manifest.unoptimized
        try:
            session = open_session(folder / GRAPH, RuntimeOptions(), optimize=optimize)
        except Exception as error:  # the runtime raises a dozen types of its own
            failure = Failure.of(error)
            raise ModelError(
                f"the tail of {cut.id} does not open as a model of its own: {failure.said}. "
                f"{failure.advice_on_running}"
            ) from error
        return Stage(session, cut.frontier, outputs)


def _check_names(cut: Cut, codecs: Sequence[Codec]) -> None:
    """Raise ModelError where a plain tensor would be called like another value that crosses."""
    for codec in codecs:
        names = [spec.name for spec in plain_frontier(codec, cut.frontier)]
        if len(set(names)) < len(names):
            raise ModelError(
                f"values that cross at {cut.id} are called like what {codec.name} makes of others: "
                f"{', '.join(names)}. Rename them in the model."
            )


def _contents(
    bundle: Bundle, options: TritonOptions, version: int, models: Sequence[ExportedModel]
) -> str:
    document = {
        "schema_version": _SCHEMA_VERSION,
        "bundle": bundle.name,
        "bundle_digest": bundle.digest,
        "model_version": version,
        "backend": options.backend,
        "models": [
            {"name": model.name, "cut": model.cut, "codec": model.codec} for model in models
        ],
    }
    return json.dumps(document, indent=1) + "\n"
