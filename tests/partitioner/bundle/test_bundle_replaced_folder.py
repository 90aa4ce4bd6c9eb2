"""What takes long and then writes into a bundle's folder: never into that of another version."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from partitioner.bundle import bundle as bundle_module
from partitioner.bundle.bundle import Bundle
from partitioner.bundle.manifest import Manifest
from partitioner.importer.extension import add_cuts
from partitioner.profiles.store import keep_profile, profile_path
from protos.errors import BundleError
from tests.kit.profiles import profile_of
from tests.kit.versions import two_versions


@pytest.fixture
def versions(tmp_path: Path) -> tuple[Path, Path]:
    return two_versions(tmp_path)


def replaced(old: Path, new: Path) -> None:
    old.rename(old.with_name("aside"))
    shutil.copytree(new, old)


def files_of(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def keep(bundle: Bundle) -> None:
    keep_profile(bundle, "edge", profile_of(bundle, 1.0))


def find_folder(bundle: Bundle) -> None:
    with pytest.raises(BundleError, match="was replaced since .* Nothing was written. Run the"):
        bundle.folder_for("the calibration")


def extend(bundle: Bundle) -> None:
    with pytest.raises(BundleError, match="was replaced since"):
        add_cuts(bundle, [], bundle.path, replace=True)


@pytest.mark.parametrize("work", [keep, find_folder, extend])
def test_nothing_of_the_loaded_version_comes_into_the_folder_of_the_next(
    versions: tuple[Path, Path], work: Callable[[Bundle], None]
) -> None:
    old, new = versions
    loaded = Bundle.load(old)
    replaced(old, new)
    before = files_of(old)
    work(loaded)
    assert files_of(old) == before
    assert not list(old.parent.glob(".old*"))


def test_profile_of_the_version_that_lies_there_is_kept(versions: tuple[Path, Path]) -> None:
    loaded = Bundle.load(versions[0])
    keep(loaded)
    assert profile_path(loaded, "edge").exists()


def test_folder_that_is_replaced_while_it_is_loaded_is_loaded_anew(
    versions: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = versions
    wanted = Bundle.load(new).digest
    read = bundle_module.read_manifest_file

    def read_then_replace(folder: Path) -> tuple[Manifest, bytes]:
        monkeypatch.setattr(bundle_module, "read_manifest_file", read)
        found = read(folder)
        replaced(old, new)
        return found

    monkeypatch.setattr(bundle_module, "read_manifest_file", read_then_replace)
    assert Bundle.load(old).digest == wanted


def test_folder_that_never_holds_still_is_refused_with_what_to_do(
    versions: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    old, _ = versions
    (old / "graphs" / "weights.bin").write_bytes(np.zeros(3).tobytes())
    marks = iter(range(100))
    monkeypatch.setattr(bundle_module, "manifest_mark", lambda _: (next(marks),))
    with pytest.raises(BundleError, match="was replaced 3 times .* Wait until"):
        Bundle.load(old)
