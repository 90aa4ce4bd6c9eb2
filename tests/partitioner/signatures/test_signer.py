"""Signing: releases only grow, and nothing is written by half."""

import errno
import os
from pathlib import Path

import pytest

from partitioner.bundle.bundle import Bundle
from partitioner.bundle.head_export import export_heads
from partitioner.bundle.manifest import write_manifest
from partitioner.signatures.signer import sign_bundle
from partitioner.signatures.trust import stated
from protos.errors import BundleError, FileError, UsageError
from tests.kit.heads import middle
from tests.kit.signatures import Signer


def release_of(folder: Path) -> int:
    found = stated(Bundle.load(folder))
    assert found is not None
    return found.release


def test_each_signature_is_one_release_more(signer: Signer, signed: Path) -> None:
    assert release_of(signed) == 1
    signer.sign(signed)
    assert release_of(signed) == 2
    signer.sign(signed, 40)
    assert release_of(signed) == 40


@pytest.mark.parametrize("release", [-1, 0, 1, 7, 2**53])
def test_release_that_is_not_above_the_last_is_refused(
    signer: Signer, signed: Path, release: int
) -> None:
    signer.sign(signed, 7)
    with pytest.raises(UsageError, match="was signed as release 7, .* Give 8 or more"):
        signer.sign(signed, release)
    assert release_of(signed) == 7


def test_release_after_a_signature_that_cannot_be_read_has_to_be_said(
    signer: Signer, signed: Path
) -> None:
    (signed / "signature.json").write_text("{")
    with pytest.raises(UsageError, match="cannot be told, .* give `release`"):
        signer.sign(signed)
    signer.sign(signed, 9)
    assert release_of(signed) == 9


def test_full_disk_leaves_the_signature_as_it_was(
    signer: Signer, signed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {path.name: path.read_bytes() for path in signed.iterdir() if path.is_file()}

    def full(self: Path, content: bytes) -> int:
        self.touch()
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(FileError, match="No space left on device. Make room"):
        signer.sign(signed)
    assert {path.name: path.read_bytes() for path in signed.iterdir() if path.is_file()} == before


def test_folder_that_was_replaced_since_it_was_loaded_is_not_signed(
    signer: Signer, signed: Path
) -> None:
    loaded = Bundle.load(signed)
    write_manifest(signed, loaded.manifest.model_copy(update={"labels": ("other",)}))
    before = (signed / "signature.json").read_bytes()
    with pytest.raises(BundleError, match="was replaced since it was loaded"):
        sign_bundle(loaded, [signer.key])
    assert (signed / "signature.json").read_bytes() == before


def test_heads_alone_are_signed_with_the_whole(
    signer: Signer, signed: Path, tmp_path: Path
) -> None:
    whole = Bundle.load(signed)
    held = export_heads(whole, tmp_path / "held", [middle(whole)])
    with pytest.raises(BundleError, match="signing it needs the rest"):
        sign_bundle(held, [signer.key])
