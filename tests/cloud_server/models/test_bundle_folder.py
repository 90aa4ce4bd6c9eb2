"""The folder of bundles on the disk: what in it is a version, and what is none and why."""

import re
import shutil
from pathlib import Path

import pytest

from cloud_server.models.bundle_folder import BundleFolder, no_bundle
from partitioner.bundle.bundle import Bundle
from partitioner.bundle.exits import EXITS_FILE
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
