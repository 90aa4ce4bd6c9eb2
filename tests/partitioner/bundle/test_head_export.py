"""Bundles that hold heads alone: what is written, and what cannot be taken apart."""

import hashlib
import shutil
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from partitioner.bundle.bundle import Bundle
from partitioner.bundle.contents import Contents
from partitioner.bundle.exits import BundleExits
from partitioner.bundle.head_export import _copy_parts, export_heads
from partitioner.bundle.heads import HEADS_FILE
from partitioner.bundle.manifest import (
    MANIFEST_FILE,
    WEIGHTS_FILE,
    WEIGHTS_MAP_FILE,
    write_manifest,
)
from partitioner.bundle.weights_map import ByteRange
from partitioner.graph.cuts import find_cuts
from partitioner.importer.extension import add_cuts
from partitioner.importer.importer import ImportOptions, import_model
from partitioner.runtime.sessions import random_feeds
from partitioner.search.explorer import graph_of
from protos.errors import BundleError, UnknownNameError, UsageError
from tests.kit.heads import contents as contents_of
from tests.kit.heads import middle


@pytest.mark.parametrize("name", ["residual", "inception", "transformer", "two_towers", "unet"])
def test_held_heads_compute_what_those_of_the_whole_bundle_do(
    name: str, bundles: Callable[[str], Bundle], tmp_path: Path
) -> None:
    bundle = bundles(name)
    feeds = random_feeds(bundle.inputs, np.random.default_rng(0), batch=2)
    for cut in bundle.manifest.cuts[:: max(1, len(bundle.manifest.cuts) // 4)]:
        held = export_heads(bundle, tmp_path / cut.id, [cut.id])
        assert held.digest == bundle.digest
        assert list(held.cuts) == ["cloud", cut.id]
        ours, theirs = held.open_head(cut.id).run(feeds), bundle.open_head(cut.id).run(feeds)
        assert ours.keys() == theirs.keys()
        assert all(np.array_equal(ours[key], theirs[key]) for key in ours)


def test_device_holds_neither_tails_nor_their_weights(
    residual_bundle: Bundle, middle_head: Bundle
) -> None:
    cut = middle(residual_bundle)
    here = {
        p.relative_to(middle_head.path).as_posix()
        for p in middle_head.path.rglob("*")
        if p.is_file()
    }
    assert here == {
        MANIFEST_FILE, HEADS_FILE, WEIGHTS_MAP_FILE, WEIGHTS_FILE, f"graphs/{cut}.head.onnx",
    }  # fmt: skip
    whole_bytes = (residual_bundle.path / WEIGHTS_FILE).stat().st_size
    weights = (middle_head.path / WEIGHTS_FILE).read_bytes()
    # Nodes are in the order of the network, and weights in that of the nodes: the head's come first.
    assert len(weights) < 0.5 * whole_bytes
    assert weights == (residual_bundle.path / WEIGHTS_FILE).read_bytes()[: len(weights)]
    assert middle_head.size_bytes < 0.5 * residual_bundle.size_bytes


def test_first_and_last_head_leave_a_hole_only_where_neither_reads(
    bundles: Callable[[str], Bundle], tmp_path: Path
) -> None:
    bundle = bundles("two_towers")
    for cut in bundle.manifest.cuts:
        held = export_heads(bundle, tmp_path / cut.id, [cut.id])
        assert held.held is not None
        stretches = held.held.parts(held.contents, held.manifest)
        part = bytearray((held.path / WEIGHTS_FILE).read_bytes() if stretches else b"")
        for one in stretches:
            assert cut.id in one.heads
            part[one.offset : one.end] = bytes(one.size_bytes)
        assert not any(part)


def test_only_heads_that_exist_can_be_held(residual_bundle: Bundle, tmp_path: Path) -> None:
    for name in ("cut-99", "edge", "cloud"):
        with pytest.raises(
            UnknownNameError, match=f"no head of a cut '{name}'.* It has heads of: cut-"
        ):
            export_heads(residual_bundle, tmp_path / "held", ["cut-01", name])
    assert list(tmp_path.iterdir()) == []
    every = export_heads(residual_bundle, tmp_path / "held")
    assert list(every.cuts) == [cut for cut in residual_bundle.cuts if cut != "edge"]


def test_bundle_without_a_map_cannot_be_taken_apart(
    residual_bundle: Bundle, tmp_path: Path
) -> None:
    shutil.copytree(residual_bundle.path, tmp_path / "old")
    files = {n: f for n, f in residual_bundle.manifest.files.items() if n != WEIGHTS_MAP_FILE}
    write_manifest(tmp_path / "old", residual_bundle.manifest.model_copy(update={"files": files}))
    old = Bundle.load(tmp_path / "old")
    with pytest.raises(BundleError, match="keeps no map of its weights.*Import the model again"):
        export_heads(old, tmp_path / "held")
    assert not (tmp_path / "held").exists()


def test_added_cut_is_in_the_map_too_and_the_old_bundle_keeps_its_own(
    onnx_files: Callable[[str], Path], tmp_path: Path
) -> None:
    few = tmp_path / "few"
    sparse = import_model(onnx_files("residual"), few, ImportOptions(max_cuts=1))
    before = (few / WEIGHTS_MAP_FILE).read_bytes()
    found = [cut for cut in find_cuts(graph_of(sparse)) if cut.flops > 0][-2:]
    made, added = add_cuts(sparse, found, tmp_path / "more")
    assert {path.stat().st_nlink for path in made.path.rglob("*.*")} == {
        1
    }  # so that it can be signed
    held = export_heads(made, tmp_path / "held", [added[-1]])
    feeds = random_feeds(made.inputs, np.random.default_rng(0))
    ours, theirs = held.open_head(added[-1]).run(feeds), made.open_head(added[-1]).run(feeds)
    assert all(np.array_equal(ours[key], theirs[key]) for key in theirs)
    assert (few / WEIGHTS_MAP_FILE).read_bytes() == before
    Bundle.load(few)


@pytest.mark.parametrize("where", [".", "profiles/held", "..", "link"])
def test_heads_never_take_the_place_of_the_bundle_they_come_from(
    where: str, residual_bundle: Bundle, tmp_path: Path
) -> None:
    whole = Bundle.load(shutil.copytree(residual_bundle.path, tmp_path / "above" / "whole"))
    shutil.copy(whole.path / MANIFEST_FILE, tmp_path / "above")  # a bundle, at first sight
    (whole.path / "link").symlink_to(whole.path)
    before = contents_of(tmp_path)
    with pytest.raises(UsageError, match="would take the place of the bundle"):
        export_heads(whole, whole.path / where, replace=True)
    assert contents_of(tmp_path) == before


def test_exits_of_another_model_are_refused_before_heads_are_written(
    residual_bundle: Bundle, exiting: Bundle, tmp_path: Path
) -> None:
    whole = Bundle.load(shutil.copytree(residual_bundle.path, tmp_path / "whole"))
    exits = exiting.known_exits()
    meta = exits.meta.model_copy(update={"split_digest": "f00d" * 16})
    BundleExits(meta, exits.by_cut).save(whole.path)
    whole = Bundle.load(whole.path)
    with pytest.raises(BundleError, match="holds the exits of another model: f00df00df00d"):
        export_heads(whole, tmp_path / "held")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m", "whole"]


def test_parts_larger_than_the_memory_can_be_copied(tmp_path: Path) -> None:
    (tmp_path / WEIGHTS_FILE).parent.mkdir()
    with (tmp_path / WEIGHTS_FILE).open("wb") as file:
        file.seek(40 << 20)
        file.write(b"end")
    size_bytes = (40 << 20) - 3
    sha256 = hashlib.sha256(bytes(size_bytes - 2) + b"en").hexdigest()
    part = ByteRange(offset=5, size_bytes=size_bytes, sha256=sha256, heads=())
    contents = Contents(tmp_path, {})
    contents.hold_parts(WEIGHTS_FILE, [part])
    tracemalloc.start()
    try:
        _copy_parts(contents, tmp_path / "part", [part])
        _, most_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    copied = (tmp_path / "part").read_bytes()
    assert (len(copied), copied[-4:]) == ((40 << 20) + 2, b"\0\0en")
    assert most_bytes < 4 << 20
