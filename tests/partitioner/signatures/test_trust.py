"""What a signature holds: every byte of every file, this model alone, by a key that is trusted now."""

import hashlib
import json
import shutil
from base64 import b64decode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from partitioner.bundle.bundle import Bundle
from partitioner.bundle.head_export import export_heads
from partitioner.bundle.manifest import manifest_bytes, write_manifest
from partitioner.runtime.sessions import random_feeds
from partitioner.signatures.envelope import Envelope
from partitioner.signatures.keys import new_key, save_key
from partitioner.signatures.signer import sign_bundle
from partitioner.signatures.trust import Trust, stated
from protos.errors import BundleError, FileError, SignatureError, UsageError
from tests.kit.heads import middle
from tests.kit.signatures import Signer

ONE_FOLDER = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)


@pytest.fixture(scope="module")
def complete(signer: Signer, calibrated: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A signed bundle that is calibrated, with the permission to run it again."""
    folder = signer.signed_copy(calibrated, tmp_path_factory.mktemp("complete") / "image", 3)
    signer.permit(folder, calibrated.name, 3, 4)
    return folder


@contextmanager
def changed(path: Path, content: bytes) -> Iterator[None]:
    before = path.read_bytes()
    path.write_bytes(content)
    try:
        yield
    finally:
        path.write_bytes(before)


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_signed_bundle_is_what_a_hand_made_verifier_takes(signer: Signer, complete: Path) -> None:
    document = json.loads((complete / "signature.json").read_bytes())
    payload, kind = b64decode(document["payload"]), document["payloadType"].encode()
    assert kind == b"application/vnd.splitpoint.bundle.v1+json"
    signed = b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)
    public = load_pem_public_key((signer.trusted / "release.pub").read_bytes())
    public.verify(b64decode(document["signatures"][0]["sig"]), signed)  # type: ignore[union-attr,call-arg]
    said = json.loads(payload)
    assert (said["model"], said["release"]) == (Bundle.load(complete).name, 3)
    beside = ("signature.json", "rollback.json")
    assert said["files"] == {
        path.relative_to(complete).as_posix(): {
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
            "size_bytes": path.stat().st_size,
        }
        for path in files(complete)
        if path.name not in beside
    }
    assert "calibration.npz" in said["files"]
    assert json.dumps(said, sort_keys=True, separators=(",", ":")).encode() == payload


def test_trusted_signature_tells_release_and_key(signer: Signer, complete: Path) -> None:
    found = signer.trust.check(Bundle.load(complete))
    assert found is not None
    assert (found.release, found.key_ids) == (3, (signer.key.public.id,))
    assert found.statement.signed_at == "2026-11-30T12:00:00+00:00"


@ONE_FOLDER
@given(data=st.data())
def test_any_changed_byte_of_any_file_is_refused(
    signer: Signer, complete: Path, data: st.DataObject
) -> None:
    path = data.draw(st.sampled_from([p for p in files(complete) if p.name != "rollback.json"]))
    content = bytearray(path.read_bytes())
    at = data.draw(st.integers(0, len(content) - 1))
    content[at] ^= data.draw(st.integers(1, 255))
    with changed(path, bytes(content)), pytest.raises(BundleError):
        Bundle.load(complete, check=signer.trust.check)


@ONE_FOLDER
@given(data=st.data())
def test_any_file_that_is_cut_or_longer_is_refused(
    signer: Signer, complete: Path, data: st.DataObject
) -> None:
    path = data.draw(st.sampled_from([p for p in files(complete) if p.name != "rollback.json"]))
    content = path.read_bytes()
    shorter = content[: data.draw(st.integers(0, len(content) - 1))]
    other = data.draw(st.sampled_from([shorter, content + b"\n"]))
    with changed(path, other), pytest.raises(BundleError):
        Bundle.load(complete, check=signer.trust.check)


def test_any_file_that_is_missing_is_refused(signer: Signer, complete: Path) -> None:
    for path in files(complete):
        if path.name == "rollback.json":
            continue
        path.rename(complete.parent / "aside")
        with pytest.raises(BundleError):
            Bundle.load(complete, check=signer.trust.check)
        (complete.parent / "aside").rename(path)
    assert Bundle.load(complete, check=signer.trust.check)


def test_whole_bundle_that_was_put_together_anew_is_told_from_a_forgery(
    signer: Signer, signed: Path
) -> None:
    """Its manifest and digests are in order, and the signature is a true one: of what it was before."""
    bundle = Bundle.load(signed)
    write_manifest(signed, bundle.manifest.model_copy(update={"labels": ("other",)}))
    with pytest.raises(
        SignatureError, match=r"was changed since .* release 1: bundle\.json was changed"
    ):
        Bundle.load(signed, check=signer.trust.check)
    assert "bundle.json was changed" in stated(Bundle.load(signed)).statement.changes(
        Bundle.load(signed)
    )


def test_calibration_after_the_signature_is_a_change(
    signer: Signer, calibrated: Bundle, tmp_path: Path
) -> None:
    shutil.copytree(calibrated.path, tmp_path / "image")
    file = (tmp_path / "image" / "calibration.npz").rename(tmp_path / "calibration.npz")
    signer.sign(tmp_path / "image")
    file.rename(tmp_path / "image" / "calibration.npz")
    with pytest.raises(SignatureError, match=r"calibration\.npz was added.*sign it again"):
        Bundle.load(tmp_path / "image", check=signer.trust.check)
    signer.sign(tmp_path / "image")
    found = signer.trust.check(Bundle.load(tmp_path / "image"))
    assert found is not None
    assert found.release == 2


def test_file_that_is_written_to_after_its_check_does_not_run(signer: Signer, signed: Path) -> None:
    """There is no gap between the check and the run: what is read later is held against the digest again."""
    bundle = Bundle.load(signed, check=signer.trust.check)
    weights = signed / "graphs" / "weights.bin"
    content = bytearray(weights.read_bytes())
    content[len(content) // 2] ^= 0xFF
    weights.write_bytes(content)
    with pytest.raises(BundleError, match="was written to since"):
        bundle.open_head("edge")


def test_folder_that_is_replaced_after_its_check_changes_nothing(
    signer: Signer, signed: Path
) -> None:
    import numpy as np

    bundle = Bundle.load(signed, check=signer.trust.check)
    feeds = random_feeds(bundle.inputs, np.random.default_rng(0))
    before = bundle.open_head("edge").run(feeds)
    signed.rename(signed.with_name("aside"))
    signed.mkdir()
    (signed / "bundle.json").write_text("another")
    after = bundle.open_head("edge").run(feeds)
    assert all(np.array_equal(before[name], after[name]) for name in before)


def test_signature_of_another_model_is_refused(
    signer: Signer, signed: Path, image_bundle: Bundle, tmp_path: Path
) -> None:
    other = signer.signed_copy(image_bundle, tmp_path / "other")
    manifest = Bundle.load(other).manifest.model_copy(update={"name": "another"})
    write_manifest(other, manifest)
    signer.sign(other, 7)
    shutil.copy(other / "signature.json", signed / "signature.json")
    with pytest.raises(SignatureError, match="is of the model 'another', and this is 'residual'"):
        Bundle.load(signed, check=signer.trust.check)


def test_permission_is_no_signature(signer: Signer, signed: Path) -> None:
    signer.permit(signed, "residual", 1, 2)
    shutil.copy(signed / "rollback.json", signed / "signature.json")
    with pytest.raises(
        SignatureError, match=r"is of the type 'application/vnd.splitpoint.rollback"
    ):
        Bundle.load(signed, check=signer.trust.check)


def test_statement_of_a_newer_splitpoint_is_said(signer: Signer, signed: Path) -> None:
    kind = "application/vnd.splitpoint.bundle.v1+json"
    envelope = Envelope.seal(kind, b'{"schema_version":2}', [signer.key])
    (signed / "signature.json").write_bytes(envelope.to_bytes())
    with pytest.raises(
        SignatureError, match=r"states nothing that this splitpoint reads: schema_version"
    ):
        Bundle.load(signed, check=signer.trust.check)


def test_untrusted_key_is_named_beside_those_that_are_trusted(
    signer: Signer, signed: Path, tmp_path: Path
) -> None:
    made = new_key()
    sign_bundle(Bundle.load(signed), [made])
    trusted = signer.key.public.id
    with pytest.raises(
        SignatureError, match=f"is of the key {made.public.id}, and trusted are: {trusted}"
    ):
        Bundle.load(signed, check=signer.trust.check)
    (tmp_path / "none").mkdir()
    (tmp_path / "none" / "cut.pub").write_text("-----BEGIN")
    with pytest.raises(
        SignatureError, match=r"trusted are: none \(.*Not read: .*cut\.pub is no public key"
    ):
        Bundle.load(signed, check=Trust(tmp_path / "none").check)


def test_key_that_is_removed_counts_no_longer_at_the_next_load(
    signer: Signer, signed: Path, tmp_path: Path
) -> None:
    shutil.copytree(signer.trusted, tmp_path / "keys")
    trust = Trust(tmp_path / "keys", required=True)
    save_key(tmp_path / "next", new_key()).rename(tmp_path / "keys" / "next.pub")
    assert Bundle.load(signed, check=trust.check)
    (tmp_path / "keys" / "release.pub").unlink()
    with pytest.raises(SignatureError, match="is of the key"):
        Bundle.load(signed, check=trust.check)


def test_either_key_of_a_rotation_is_enough(signer: Signer, signed: Path, tmp_path: Path) -> None:
    made = new_key()
    (tmp_path / "new").mkdir()
    save_key(tmp_path / "k", made).rename(tmp_path / "new" / "k.pub")
    sign_bundle(Bundle.load(signed), [signer.key, made])
    for folder in (signer.trusted, tmp_path / "new"):
        assert Bundle.load(signed, check=Trust(folder, required=True).check)


def test_unsigned_bundle_runs_unless_a_signature_is_required(
    signer: Signer, residual_bundle: Bundle
) -> None:
    assert Bundle.load(residual_bundle.path, check=Trust(signer.trusted).check)
    with pytest.raises(SignatureError, match="is not signed, and a signature is required. Sign it"):
        Bundle.load(residual_bundle.path, check=signer.trust.check)
    with pytest.raises(UsageError, match="needs to know whose"):
        Trust(None, required=True)


def test_damaged_signature_is_refused_where_keys_are_trusted(signer: Signer, signed: Path) -> None:
    (signed / "signature.json").write_text("{}")
    assert Bundle.load(signed, check=Trust().check)
    with pytest.raises(SignatureError, match="signature.json cannot be used: it is cut short"):
        Bundle.load(signed, check=Trust(signer.trusted).check)


def test_folder_of_keys_that_is_gone_lets_nothing_run(signed: Path, tmp_path: Path) -> None:
    with pytest.raises(FileError, match="folder of trusted keys"):
        Bundle.load(signed, check=Trust(tmp_path / "gone").check)


def test_heads_alone_are_checked_by_the_signature_of_the_whole(
    signer: Signer, signed: Path, tmp_path: Path
) -> None:
    whole = Bundle.load(signed)
    held = export_heads(whole, tmp_path / "held", [middle(whole)]).path
    found = signer.trust.check(Bundle.load(held))
    assert found is not None
    assert found.release == 1
    assert (held / "bundle.json").read_bytes() == (signed / "bundle.json").read_bytes()
    for path in files(held):
        content = bytearray(path.read_bytes())
        content[0 if path.name != "heads.json" else 1] ^= 0x01
        with changed(path, bytes(content)), pytest.raises(BundleError):
            Bundle.load(held, check=signer.trust.check)


def test_heads_whose_map_was_made_to_fit_other_weights_are_refused(
    signer: Signer, signed: Path, tmp_path: Path
) -> None:
    """Whoever changes weights, map and manifest in step has all digests right but the signed ones."""
    whole = Bundle.load(signed)
    held = export_heads(whole, tmp_path / "held", [middle(whole)])
    weights, maps = held.path / "graphs" / "weights.bin", held.path / "weights.json"
    content = bytearray(weights.read_bytes())
    part = json.loads(maps.read_bytes())["stretches"][0]
    content[part["offset"]] ^= 0xFF
    weights.write_bytes(content)
    bytes_of_part = bytes(content[part["offset"] : part["offset"] + part["size_bytes"]])
    digest = hashlib.sha256(bytes_of_part).hexdigest()
    maps.write_text(maps.read_text().replace(part["sha256"], digest))
    entry = whole.manifest.files["weights.json"].model_copy(
        update={"sha256": hashlib.sha256(maps.read_bytes()).hexdigest()}
    )
    found = {**whole.manifest.files, "weights.json": entry}
    manifest = whole.manifest.model_copy(update={"files": found})
    (held.path / "bundle.json").write_bytes(manifest_bytes(manifest))
    said = json.loads((held.path / "heads.json").read_text())
    (held.path / "heads.json").write_text(json.dumps({**said, "bundle_digest": manifest.digest}))
    assert Bundle.load(held.path)
    with pytest.raises(
        SignatureError, match=r"bundle\.json was changed, weights\.json was changed"
    ):
        Bundle.load(held.path, check=signer.trust.check)


def test_folder_that_is_replaced_while_it_is_loaded_is_checked_as_one(
    signer: Signer, signed: Path, image_bundle: Bundle, tmp_path: Path
) -> None:
    """What is loaded is never the files of one version with the signature of another."""
    other = signer.signed_copy(image_bundle, tmp_path / "other")
    wanted = Bundle.load(other).digest
    checks: list[Callable[[Bundle], object]] = []

    def check(bundle: Bundle) -> object:
        if not checks:
            checks.append(signer.trust.check)
            shutil.rmtree(signed)
            other.rename(signed)
            raise BundleError("replaced meanwhile")
        return signer.trust.check(bundle)

    assert Bundle.load(signed, check=check).digest == wanted
