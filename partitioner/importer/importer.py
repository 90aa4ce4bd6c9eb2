"""Importing, from the source to the bundle on the disk: the steps in their order."""

import re
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path

import numpy as np
import onnx

from partitioner.bundle.bundle import Bundle, save_samples
from partitioner.bundle.contents import digest_file
from partitioner.bundle.folder import found_beside, lost_text, new_folder
from partitioner.bundle.graph_file import save_graph
from partitioner.bundle.manifest import (
    NAME_PATTERN,
    WEIGHTS_FILE,
    Cut,
    FileDigest,
    Manifest,
    ends_of,
    write_manifest,
)
from partitioner.common.defaults import MAX_CUTS
from partitioner.common.units import plural
from partitioner.graph.cuts import FoundCut, find_cuts
from partitioner.importer.class_names import class_names
from partitioner.importer.layer_names import layer_names
from partitioner.importer.onnx_file import load_model, strip_remarks
from partitioner.importer.onnx_graph import read_graph
from partitioner.importer.pieces import PieceError, PieceWriter
from partitioner.importer.preprocessing import parse_preprocess, prepend
from partitioner.importer.subgraphs import specs_of
from partitioner.importer.torch_export import export_factory, is_factory
from partitioner.importer.value_specs import input_specs, trace
from partitioner.importer.values.input_shapes import check_types, pin_inputs
from partitioner.importer.weights import (
    constants_to_initializers,
    make_weights_dense,
    move_weights,
    order_by_use,
)
from partitioner.importer.weights_map import write_weights_map
from partitioner.inputs.files import load_inputs
from partitioner.inputs.images import image_input
from partitioner.runtime.sessions import random_feeds
from protos.errors import SourceError, UsageError
from protos.tensors import TensorSpec

_IR_VERSION = 8
"""The first that lets weights be absent from the inputs and kept in external files."""


@dataclass(frozen=True)
class ImportOptions:
    """What the caller may say about a model beyond where it is."""

    name: str | None = None
    input_shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    input_dtypes: Mapping[str, str] = field(default_factory=dict)
    preprocess: str | None = None
    frame: str | None = None
    white: int | None = None
    """The number that is white in images of more than 8 bits, as 4095 of a camera of 12; None: 65535."""
    labels: tuple[str, ...] = ()
    samples: Path | None = None
    """A folder of images, an .npy or an .npz, in the form that the finished bundle takes."""
    max_cuts: int = MAX_CUTS
    replace: bool = False


def import_model(
    source: str | Path,
    out: str | Path,
    options: ImportOptions | None = None,
    on_step: Callable[[str], None] = lambda _: None,
    on_remark: Callable[[str], None] = lambda _: None,
) -> Bundle:
    """Make the bundle `out` from an ONNX file or a torch factory (`file.py:build`), and load it.

    Each head and tail is opened, one at a time; `on_remark` hears of cuts that are left out because theirs
    do not open, and of what else a reader should know. The folder appears whole or not at all. Raises
    ModelError when the source cannot be used, and BundleError when `out` exists and `options.replace` is
    not set.
    """
    chosen = options or ImportOptions()
    if chosen.frame and not chosen.preprocess:
        raise UsageError(
            "`frame` is the size of images, which need `preprocess`. Give both, or none."
        )
    target = Path(out)
    name = _checked_name(chosen.name or target.absolute().name.removesuffix(".bundle"))
    before = found_beside(target)
    with new_folder(target, replace=chosen.replace) as folder:
        (folder / "graphs").mkdir()
        on_step("reading the model")
        model, parameters, layers = _read(str(source), folder, chosen, on_remark)
        metadata = {entry.key: entry.value for entry in model.metadata_props}
        wanted = None
        if chosen.preprocess:
            wanted = parse_preprocess(chosen.preprocess, model, chosen.frame)
            prepend(model, wanted)
        on_step("running it to learn its values")
        white = _white_input(input_specs(model), chosen.white)
        takes = [white.get(spec.name, spec) for spec in input_specs(model)]
        samples = load_inputs(chosen.samples, takes, say=on_remark) if chosen.samples else []
        values = trace(model, folder / "graphs", samples)
        values |= {name: replace(values[name], white=spec.white) for name, spec in white.items()}
        graph, places = read_graph(model, values, layers)
        on_step("finding the cuts")
        cuts = find_cuts(graph, chosen.max_cuts, on_remark)
        feeds = (
            samples[0] if samples else random_feeds(specs_of(graph.inputs, graph.values), _rng())
        )
        writer = PieceWriter(model, graph, places, folder, feeds)
        on_step("opening the whole model")
        writer.write_model()
        made = _write_cuts(writer, cuts, on_step, on_remark)
        write_weights_map(folder, made)
        save_graph(folder, graph)
        save_samples(folder, samples)
        inputs, outputs = (specs_of(ends, graph.values) for ends in (graph.inputs, graph.outputs))
        cloud, edge = ends_of(inputs, outputs, graph.flops)
        segments = writer.write_segments((cloud, *made, edge))
        manifest = Manifest(
            name=name,
            created_by=f"splitpoint {version('splitpoint')}",
            source=Path(source).name,
            inputs=inputs,
            outputs=outputs,
            labels=class_names(chosen.labels, metadata, inputs, outputs),
            preprocess=wanted,
            flops=graph.flops,
            parameters=parameters,
            cuts=made,
            files=_digests(folder),
            unoptimized=tuple(writer.unoptimized),
            segments=segments,
        )
        write_manifest(folder, manifest)
    if lost := lost_text(before, target):
        on_remark(lost)
    return Bundle.load(target)


def _checked_name(name: str) -> str:
    if not re.fullmatch(NAME_PATTERN, name):
        raise UsageError(
            f"{name!r} cannot be the name of a bundle. Give a `name` with letters, digits, dots, "
            "dashes and underscores only."
        )
    return name


def _white_input(specs: Sequence[TensorSpec], white: int | None) -> dict[str, TensorSpec]:
    """Return by its name the input of images with the number that is white; none where nobody says it."""
    if white is None:
        return {}
    if white < 1:
        raise UsageError(
            f"`white` {white} is no white. Give the largest value, as 4095 of 12 bits."
        )
    try:
        spec = image_input(specs)
    except SourceError as error:
        raise UsageError(f"`white` is of images, and {error}") from error
    return {spec.name: replace(spec, white=white)}


def _rng() -> np.random.Generator:
    return np.random.default_rng(0)


def _write_cuts(
    writer: PieceWriter,
    cuts: Sequence[FoundCut],
    on_step: Callable[[str], None],
    on_remark: Callable[[str], None],
) -> tuple[Cut, ...]:
    made: list[Cut] = []
    left_out: list[str] = []
    for number, cut in enumerate(cuts, start=1):
        on_step(f"writing and opening the heads and tails: cut {number} of {len(cuts)}")
        try:
            made.append(writer.write_cut(f"cut-{len(made) + 1:02d}", cut))
        except PieceError as error:
            left_out.append(str(error))
    if left_out:
        on_remark(
            f"{plural(len(left_out), 'cut')} left out, as the runtime does not take a head or a tail: "
            f"{left_out[0]}."
        )
    if writer.unoptimized:
        on_remark(
            f"the runtime may not optimise {', '.join(writer.unoptimized)}: it does not load then."
        )
    if not made:
        on_remark(
            "the model has no place to cut that works: it runs whole, on the edge or in the cloud."
        )
    return tuple(made)


def _read(
    source: str, folder: Path, options: ImportOptions, on_remark: Callable[[str], None]
) -> tuple[onnx.ModelProto, int, dict[str, str]]:
    """Return the model with concrete inputs and its weights moved into the bundle, their number, and the
    names of its layers."""
    with tempfile.TemporaryDirectory(prefix=".export.", dir=folder) as scratch:
        path = Path(source)
        if is_factory(source):
            path = Path(scratch) / "model.onnx"
            export_factory(source, options.input_shapes, options.input_dtypes, path, on_remark)
        model = load_model(path)
        layers = layer_names(model.graph)
        strip_remarks(model)
        if not is_factory(source):
            check_types(model, options.input_dtypes)
        shapes = {} if is_factory(source) else options.input_shapes
        pin_inputs(model, shapes)
        model.ir_version = max(model.ir_version, _IR_VERSION)
        make_weights_dense(model.graph)
        constants_to_initializers(model.graph)
        order_by_use(model.graph)
        return model, move_weights(model.graph, path.parent, folder / WEIGHTS_FILE), layers


def _digests(folder: Path) -> dict[str, FileDigest]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): digest_file(path) for path in files}
