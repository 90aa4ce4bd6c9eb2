"""The shelf: versions change places whole, and a power cut at any moment leaves one that is whole."""

import os
from pathlib import Path

import pytest

from edge_client.updates.shelf import ShelfState, VersionShelf, restore_folder
from partitioner.bundle.manifest import MANIFEST_FILE
from protos.errors import FileError

OLD, NEW, OTHER = "a" * 64, "b" * 64, "c" * 64


@pytest.fixture
def shelf(tmp_path: Path) -> VersionShelf:
    """A bundle's folder, and a version that is ready."""
    shelf = VersionShelf(tmp_path / "net.bundle")
    for folder, text in ((shelf.bundle, "old"), (shelf.parts(NEW), "new")):
        folder.mkdir(parents=True)
        (folder / MANIFEST_FILE).write_text(text)
    shelf.complete(NEW)
    return shelf


def running(shelf: VersionShelf) -> str:
    return (shelf.bundle / MANIFEST_FILE).read_text()


def test_version_that_is_kept_takes_the_place_and_the_one_before_stays_at_hand(
    shelf: VersionShelf,
) -> None:
    shelf.begin_trial(NEW)
    shelf.promote(NEW, OLD)
    assert running(shelf) == "new"
    assert (shelf.is_ready(OLD), shelf.is_ready(NEW)) == (True, False)
    assert shelf.state == ShelfState()
    shelf.promote(OLD, NEW)
    assert (running(shelf), shelf.is_ready(NEW)) == ("old", True)


@pytest.mark.parametrize("moves", [1, 2, 3])
def test_power_cut_between_any_two_moves_leaves_a_version_to_start_with(
    shelf: VersionShelf, monkeypatch: pytest.MonkeyPatch, moves: int
) -> None:
    rename, done = Path.rename, []

    def cut(self: Path, target: Path) -> Path:
        if len(done) == moves:
            raise KeyboardInterrupt  # nothing after it is done
        done.append(target)
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", cut)
    if moves < 3:
        with pytest.raises(KeyboardInterrupt):
            shelf.promote(NEW, OLD)
    else:
        shelf.promote(NEW, OLD)
    monkeypatch.undo()
    restore_folder(shelf.bundle)
    assert running(shelf) == ("old" if moves == 1 else "new")


def test_version_with_which_the_device_ended_twice_has_crashed(shelf: VersionShelf) -> None:
    shelf.begin_trial(NEW)
    assert not shelf.crashed_with(NEW)
    shelf.begin_trial(NEW)
    assert shelf.crashed_with(NEW)
    assert not shelf.crashed_with(OTHER)
    shelf.end_trial()
    assert not shelf.crashed_with(NEW)


def test_refusal_outlasts_a_restart_and_takes_the_files_with_it(shelf: VersionShelf) -> None:
    shelf.refuse(NEW, "it differs.")
    again = VersionShelf(shelf.bundle)
    assert (again.state.refused, again.state.why) == (NEW, "it differs.")
    assert not again.is_ready(NEW)
    again.allow()
    assert again.state.refused == ""


def test_older_downloads_make_way_for_one_that_is_complete(shelf: VersionShelf) -> None:
    shelf.parts(OTHER).mkdir(parents=True)
    (shelf.parts(OTHER) / MANIFEST_FILE).write_text("other")
    shelf.complete(OTHER)
    assert (shelf.is_ready(OTHER), shelf.is_ready(NEW)) == (True, False)


def test_damaged_state_is_taken_for_none(shelf: VersionShelf) -> None:
    shelf.begin_trial(NEW)
    (shelf.folder / "state.json").write_text("{")
    assert shelf.state == ShelfState()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_folder_that_may_not_be_written_to_is_said(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(FileError, match="cannot be written"):
        VersionShelf(tmp_path / "net.bundle").begin_trial(NEW)


def test_version_gets_its_name_once_the_disk_has_all_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a power cut soon after could leave the name, and files that are empty."""
    shelf, synced = VersionShelf(tmp_path / "net.bundle"), list[int]()
    parts = shelf.parts(NEW)
    (parts / "graphs").mkdir(parents=True)
    for path in (parts / MANIFEST_FILE, parts / "graphs" / "a.onnx"):
        path.write_text("new")
    everything = {path.stat().st_ino for path in (parts, *parts.rglob("*"))}
    rename = Path.rename
    monkeypatch.setattr(os, "fsync", lambda handle: synced.append(os.fstat(handle).st_ino))

    def renamed(self: Path, target: Path) -> Path:
        assert set(synced) == everything
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", renamed)
    shelf.complete(NEW)
    assert shelf.is_ready(NEW)


def test_link_to_a_bundle_leads_to_the_version_that_is_kept_and_to_one_after_a_power_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, link = tmp_path / "disk" / "net", tmp_path / "net.bundle"
    real.mkdir(parents=True)
    (real / MANIFEST_FILE).write_text("old")
    link.symlink_to(Path("disk") / "net")
    shelf = VersionShelf(link)
    shelf.parts(NEW).mkdir(parents=True)
    (shelf.parts(NEW) / MANIFEST_FILE).write_text("new")
    shelf.complete(NEW)
    rename, done = Path.rename, list[Path]()

    def cut(self: Path, target: Path) -> Path:
        if done:
            raise KeyboardInterrupt
        done.append(target)
        return rename(self, target)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "rename", cut)
        with pytest.raises(KeyboardInterrupt):
            shelf.promote(NEW, OLD)
    assert not link.exists()
    restore_folder(link)
    assert (link / MANIFEST_FILE).read_text() == "old"
    shelf.promote(NEW, OLD)
    assert (link.is_symlink(), (link / MANIFEST_FILE).read_text()) == (True, "new")


def test_one_program_at_a_time_updates_a_bundle(shelf: VersionShelf) -> None:
    other = VersionShelf(shelf.bundle)
    with shelf.alone(), pytest.raises(FileError, match="another program updates"), other.alone():
        pass
    with other.alone():
        pass
