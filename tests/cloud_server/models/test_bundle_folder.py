"""The folder of bundles on the disk: what in it is a version, and what is none and why."""

import errno
import gc
import logging
import os
import re
import resource
import shutil
from pathlib import Path
from typing import Any

import pytest

from cloud_server.models import bundle_folder
from cloud_server.models.bundle_folder import BundleFolder, no_bundle
from partitioner.bundle.bundle import Bundle
from partitioner.bundle.contents import allow_more_files
from partitioner.bundle.exits import EXITS_FILE
from partitioner.bundle.folder import new_folder
from protos.errors import BundleError


def refusal(root: Path) -> str:
    """Why nothing in a folder is served."""
    folder = BundleFolder(root)
    folder.look()
    assert not folder.versions
    return str(no_bundle(folder))


def test_folder_of_bundles_and_one_bundle_load_alike(residual_bundle: Bundle) -> None:
    one = BundleFolder(residual_bundle.path)
    several = BundleFolder(residual_bundle.path.parent)
    assert one.look()
    assert several.look()
    (version,) = one.versions
    assert version.name == residual_bundle.name
    assert version.digest in {found.digest for found in several.versions}


def test_damaged_bundle_is_refused(residual_bundle: Bundle, tmp_path: Path) -> None:
    copy = shutil.copytree(residual_bundle.path, tmp_path / "copy")
    weights = copy / "graphs" / "weights.bin"
    weights.write_bytes(weights.read_bytes()[:-1] + b"!")
    assert "weights.bin is damaged" in refusal(tmp_path)


def test_folder_without_bundles_is_refused(tmp_path: Path) -> None:
    assert re.search("holds no bundle.*splitpoint import", refusal(tmp_path))
    with pytest.raises(BundleError, match="is no folder"):
        BundleFolder(tmp_path / "missing").look()


def test_bundle_of_heads_alone_is_refused(middle_head: Bundle) -> None:
    said = refusal(middle_head.path)
    assert re.search("holds only heads of residual .*serving it", said)
    assert "splitpoint-edge fetch residual" in said


def test_bundle_with_the_exits_of_another_is_refused(
    exiting: Bundle, residual_bundle: Bundle, tmp_path: Path
) -> None:
    other = shutil.copytree(residual_bundle.path, tmp_path / "other")
    shutil.copyfile(exiting.path / EXITS_FILE, other / EXITS_FILE)
    assert re.search(r"exits\.npz holds the exits of another.*remove the file", refusal(other))


def place(bundle: Bundle, folder: Path) -> Path:
    return shutil.copytree(bundle.path, folder)


def held(folder: BundleFolder) -> set[str]:
    return {version.bundle.digest for version in folder.versions}


def spoil(bundle: Path) -> None:
    """Write to the weights in place."""
    weights = bundle / "graphs" / "weights.bin"
    weights.write_bytes(weights.read_bytes()[:-1] + b"!")


def test_versions_come_are_replaced_and_go(net_versions: list[Bundle], tmp_path: Path) -> None:
    old, mid, new = net_versions
    place(old, tmp_path / "a")
    folder = BundleFolder(tmp_path)
    folder.look()
    assert held(folder) == {old.digest}
    place(new, tmp_path / "b")
    folder.look()
    assert held(folder) == {old.digest, new.digest}
    with new_folder(tmp_path / "b", replace=True) as partial:
        shutil.copytree(mid.path, partial, dirs_exist_ok=True)
    folder.look()
    assert held(folder) == {old.digest, mid.digest}
    shutil.rmtree(tmp_path / "a")
    folder.look()
    assert held(folder) == {mid.digest}


def test_what_did_not_change_is_not_loaded_again(
    net_versions: list[Bundle], tmp_path: Path
) -> None:
    place(net_versions[0], tmp_path / "a")
    folder = BundleFolder(tmp_path)
    folder.look()
    (before,) = folder.versions
    machine = tmp_path / "a" / "profiles" / "machine.json"
    machine.parent.mkdir()
    machine.write_text("{}")
    (tmp_path / "a" / ".calibration.npz.123").write_text("half")
    place(net_versions[1], tmp_path / "b")
    folder.look()
    assert folder.versions[0] is before


@pytest.mark.parametrize("name", ["calibration.npz", "exits.npz"])
def test_calibration_and_exits_that_change_make_another_version(
    calibrated: Bundle, exiting: Bundle, name: str, tmp_path: Path
) -> None:
    bundle = calibrated if name == "calibration.npz" else exiting
    path = place(bundle, tmp_path / "bundles" / "a")
    (path / name).rename(tmp_path / name)
    folder = BundleFolder(tmp_path / "bundles")
    folder.look()
    (without,) = folder.versions
    shutil.copyfile(tmp_path / name, path / name)
    folder.look()
    (version,) = folder.versions
    assert version.bundle.digest == without.bundle.digest
    assert version.digest == bundle.version_digest != without.digest
    assert version.number != without.number


def test_version_that_is_damaged_in_place_goes_on_and_is_reported_once(
    net_versions: list[Bundle], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = place(net_versions[0], tmp_path / "a")
    folder = BundleFolder(tmp_path)
    folder.look()
    spoil(path)
    for _ in range(3):
        folder.look()
        assert held(folder) == {net_versions[0].digest}
        (refusal,) = folder.refusals
        assert refusal.name == "net"
        assert "weights.bin is damaged" in refusal.reason
    (said,) = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert "weights.bin is damaged" in said
    assert "of net goes on" in said
    shutil.copyfile(net_versions[0].path / "graphs/weights.bin", path / "graphs/weights.bin")
    caplog.set_level(logging.INFO)
    folder.look()
    assert not folder.refusals
    assert f"{path} is whole again" in caplog.text


def test_damaged_version_never_takes_the_place_of_a_good_one(
    net_versions: list[Bundle], tmp_path: Path
) -> None:
    old, new = net_versions[:2]
    place(old, tmp_path / "a")
    folder = BundleFolder(tmp_path)
    folder.look()
    shutil.rmtree(tmp_path / "a")
    spoil(place(new, tmp_path / "a"))
    folder.look()
    assert held(folder) == {old.digest}
    spoil(place(new, tmp_path / "b"))
    folder.look()
    assert held(folder) == {old.digest}
    assert [refusal.name for refusal in folder.refusals] == ["net", "net"]


def test_copy_is_loaded_once_it_has_settled(net_versions: list[Bundle], tmp_path: Path) -> None:
    old, new = net_versions[:2]
    place(old, tmp_path / "a")
    folder = BundleFolder(tmp_path)
    folder.look()
    source = [path for path in new.path.rglob("*") if path.is_file()]
    for path in sorted(source):  # bundle.json first, and the graphs behind it
        target = tmp_path / "b" / path.relative_to(new.path)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
        assert not folder.look(settled=True)
        assert not folder.refusals
        assert held(folder) == {old.digest}
    assert folder.look(settled=True)
    assert held(folder) == {old.digest, new.digest}


def test_removal_too_has_to_settle(net_versions: list[Bundle], tmp_path: Path) -> None:
    place(net_versions[0], tmp_path / "a")
    folder = BundleFolder(tmp_path)
    folder.look()
    (tmp_path / "a").rename(tmp_path / ".a")
    assert not folder.look(settled=True)
    (tmp_path / ".a").rename(tmp_path / "a")
    folder.look(settled=True)
    assert held(folder) == {net_versions[0].digest}
    (tmp_path / "a").rename(tmp_path / ".a")
    assert not folder.look(settled=True)
    assert folder.look(settled=True)
    assert not folder.versions


def test_folder_that_cannot_be_read_changes_nothing(
    net_versions: list[Bundle], tmp_path: Path
) -> None:
    root = tmp_path / "bundles"
    place(net_versions[0], root / "a")
    folder = BundleFolder(root)
    folder.look()
    root.rename(tmp_path / "elsewhere")
    with pytest.raises(BundleError, match="No such file or directory"):
        folder.look()
    assert held(folder) == {net_versions[0].digest}


def test_newer_schema_is_refused_by_its_number(net_versions: list[Bundle], tmp_path: Path) -> None:
    place(net_versions[0], tmp_path / "a")
    newer = place(net_versions[1], tmp_path / "b") / "bundle.json"
    newer.write_text(
        re.sub('"schema_version": 1', '"schema_version": 99', newer.read_text(), count=1)
    )
    folder = BundleFolder(tmp_path)
    folder.look()
    assert held(folder) == {net_versions[0].digest}
    (refusal,) = folder.refusals
    assert "schema version 99" in refusal.reason


def test_links_are_followed_and_loops_of_them_are_not(
    net_versions: list[Bundle], tmp_path: Path
) -> None:
    root = tmp_path / "bundles"
    root.mkdir()
    (root / "linked").symlink_to(net_versions[0].path)
    (root / "self").symlink_to("self")
    (root / "up").symlink_to(root)
    looped = place(net_versions[1], root / "looped")
    shutil.rmtree(looped / "graphs")
    (looped / "graphs").symlink_to(looped / "graphs")
    folder = BundleFolder(root)
    folder.look()
    assert held(folder) == {net_versions[0].digest}
    refused = {refusal.name: refusal.reason for refusal in folder.refusals}
    assert set(refused) == {"self", "net"}
    assert "ymbolic link" in refused["self"]


def test_folder_without_permission_is_refused_and_not_taken_for_gone(
    net_versions: list[Bundle], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place(net_versions[0], tmp_path / "a")
    place(net_versions[1], tmp_path / "b")
    folder = BundleFolder(tmp_path)
    folder.look()
    both, lstat = held(folder), Path.lstat

    def forbidden(
        path: Path,
    ) -> os.stat_result:  # as the tests may run as root, whom nothing is forbidden
        if path.parent.name == "b":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return lstat(path)

    monkeypatch.setattr(Path, "lstat", forbidden)
    monkeypatch.setattr(
        "partitioner.bundle.manifest.read_document",
        lambda path: Path.lstat(path) and path.read_bytes(),
    )
    folder.look()
    assert held(folder) == both
    (refusal,) = folder.refusals
    assert refusal.name == "b"
    assert "Permission denied" in refusal.reason


def test_hidden_folders_are_no_versions(net_versions: list[Bundle], tmp_path: Path) -> None:
    place(net_versions[0], tmp_path / "a")
    place(net_versions[1], tmp_path / ".b.partial")
    folder = BundleFolder(tmp_path)
    folder.look()
    assert held(folder) == {net_versions[0].digest}
    assert not folder.refusals


def test_folder_that_fails_in_an_unforeseen_way_keeps_no_other_from_being_served(
    net_versions: list[Bundle], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place(net_versions[0], tmp_path / "a")
    place(net_versions[1], tmp_path / "b")
    load = Bundle.load

    def fails(path: Path, **more: Any) -> Bundle:
        if path.name == "b":
            raise ZeroDivisionError("a bug")
        return load(path, **more)

    monkeypatch.setattr(Bundle, "load", fails)
    folder = BundleFolder(tmp_path)
    folder.look()
    assert held(folder) == {net_versions[0].digest}
    assert [refusal.reason for refusal in folder.refusals] == [
        f"{tmp_path / 'b'} cannot be loaded: a bug"
    ]


def test_bundles_leave_files_for_connections(
    net_versions: list[Bundle], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(6):
        place(net_versions[number % 2], tmp_path / f"{number}")
    allow_more_files()  # as the look does; it is what the limit below has to be of
    gc.collect()  # bundles of earlier tests have files open, which none may close from here on
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    each, there = len(net_versions[0].manifest.files), open_files()
    monkeypatch.setattr(bundle_folder, "SPARE_FILES", limit - there - 2 * each - each // 2)
    folder = BundleFolder(tmp_path)
    folder.look()
    assert len(folder.versions) == 2
    assert open_files() <= there + 2 * each
    reasons = [refused.reason for refused in folder.refusals]
    assert len(reasons) == 4
    assert all("too few files for connections" in reason for reason in reasons)
    for version in folder.versions:
        shutil.rmtree(version.bundle.path)
    folder.look()
    del version
    folder.look()  # the files of those that went are closed by now
    assert len(folder.versions) == 2


def open_files() -> int:
    """How many files this process has open."""
    return sum(1 for _ in Path("/dev/fd").iterdir())
