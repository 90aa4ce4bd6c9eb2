"""Bundles that hold heads alone: what is in them, what is checked, and what cannot be done with them."""

import json
import shutil
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from cloud_server.model_store import load_bundles
from cloud_server.server import CloudServer
from edge_client.cloud.download import fetch_bundle
from partitioner.bundle.bundle import Bundle
from partitioner.bundle.exits import EXITS_FILE, BundleExits
from partitioner.bundle.files import write_manifest
from partitioner.bundle.head_export import _copy_stretches, export_heads
from partitioner.bundle.heads import HEADS_FILE
from partitioner.bundle.manifest import MANIFEST_FILE, WEIGHTS_FILE, WEIGHTS_MAP_FILE
from partitioner.bundle.verification import verify_bundle
from partitioner.bundle.weights_map import ByteRange, load_weights_map
from partitioner.cli.main import app
from partitioner.graph.cuts import find_cuts
from partitioner.importer.extension import add_cuts
from partitioner.importer.importer import ImportOptions, import_model
from partitioner.network.link import Link
from partitioner.planning.plan import plan
from partitioner.profiles.profiler import measure_profile
from partitioner.profiles.store import find_profiles
from partitioner.runtime.sessions import random_feeds
from partitioner.search.explorer import graph_of
from protos.errors import (
    BundleError,
    MismatchError,
    ProfileError,
    SplitpointError,
    UnknownNameError,
    UsageError,
)
from protos.splitpoint_pb2 import FetchBundleResponse
from tests.kit.offers import Offer, all_pieces, offering, piece
from tests.kit.profiles import profile_of, profile_of_heads

runner = CliRunner()


def middle(bundle: Bundle) -> str:
    return bundle.manifest.cuts[len(bundle.manifest.cuts) // 2].id


@pytest.fixture
def held(residual_bundle: Bundle, tmp_path: Path) -> Bundle:
    """The head of one cut of the residual network."""
    return export_heads(residual_bundle, tmp_path / "held", [middle(residual_bundle)])


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
    residual_bundle: Bundle, held: Bundle
) -> None:
    cut = middle(residual_bundle)
    here = {p.relative_to(held.path).as_posix() for p in held.path.rglob("*") if p.is_file()}
    assert here == {
        MANIFEST_FILE, HEADS_FILE, WEIGHTS_MAP_FILE, WEIGHTS_FILE, f"graphs/{cut}.head.onnx",
    }  # fmt: skip
    whole_bytes = (residual_bundle.path / WEIGHTS_FILE).stat().st_size
    weights = (held.path / WEIGHTS_FILE).read_bytes()
    # Nodes are in the order of the network, and weights in that of the nodes: the head's come first.
    assert len(weights) < 0.5 * whole_bytes
    assert weights == (residual_bundle.path / WEIGHTS_FILE).read_bytes()[: len(weights)]
    assert held.size_bytes < 0.5 * residual_bundle.size_bytes


def test_first_and_last_head_leave_a_hole_only_where_neither_reads(
    bundles: Callable[[str], Bundle], tmp_path: Path
) -> None:
    bundle = bundles("two_towers")
    for cut in bundle.manifest.cuts:
        held = export_heads(bundle, tmp_path / cut.id, [cut.id])
        assert held.held is not None
        stretches = held.held.stretches(held.path, held.manifest)
        part = bytearray((held.path / WEIGHTS_FILE).read_bytes() if stretches else b"")
        for one in stretches:
            assert cut.id in one.heads
            part[one.offset : one.end] = bytes(one.size_bytes)
        assert not any(part)


@pytest.mark.parametrize("spoil", ["flip", "cut", "remove"])
def test_damage_to_what_is_held_is_found(spoil: str, held: Bundle) -> None:
    path = held.path / WEIGHTS_FILE
    data = bytearray(path.read_bytes())
    if spoil == "flip":
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
    elif spoil == "cut":
        path.write_bytes(data[:-1])
    else:
        path.unlink()
    with pytest.raises(BundleError, match=r"weights\.bin.*Fetch or copy the heads again"):
        Bundle.load(held.path)


def test_damaged_or_missing_head_is_found(held: Bundle) -> None:
    (graph,) = held.path.glob("graphs/*.head.onnx")
    graph.write_bytes(graph.read_bytes()[:-1])
    with pytest.raises(BundleError, match=r"head\.onnx is damaged"):
        Bundle.load(held.path)
    graph.unlink()
    with pytest.raises(BundleError, match="lacks graphs/cut-"):
        Bundle.load(held.path)


def test_map_that_was_changed_to_fit_other_weights_is_found(held: Bundle) -> None:
    path = held.path / WEIGHTS_MAP_FILE
    path.write_text(path.read_text().replace('"sha256":"', '"sha256":"f', 1))
    with pytest.raises(BundleError, match=r"weights\.json is damaged"):
        Bundle.load(held.path)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"bundle_digest": "f00d" * 16}, "is of another bundle: f00df00df00d…"),
        ({"cuts": ["cut-99"]}, "damaged: of cut-99 the bundle has none"),
        ({"cuts": []}, "damaged: .*at least 1 item"),
        ({"schema_version": 2}, "damaged: Input should be 1"),
    ],
)
def test_note_of_what_is_held_is_checked(change: dict[str, Any], match: str, held: Bundle) -> None:
    path = held.path / HEADS_FILE
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(BundleError, match=match):
        Bundle.load(held.path)
    path.write_text("[" * 100_000)
    with pytest.raises(BundleError, match=r"heads\.json is damaged"):
        Bundle.load(held.path)


def test_what_needs_the_rest_says_what_is_here_and_what_to_do(
    held: Bundle, residual_bundle: Bundle
) -> None:
    cut = middle(residual_bundle)
    other = residual_bundle.manifest.cuts[0].id
    here = rf"holds only heads of residual \(of {cut}\)"
    for name in ("edge", other):
        with pytest.raises(
            BundleError, match=f"{here}.*Use one of: cloud, {cut}, or fetch the whole"
        ):
            held.open_head(name)
    for need in (
        lambda: held.open_tail(cut),
        lambda: held.open_tail("cloud"),
        lambda: held.graph,
        lambda: verify_bundle(held, {}),
        lambda: load_bundles(held.path),
        lambda: export_heads(held, held.path / "more"),
    ):
        with pytest.raises(BundleError, match=f"{here}.*splitpoint-edge fetch residual"):
            need()
    with pytest.raises(UnknownNameError, match=f"no cut 'cut-99'. It has: cloud, {cut}"):
        held.cut("cut-99")
    assert runner.invoke(app, ["verify", str(held.path)]).exit_code != 0


def test_only_heads_that_exist_can_be_held(residual_bundle: Bundle, tmp_path: Path) -> None:
    for name in ("cut-99", "edge", "cloud"):
        with pytest.raises(
            UnknownNameError, match=f"no head of a cut '{name}'. It has heads of: cut-"
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
    held = export_heads(made, tmp_path / "held", [added[-1]])
    feeds = random_feeds(made.inputs, np.random.default_rng(0))
    ours, theirs = held.open_head(added[-1]).run(feeds), made.open_head(added[-1]).run(feeds)
    assert all(np.array_equal(ours[key], theirs[key]) for key in theirs)
    assert (few / WEIGHTS_MAP_FILE).read_bytes() == before
    Bundle.load(few)


def test_export_command_says_what_it_made(exiting: Bundle, tmp_path: Path) -> None:
    cut = exiting.manifest.cuts[0].id
    words = ["export-heads", str(exiting.path), "--cuts", cut, "--out", str(tmp_path / "held")]
    result = runner.invoke(app, [*words, "--json"])
    document = json.loads(result.stdout)
    assert document["digest"] == exiting.digest
    assert document["cuts"] == ["cloud", cut]
    assert document["exits"] == [cut] * (cut in exiting.known_exits().exits)
    assert document["size_bytes"] < document["whole_bytes"]
    assert runner.invoke(app, words).exit_code != 0  # it exists
    assert runner.invoke(app, [*words, "--force"]).exit_code == 0


@pytest.mark.parametrize("where", [".", "profiles/held", "..", "link"])
def test_heads_never_take_the_place_of_the_bundle_they_come_from(
    where: str, residual_bundle: Bundle, tmp_path: Path
) -> None:
    whole = Bundle.load(shutil.copytree(residual_bundle.path, tmp_path / "above" / "whole"))
    shutil.copy(whole.path / MANIFEST_FILE, tmp_path / "above")  # a bundle, at first sight
    (whole.path / "link").symlink_to(whole.path)
    before = contents(tmp_path)
    with pytest.raises(UsageError, match="would take the place of the bundle"):
        export_heads(whole, whole.path / where, replace=True)
    assert contents(tmp_path) == before


def test_exits_of_another_model_are_refused_before_heads_are_written(
    residual_bundle: Bundle, exiting: Bundle, tmp_path: Path
) -> None:
    whole = Bundle.load(shutil.copytree(residual_bundle.path, tmp_path / "whole"))
    exits = exiting.known_exits()
    meta = exits.meta.model_copy(update={"split_digest": "f00d" * 16})
    BundleExits(meta, exits.exits).save(whole.path)
    with pytest.raises(BundleError, match="holds the exits of another model: f00df00df00d"):
        export_heads(whole, tmp_path / "held")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m", "whole"]


def test_stretches_larger_than_the_memory_can_be_copied(tmp_path: Path) -> None:
    with (tmp_path / "whole").open("wb") as file:
        file.seek(40 << 20)
        file.write(b"end")
    stretch = ByteRange(offset=5, size_bytes=(40 << 20) - 3, sha256="0" * 64, heads=())
    tracemalloc.start()
    try:
        _copy_stretches(tmp_path / "whole", tmp_path / "part", [stretch])
        _, most_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    copied = (tmp_path / "part").read_bytes()
    assert (len(copied), copied[-4:]) == ((40 << 20) + 2, b"\0\0en")
    assert most_bytes < 4 << 20


# Fetching -------------------------------------------------------------------------------------------


@pytest.fixture
def address(exiting: Bundle) -> Iterator[str]:
    with CloudServer(exiting.path) as server:
        yield server.address


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def test_fetch_brings_the_exits_byte_for_byte(
    exiting: Bundle, address: str, tmp_path: Path
) -> None:
    copy = fetch_bundle(address, exiting.name, tmp_path / "copy")
    assert not copy.heads_only
    assert (copy.path / EXITS_FILE).read_bytes() == (exiting.path / EXITS_FILE).read_bytes()
    assert contents(copy.path) == contents(exiting.path)


def test_fetched_heads_are_those_that_export_makes(
    exiting: Bundle, address: str, tmp_path: Path
) -> None:
    cuts = [cut.id for cut in exiting.manifest.cuts]
    for wanted in ([cuts[0]], [cuts[0], cuts[-1]], ()):
        name = "-".join(wanted) or "all"
        made = export_heads(exiting, tmp_path / f"{name}.made", wanted)
        fetched = fetch_bundle(address, exiting.name, tmp_path / name, heads_of=wanted)
        assert contents(fetched.path) == contents(made.path)
        assert EXITS_FILE in contents(fetched.path)


def test_weights_of_several_stretches_are_fetched_to_their_places(
    bundles: Callable[[str], Bundle], tmp_path: Path
) -> None:
    bundle = bundles("two_towers")
    with CloudServer(bundle.path) as server:
        for cut in bundle.manifest.cuts:
            made = export_heads(bundle, tmp_path / f"{cut.id}.made", [cut.id])
            fetched = fetch_bundle(
                server.address, bundle.name, tmp_path / cut.id, heads_of=[cut.id]
            )
            assert contents(fetched.path) == contents(made.path)


def test_cut_that_the_server_lacks_is_not_fetched(
    exiting: Bundle, address: str, tmp_path: Path
) -> None:
    for name in ("cut-99", "edge"):
        with pytest.raises(UnknownNameError, match=f"has no head of {name}. It has heads of: cut-"):
            fetch_bundle(address, exiting.name, tmp_path / "copy", heads_of=[name])
    assert not (tmp_path / "copy").exists()


def test_exits_that_changed_under_the_server_are_refused(
    exiting: Bundle, address: str, tmp_path: Path
) -> None:
    fetch_bundle(address, exiting.name, tmp_path / "first")
    path = exiting.path / EXITS_FILE
    data = bytearray(path.read_bytes())
    exits = exiting.known_exits()
    BundleExits(exits.meta.model_copy(update={"made_at": "2001"}), exits.exits).save(exiting.path)
    changed = path.read_bytes()
    size = max(len(data), len(changed))
    path.write_bytes(changed.ljust(size, b"\0"))  # a zip file may have something behind it
    with pytest.raises(SplitpointError, match=r"another set of exits|damaged|changed or vanished"):
        fetch_bundle(address, exiting.name, tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


def test_server_refuses_a_bundle_with_the_exits_of_another(
    exiting: Bundle, residual_bundle: Bundle, tmp_path: Path
) -> None:
    shutil.copytree(residual_bundle.path, tmp_path / "other")
    shutil.copyfile(exiting.path / EXITS_FILE, tmp_path / "other" / EXITS_FILE)
    with pytest.raises(
        BundleError, match=r"exits\.npz holds the exits of another.*remove the file"
    ):
        load_bundles(tmp_path / "other")


class Exiting(Offer):
    """Lists exits as a test says."""

    digest_listed, bytes_listed = "ab" * 32, 100

    def ListBundles(self, request: Any, context: Any) -> Any:  # noqa: N802
        answer = super().ListBundles(request, context)
        answer.bundles[0].exits_digest = self.digest_listed
        answer.bundles[0].exits_bytes = self.bytes_listed
        answer.bundles[0].cuts.extend(["cloud", "cut-01", "edge"])
        return answer


@pytest.mark.parametrize(
    ("size", "kind", "match"),
    [
        (100, MismatchError, "another set of exits"),
        (1 << 40, BundleError, "exits of 1099511627776"),
    ],
)
def test_exits_other_than_listed_are_refused(
    size: int, kind: type[SplitpointError], match: str, residual_bundle: Bundle, tmp_path: Path
) -> None:
    offer = Exiting(residual_bundle, lambda: all_pieces(residual_bundle))
    offer.bytes_listed = size
    with offering(offer) as address, pytest.raises(kind, match=match):
        fetch_bundle(address, "residual", tmp_path / "copy")
    assert list(tmp_path.iterdir()) == []


def test_server_that_sends_more_than_heads_is_refused(
    residual_bundle: Bundle, tmp_path: Path
) -> None:
    offer = Exiting(residual_bundle, lambda: all_pieces(residual_bundle))
    offer.digest_listed = ""
    with (
        offering(offer) as address,
        pytest.raises(BundleError, match="nobody asked for.*update this"),
    ):
        fetch_bundle(address, "residual", tmp_path / "copy", heads_of=["cut-01"])
    assert list(tmp_path.iterdir()) == []


def test_server_cannot_pass_heads_off_as_the_whole(held: Bundle, tmp_path: Path) -> None:
    def pieces() -> Iterator[FetchBundleResponse]:
        for name, data in contents(held.path).items():
            yield piece(name, data)

    with (
        offering(Offer(held, pieces)) as address,
        pytest.raises(BundleError, match="nobody asked for"),
    ):
        fetch_bundle(address, "residual", tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


def test_hole_that_is_larger_than_what_was_listed_is_cut_off(
    residual_bundle: Bundle, tmp_path: Path
) -> None:
    def pieces() -> Iterator[FetchBundleResponse]:
        yield FetchBundleResponse(
            path="graphs/weights.bin", size_bytes=1 << 60, chunk=b"1", skipped_bytes=1 << 59
        )

    offer = Exiting(residual_bundle, pieces)
    offer.digest_listed, offer.bytes_listed = "", 0
    with (
        offering(offer) as address,
        pytest.raises(BundleError, match="more than the"),
    ):
        fetch_bundle(address, "residual", tmp_path / "copy", heads_of=["cut-01"])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("path", "heads_of"), [("bundle.json", ["cut-01"]), ("graphs/weights.bin", None)]
)
def test_hole_where_none_may_be_is_refused(
    path: str, heads_of: list[str] | None, residual_bundle: Bundle, tmp_path: Path
) -> None:
    def pieces() -> Iterator[FetchBundleResponse]:
        yield FetchBundleResponse(path=path, size_bytes=1 << 36, chunk=b"1", skipped_bytes=1 << 35)

    offer = Exiting(residual_bundle, pieces)
    offer.digest_listed, offer.bytes_listed = "", 0
    offer.size_bytes = 1 << 36
    with (
        offering(offer) as address,
        pytest.raises(BundleError, match=f"leaves 34359738368 bytes of {path} out"),
    ):
        fetch_bundle(address, "residual", tmp_path / "copy", heads_of=heads_of)
    assert list(tmp_path.iterdir()) == []


def test_bundle_that_is_larger_than_a_file_may_be_is_refused(
    residual_bundle: Bundle, tmp_path: Path
) -> None:
    def pieces() -> Iterator[FetchBundleResponse]:
        yield FetchBundleResponse(
            path="graphs/weights.bin", size_bytes=1 << 63, chunk=b"1", skipped_bytes=1 << 63
        )

    offer = Exiting(residual_bundle, pieces)
    offer.digest_listed, offer.bytes_listed = "", 0
    offer.size_bytes = (1 << 64) - 1
    with (
        offering(offer) as address,
        pytest.raises(BundleError, match="announces a bundle of 18446744073709551615 bytes"),
    ):
        fetch_bundle(address, "residual", tmp_path / "copy", heads_of=["cut-01"])
    assert offer.fetched == 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", [MANIFEST_FILE, HEADS_FILE, WEIGHTS_MAP_FILE])
def test_document_that_would_fill_the_memory_is_not_read(
    name: str, held: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(path: Path) -> bytes:
        assert path.name != name
        return whole_read(path)

    whole_read = Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", read)
    with (held.path / name).open("ab") as file:
        file.truncate(1 << 36)
    load = load_weights_map if name == WEIGHTS_MAP_FILE else Bundle.load
    with pytest.raises(BundleError, match=f"{name}.*68719476736 bytes are more than"):
        load(held.path)


# Profiles and plans ---------------------------------------------------------------------------------


def test_profile_of_heads_measures_heads_and_knows_the_size_of_answers(
    held: Bundle, residual_bundle: Bundle
) -> None:
    profile = measure_profile(held, budget_s=0.1)
    theirs = measure_profile(residual_bundle.only(list(held.cuts)), budget_s=0.1)
    assert profile.heads_only
    assert not theirs.heads_only
    assert profile.node_s is None
    assert list(profile.cuts) == list(held.cuts)
    for cut, found in profile.cuts.items():
        assert found.tail is None
        assert (found.head is None) == (cut == "cloud")
        assert found.download_bytes == theirs.cuts[cut].download_bytes
        assert found.codecs.keys() == theirs.cuts[cut].codecs.keys()
        assert found.codecs["raw"].upload_bytes == theirs.cuts[cut].codecs["raw"].upload_bytes
    assert profile.resume_s >= 0
    assert profile.crossing_s > 0


def test_plan_of_heads_is_that_of_the_whole_without_what_is_not_there(
    held: Bundle, residual_bundle: Bundle
) -> None:
    edge, cloud, link = (
        profile_of(residual_bundle, 0.02),
        profile_of(residual_bundle, 0.001),
        Link(1e6, 1e6, 0.05),
    )
    full = plan(residual_bundle, link, edge, cloud)
    wanted = [option for option in full.options if option.cut in held.cuts]
    heads = profile_of_heads(edge, held)
    for bundle, profile in ((held, edge), (held, heads), (residual_bundle, heads)):
        made = plan(bundle, link, profile, cloud)
        assert list(made.options) == wanted
        assert made.heads_only
        assert made.best.cut in held.cuts
    assert not full.heads_only


def test_plan_says_what_exits_are_worth_without_a_cloud(exiting: Bundle, tmp_path: Path) -> None:
    held = export_heads(exiting, tmp_path / "held")
    edge, cloud, link = profile_of(exiting, 0.02), profile_of(exiting, 0.001), Link(1e6, 1e6, 0.05)
    full = plan(exiting, link, edge, cloud)
    assert all(option.last_resort is None for option in full.options)
    exits = exiting.known_exits().exits
    for option in plan(held, link, profile_of_heads(edge, held), cloud).options:
        if option.cut not in exits:
            assert option.last_resort is None
            continue
        found, head = exits[option.cut], edge.cuts[option.cut].head
        assert option.last_resort is not None
        assert head is not None
        agreeing = found.outcomes.agrees.sum() / len(found.outcomes.agrees)
        assert option.last_resort.agreement == pytest.approx(agreeing)
        assert option.last_resort.exit_s == found.meta.head_share * head.timing.median_s


def test_plan_command_knows_that_nothing_finishes_here(exiting: Bundle, tmp_path: Path) -> None:
    held = export_heads(exiting, tmp_path / "held")
    profile_of_heads(profile_of(exiting, 0.02), held).save(held.profiles / "edge.json")
    profile_of(exiting, 0.001).save(held.profiles / "cloud.json")
    words = ["plan", str(held.path), "--bandwidth", "1mbit", "--rtt", "20ms"]
    document = json.loads(runner.invoke(app, [*words, "--json"]).stdout)
    assert document["heads_only"]
    assert "edge" not in {option["cut"] for option in document["options"]}
    assert any(option["last_resort"] for option in document["options"])
    shown = runner.invoke(app, words)
    assert "This device holds heads only, and finishes no frame" in " ".join(shown.output.split())


def test_cloud_cannot_be_assumed_from_a_profile_of_heads(held: Bundle) -> None:
    edge = profile_of_heads(profile_of(held, 0.02), held)
    edge.save(held.profiles / "edge.json")
    with pytest.raises(ProfileError, match=r"heads alone.*splitpoint profile .* --cloud HOST:PORT"):
        find_profiles(held, cloud_scale=0.2)


def test_profile_of_other_heads_than_the_bundle_has_is_refused(
    held: Bundle, residual_bundle: Bundle, tmp_path: Path
) -> None:
    other = export_heads(residual_bundle, tmp_path / "other", ["cut-01"])
    edge = profile_of_heads(profile_of(residual_bundle, 0.02), other)
    cloud = profile_of(residual_bundle, 0.001)
    without = edge.model_copy(update={"cuts": {}})
    with pytest.raises(ProfileError, match="lacks the cuts"):
        plan(residual_bundle, Link(1e6, 1e6, 0.05), without, cloud)
    made = plan(held, Link(1e6, 1e6, 0.05), edge, cloud)
    assert {option.cut for option in made.options} == {"cloud"}


def test_simulated_frame_that_is_lost_without_tails_gets_the_exit_or_nothing(
    exiting: Bundle, tmp_path: Path
) -> None:
    from partitioner.simulation.demand import demand_of

    held = export_heads(exiting, tmp_path / "held")
    edge, cloud = profile_of(exiting, 0.02), profile_of(exiting, 0.001)
    made = plan(held, Link(1e6, 1e6, 0.05), profile_of_heads(edge, held), cloud)
    for option in made.options:
        demand = demand_of(option, made)
        if option.last_resort:
            assert (demand.fallback, demand.finish_s) == ("exit", option.last_resort.exit_s)
            without = demand_of(replace(option, last_resort=None), made)
            assert (without.fallback, without.finish_s) == ("none", 0.0)
        assert demand.scaled(2.0, 1.0).fallback == demand.fallback
