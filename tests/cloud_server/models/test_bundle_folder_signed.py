"""A server offers what a trusted key has signed; nothing else takes the place of a good version."""

import os
import shutil
from pathlib import Path

import pytest

from cloud_server.models.bundle_folder import BundleFolder, no_bundle
from cloud_server.server import CloudServer
from partitioner.bundle.bundle import Bundle
from protos.errors import BundleError, UsageError
from tests.kit.signatures import Signer


@pytest.fixture
def signer(tmp_path: Path) -> Signer:
    return Signer.new(tmp_path / "keys")


@pytest.fixture
def root(signer: Signer, residual_bundle: Bundle, tmp_path: Path) -> Path:
    """A folder with release 3 of one bundle."""
    signer.signed_copy(residual_bundle, tmp_path / "bundles" / "net", 3)
    return tmp_path / "bundles"


def test_version_has_the_release_of_its_signature(signer: Signer, root: Path) -> None:
    folder = BundleFolder(root, signer.trust)
    assert folder.look()
    assert [(version.release, version.number) for version in folder.versions] == [(3, "3")]
    untold = BundleFolder(root)
    untold.look()
    assert [version.release for version in untold.versions] == [0]


def test_unsigned_bundle_is_not_served_where_a_signature_is_required(
    signer: Signer, root: Path
) -> None:
    (root / "net" / "signature.json").unlink()
    folder = BundleFolder(root, signer.trust)
    folder.look()
    assert not folder.versions
    assert "is not signed, and a signature is required" in str(no_bundle(folder))


def test_version_that_is_changed_or_forged_never_replaces_the_signed_one(
    signer: Signer, root: Path, image_bundle: Bundle, tmp_path: Path
) -> None:
    folder = BundleFolder(root, signer.trust)
    folder.look()
    good = folder.versions[0].digest
    shutil.rmtree(root / "net")
    shutil.copytree(image_bundle.path, root / "net")
    folder.look()
    assert [version.digest for version in folder.versions] == [good]
    assert "is not signed" in folder.refusals[0].reason
    Signer.new(tmp_path / "others").sign(root / "net", 9)
    folder.look()
    assert [version.digest for version in folder.versions] == [good]
    assert "and trusted are" in folder.refusals[0].reason
    shutil.rmtree(root / "net" / "graphs")
    folder.look()
    assert [version.digest for version in folder.versions] == [good]


def test_bundle_that_is_signed_anew_is_another_release(signer: Signer, root: Path) -> None:
    folder = BundleFolder(root, signer.trust)
    folder.look()
    signer.sign(root / "net", 8)
    folder.look()
    assert [version.release for version in folder.versions] == [8]


def test_key_that_is_taken_away_counts_no_longer_at_the_next_load(
    signer: Signer, root: Path
) -> None:
    folder = BundleFolder(root, signer.trust)
    folder.look()
    (signer.trusted / "release.pub").unlink()
    os.utime(root / "net" / "bundle.json")
    folder.look()
    assert "trusted are: none" in folder.refusals[0].reason
    assert not BundleFolder(root, signer.trust).versions


def test_server_starts_with_signed_bundles_alone(
    signer: Signer, root: Path, residual_bundle: Bundle
) -> None:
    options = {"trusted_keys": signer.trusted, "require_signature": True}
    with CloudServer(root, **options) as server:
        assert [one.release for one in server.store.versions["residual"]] == [3]
    with (
        pytest.raises(BundleError, match="is not signed"),
        CloudServer(residual_bundle.path, **options),
    ):
        pass
    with (
        pytest.raises(UsageError, match="needs to know whose"),
        CloudServer(root, require_signature=True),
    ):
        pass
