"""From the search to the bundle: survivors, the cuts that are added, and what they measure."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from partitioner.bundle.bundle import Bundle
from partitioner.bundle.exit_outcomes import Outcomes
from partitioner.bundle.exits import BundleExits, Exit, ExitMeta, ExitsMeta
from partitioner.bundle.manifest import WEIGHTS_FILE
from partitioner.bundle.verification import CutCheck, verify_bundle
from partitioner.calibration.calibrator import calibrate
from partitioner.graph.cuts import find_cuts
from partitioner.importer import extension
from partitioner.importer.extension import add_cuts
from partitioner.importer.importer import ImportOptions, import_model
from partitioner.network.link import Link
from partitioner.planning.plan import plan
from partitioner.profiles.profile import Profile
from partitioner.profiles.profiler import measure_profile
from partitioner.profiles.store import load_profiles
from partitioner.search.explorer import (
    best_on,
    extend_profiles,
    known_cuts,
    node_seconds,
    search_bundle,
)
from partitioner.search.placement import placement_cost, work_of
from partitioner.search.survivors import Assumption, assumptions, found_cut
from protos.errors import BundleError, ModelError, ProfileError
from tests.kit.graphs import graph_of
from tests.kit.samples import samples

LINK = Link(1e6, 1e8, 0.001)


@pytest.fixture(scope="module")
def measured(onnx_files: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A bundle with room for more cuts, and a profile measured here."""
    bundle = import_model(
        onnx_files("residual"), tmp_path_factory.mktemp("sparse") / "net", ImportOptions(max_cuts=1)
    )
    measure_profile(bundle, budget_s=0).save(bundle.profiles / "edge.json")
    return bundle


@pytest.fixture
def sparse(measured: Bundle, tmp_path: Path) -> Bundle:
    """A copy of it, to change."""
    shutil.copytree(measured.path, tmp_path / "net")
    return Bundle.load(tmp_path / "net")


def test_added_cuts_give_what_the_model_gives_under_new_ids(sparse: Bundle) -> None:
    before = dict(sparse.cuts)
    weights = (sparse.path / WEIGHTS_FILE).stat().st_ino
    known = {frozenset(spec.name for spec in cut.frontier) for cut in before.values()}
    new = [cut for cut in find_cuts(graph_of(sparse)) if frozenset(cut.frontier) not in known]
    made, added = add_cuts(sparse, new[:4], sparse.path, replace=True)
    assert len(added) == 4
    assert made.digest != sparse.digest
    assert {name: made.cuts[name] for name in before} == before
    assert [cut.head_flops for cut in made.manifest.cuts] == sorted(
        cut.head_flops for cut in made.manifest.cuts
    )
    feeds = {spec.name: np.ones(spec.sized(), spec.dtype) for spec in made.inputs}
    assert all(check.ok for check in verify_bundle(made, [feeds]))
    assert (made.path / WEIGHTS_FILE).stat().st_ino == weights
    assert [path.name for path in made.path.parent.iterdir() if path.name.startswith(".")] == []


def test_calibration_and_exits_stay_true_when_cuts_are_added(sparse: Bundle) -> None:
    (cut,) = sparse.manifest.cuts
    calibrate(sparse, samples(sparse, 33)).save(sparse.path)
    outcomes = Outcomes(np.ones(2, np.float32), np.ones(2, np.bool_))
    exit_meta = ExitMeta(cut=cut.id, temperature=1, threshold=0.5, head_share=0.1)
    meta = ExitsMeta(
        split_digest=sparse.manifest.split_digest, made_at="2026-01-01T00:00:00+00:00",
        agreement=0.9, trained_samples=2, held_out_samples=2, exits=(exit_meta,),
    )  # fmt: skip
    BundleExits(meta, {cut.id: Exit(exit_meta, b"graph", outcomes)}).save(sparse.path)
    before = Bundle.load(sparse.path)
    made, _ = add_cuts(before, find_cuts(graph_of(before))[:2], before.path, replace=True)
    assert made.manifest.split_digest != before.manifest.split_digest
    assert before.calibration
    assert made.calibration
    assert made.calibration.ranges.digest == before.calibration.ranges.digest
    assert made.calibration.accuracies == before.calibration.accuracies
    assert made.exits
    assert made.exits.find(cut.id).graph == b"graph"


def test_cut_that_computes_something_else_leaves_the_bundle_as_it_was(
    sparse: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    def differ(bundle: Bundle, _feeds: object) -> list[CutCheck]:
        return [CutCheck(cut, {"y": 1.0}, ok=False) for cut in bundle.cuts]

    monkeypatch.setattr(extension, "verify_bundle", differ)
    files = {path: path.read_bytes() for path in sparse.path.rglob("*") if path.is_file()}
    with pytest.raises(ModelError, match="left as it was"):
        add_cuts(sparse, find_cuts(graph_of(sparse))[:1], sparse.path, replace=True)
    assert {path: path.read_bytes() for path in sparse.path.rglob("*") if path.is_file()} == files


def test_new_place_for_the_bundle_must_be_free(sparse: Bundle, tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    with pytest.raises(BundleError, match="exists"):
        add_cuts(sparse, find_cuts(graph_of(sparse))[:1], tmp_path / "taken")


def test_bundle_without_its_graph_is_told_to_be_imported_again(sparse: Bundle) -> None:
    files = {name: file for name, file in sparse.manifest.files.items() if name != "graph.json"}
    old = Bundle(sparse.path, sparse.manifest.model_copy(update={"files": files}))
    profile = Profile.load(sparse.profiles / "edge.json")
    with pytest.raises(BundleError, match="Import the model again"):
        search_bundle(old, profile, profile, LINK, assumptions())


def test_profile_without_seconds_of_nodes_is_to_be_measured_again(sparse: Bundle) -> None:
    profile = Profile.load(sparse.profiles / "edge.json").model_copy(update={"node_s": None})
    with pytest.raises(ProfileError, match="splitpoint profile"):
        node_seconds(sparse, profile)


def test_profiles_of_this_machine_grow_by_the_new_cuts_and_others_are_named(sparse: Bundle) -> None:
    here = Profile.load(sparse.profiles / "edge.json")
    elsewhere = here.machine.model_copy(update={"hostname": "elsewhere"})
    here.model_copy(update={"machine": elsewhere}).save(sparse.profiles / "cloud.json")
    new = find_cuts(graph_of(sparse))[:2]
    made, added = add_cuts(sparse, new, sparse.path.with_name("more"))
    (sparse.profiles / "phone.json").write_text("{bad")
    profiles, wrong = load_profiles(sparse)
    assert len(wrong) == 1
    assert "phone.json cannot be read" in wrong[0]
    extended, stale = extend_profiles(profiles, made, added, budget_s=0)
    assert (extended, stale) == (("edge.json",), ("cloud.json",))
    grown = Profile.load(made.profiles / "edge.json")
    assert set(grown.cuts) == set(made.cuts)
    for name, cut in here.cuts.items():
        # What was timed stays; the estimates are brought in line with those of the new cuts.
        for before, after in ((cut.head, grown.cuts[name].head), (cut.tail, grown.cuts[name].tail)):
            assert (before and before.timing) == (after and after.timing)
        assert grown.cuts[name].codecs == cut.codecs
    assert len(plan(made, LINK, grown, grown.scaled(0.1)).options) > len(here.cuts)
    with pytest.raises(ProfileError, match="Measure it again"):
        plan(made, LINK, grown, Profile.load(made.profiles / "cloud.json"))


def test_best_on_a_link_is_no_dearer_than_any_cut_of_the_bundle(sparse: Bundle) -> None:
    edge = Profile.load(sparse.profiles / "edge.json").scaled(100)
    cloud = edge.scaled(0.01)
    whole = edge.cuts["edge"].head
    assert whole is not None
    found = best_on(sparse, edge, cloud, LINK, Assumption())
    assert found.total_s <= (edge.resume_s + whole.frame_s) * (1 + 1e-9)
    survivors = search_bundle(sparse, edge, cloud, LINK, [Assumption()])
    assert known_cuts(sparse, survivors).count(None) >= len(survivors) - 1


def test_placement_of_all_on_one_side_is_no_cut(residual_bundle: Bundle) -> None:
    graph = graph_of(residual_bundle)
    work, groups = work_of(graph, [[1.0] * len(graph.nodes)] * 2)
    for tier in (0, 1):
        placement = placement_cost(work, [tier] * work.items, [LINK], (1.0, 1.0))
        assert found_cut(graph, groups, placement) is None
