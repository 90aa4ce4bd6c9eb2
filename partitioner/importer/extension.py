"""More cuts for a bundle that exists: a new version of it, with a digest of its own."""

import os
import shutil
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import numpy as np
import onnx

from partitioner.bundle.bundle import Bundle
from partitioner.bundle.calibration import BundleCalibration
from partitioner.bundle.contents import digest_file
from partitioner.bundle.exits import BundleExits
from partitioner.bundle.folder import new_folder
from partitioner.bundle.manifest import (
    MODEL_GRAPH,
    PROFILES_FOLDER,
    WEIGHTS_MAP_FILE,
    Cut,
    write_manifest,
)
from partitioner.bundle.verification import verify_bundle
from partitioner.graph.cuts import FoundCut
from partitioner.graph.graph import Graph
from partitioner.importer.onnx_graph import constant_nodes
from partitioner.importer.pieces import PieceError, PieceWriter
from partitioner.importer.weights_map import write_weights_map
from partitioner.runtime.sessions import random_feeds
from protos.errors import BundleError, ModelError
from protos.tensors import Array


def add_cuts(
    bundle: Bundle, found: Sequence[FoundCut], out: Path, *, replace: bool = False
) -> tuple[Bundle, tuple[str, ...]]:
    """Write `bundle` with the cuts of `found` added to `out`; return it, and the ids of the new cuts.

    The cuts that it has keep their ids, and its profiles, calibration and exits come along. `out` may be
    where the bundle lies; it appears whole or not at all, after every new cut has given what the whole
    model gives. Raises BundleError when `out` exists and `replace` is not set, ModelError when a new cut
    is wrong.
    """
    if bundle.graph is None:
        raise BundleError(f"{bundle.path} keeps no graph to cut. Import the model again.")
    with new_folder(out, replace=replace) as folder:
        bundle.folder_for("cuts")
        _bring_files(bundle, folder, out)
        model = onnx.load(str(folder / MODEL_GRAPH), load_external_data=False)
        places = _places(model, bundle.graph, folder)
        writer = PieceWriter(model, bundle.graph, places, folder, _feeds(bundle))
        try:
            added = tuple(
                writer.write_cut(cut_id, cut)
                for cut_id, cut in zip(_free_ids(bundle, len(found)), found, strict=True)
            )
        except PieceError as error:
            raise ModelError(
                f"the runtime does not take a new cut: {error}. The bundle is left as it was."
            ) from error
        cuts = sorted((*bundle.manifest.cuts, *added), key=lambda cut: cut.head_flops)
        write_weights_map(folder, cuts)
        cloud, edge = bundle.manifest.ends
        segments = writer.write_segments((cloud, *cuts, edge))
        anew = _made_anew(bundle)
        linked = {k: v for k, v in bundle.manifest.files.items() if k not in anew}
        made = {
            WEIGHTS_MAP_FILE,
            *(g for c in added for g in (c.head_graph, c.tail_graph) if g),
            *(segment.graph for segment in segments),
        }
        manifest = bundle.manifest.model_copy(
            update={
                "created_by": f"splitpoint {version('splitpoint')}",
                "cuts": tuple(cuts),
                "files": {**linked, **{name: digest_file(folder / name) for name in sorted(made)}},
                "unoptimized": (
                    *(name for name in bundle.manifest.unoptimized if name not in anew),
                    *writer.unoptimized,
                ),
                "segments": segments,
            }
        )
        write_manifest(folder, manifest)
        _check_added(Bundle.load(folder), added)
        if bundle.profiles.is_dir():
            shutil.copytree(bundle.profiles, folder / PROFILES_FOLDER)
        _carry_findings(bundle, folder, manifest.split_digest)
        if replace:
            bundle.folder_for("cuts")
    return Bundle.load(out), tuple(cut.id for cut in added)


def _bring_files(bundle: Bundle, folder: Path, out: Path) -> None:
    """Bring the files along: by a second name where the first will go, with the folder that has it.

    Where the old bundle stays, each has files of its own: what is written to one is not written to the other.
    """
    moves = out.resolve() == bundle.path.resolve()
    anew = _made_anew(bundle)
    for name in bundle.manifest.files:
        if name in anew:
            continue
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            if moves:
                os.link(bundle.path / name, target)
        except OSError:  # a file system without links
            moves = False
        if not moves:
            shutil.copyfile(bundle.path / name, target)


def _made_anew(bundle: Bundle) -> frozenset[str]:
    """Return the files that more cuts make others of: the map of the weights, and the segments."""
    return frozenset({WEIGHTS_MAP_FILE, *(one.graph for one in bundle.manifest.segments)})


def _carry_findings(bundle: Bundle, folder: Path, split_digest: str) -> None:
    """Bring along what was found at the cuts that the bundle has: it stays true where there are more."""
    update = {"split_digest": split_digest}
    if calibration := bundle.calibration:
        meta = calibration.meta.model_copy(update=update)
        BundleCalibration(meta, calibration.ranges).save(folder)
    if exits := bundle.exits:
        BundleExits(exits.meta.model_copy(update=update), exits.by_cut).save(folder)


def _places(model: onnx.ModelProto, graph: Graph, folder: Path) -> list[int]:
    """Return the index in the model of each node of the graph, which it must be the graph of."""
    constants = constant_nodes(model.graph)
    places = [at for at in range(len(model.graph.node)) if at not in constants]
    made = [tuple(name for name in model.graph.node[at].output if name) for at in places]
    if made != [node.outputs for node in graph.nodes]:
        raise BundleError(
            f"the graph in {folder.name} is not that of its model. Import the model again."
        )
    return places


def _free_ids(bundle: Bundle, count: int) -> list[str]:
    numbers = (f"cut-{number:02d}" for number in range(1, count + len(bundle.cuts) + 1))
    return [cut_id for cut_id in numbers if cut_id not in bundle.cuts][:count]


def _feeds(bundle: Bundle) -> dict[str, Array]:
    return (bundle.samples() or [random_feeds(bundle.inputs, np.random.default_rng(0))])[0]


def _check_added(bundle: Bundle, added: Sequence[Cut]) -> None:
    for check in verify_bundle(bundle.only([cut.id for cut in added]), [_feeds(bundle)]):
        if not check.ok:
            what = check.failure or (
                f"it differs from the whole model by {check.max_abs_diff:.2g}. "
                "The bundle is left as it was."
            )
            raise ModelError(f"cut {check.cut} cannot be added: {what}")
