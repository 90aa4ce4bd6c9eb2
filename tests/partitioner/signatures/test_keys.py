"""Keys in files: who may read them, what is none, and what a folder of them says."""

import hashlib
import os
import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed448
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from partitioner.signatures.keys import (
    new_key,
    read_key_ring,
    read_public_key,
    read_signing_key,
    save_key,
)
from protos.errors import FileError, UsageError


def pem_of(key: object) -> tuple[bytes, bytes]:
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())  # type: ignore[attr-defined]
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)  # type: ignore[attr-defined]
    return private, public


def private_file(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    path.chmod(0o600)
    return path


@pytest.mark.parametrize("passphrase", [None, "correct horse"])
def test_pair_that_is_written_signs_and_checks(tmp_path: Path, passphrase: str | None) -> None:
    public_path = save_key(tmp_path / "key", new_key(), passphrase)
    private, public = read_signing_key(tmp_path / "key", passphrase), read_public_key(public_path)
    assert public.has_signed(b"words", private.sign(b"words"))
    assert not public.has_signed(b"other words", private.sign(b"words"))
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600
    raw = public.key.public_bytes(Encoding.Raw, PublicFormat.Raw)
    assert public.id == private.public.id == hashlib.sha256(raw).hexdigest()[:16]
    assert public.id.encode() in public_path.read_bytes()


def test_key_that_is_there_is_never_overwritten(tmp_path: Path) -> None:
    save_key(tmp_path / "key", new_key())
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(FileError, match="is there already, and stays"):
        save_key(tmp_path / "key", new_key())
    (tmp_path / "key.pub").rename(tmp_path / "kept.pub")
    with pytest.raises(FileError, match="is there already, and stays"):
        save_key(tmp_path / "key", new_key())
    (tmp_path / "kept.pub").rename(tmp_path / "key.pub")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_disk_that_takes_no_public_key_keeps_no_private_one_either(tmp_path: Path) -> None:
    name = "k" * (os.pathconf(tmp_path, "PC_NAME_MAX") - len(f"..{os.getpid()}") - 2)
    with pytest.raises(FileError, match="cannot be written"):
        save_key(tmp_path / name, new_key())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o660, 0o602])
def test_private_key_that_others_may_use_is_refused(tmp_path: Path, mode: int) -> None:
    save_key(tmp_path / "key", new_key())
    (tmp_path / "key").chmod(mode)
    if mode == 0o640 and os.geteuid() == 0:
        read_signing_key(tmp_path / "key")  # a group may read a file of root's: mounted secrets
        return
    with pytest.raises(FileError, match=f"mode {mode:04o}.*chmod 600"):
        read_signing_key(tmp_path / "key")


def test_passphrase_that_is_missing_or_wrong_is_said(tmp_path: Path) -> None:
    save_key(tmp_path / "key", new_key(), "right")
    with pytest.raises(UsageError, match="has a passphrase. Give it with `passphrase_file`"):
        read_signing_key(tmp_path / "key")
    with pytest.raises(UsageError, match="not the passphrase of the key"):
        read_signing_key(tmp_path / "key", "wrong")
    save_key(tmp_path / "open", new_key())
    assert read_signing_key(tmp_path / "open", "of no use")


@pytest.mark.parametrize(
    ("made", "called"),
    [
        (ec.generate_private_key(ec.SECP256R1()), "EllipticCurve|EC"),
        (ed448.Ed448PrivateKey.generate(), "Ed448"),
    ],
)
def test_key_of_another_type_is_named(tmp_path: Path, made: object, called: str) -> None:
    private, public = pem_of(made)
    with pytest.raises(FileError, match=f"of the type ({called}).*with Ed25519"):
        read_signing_key(private_file(tmp_path / "key", private))
    (tmp_path / "key.pub").write_bytes(public)
    with pytest.raises(FileError, match=f"of the type ({called}).*with Ed25519"):
        read_public_key(tmp_path / "key.pub")


def test_halves_of_a_pair_are_told_apart(tmp_path: Path) -> None:
    public = save_key(tmp_path / "key", new_key())
    with pytest.raises(FileError, match="is a public key, which signs nothing"):
        read_signing_key(public)
    public.write_bytes((tmp_path / "key").read_bytes())
    with pytest.raises(FileError, match="is a private key, which belongs to whoever signs"):
        read_public_key(public)


@pytest.mark.parametrize("content", [b"", b"no key", b"-----BEGIN PUBLIC KEY-----\n", b"\xff" * 99])
def test_file_that_holds_no_key_is_none(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(FileError, match="is no private key. Make a pair"):
        read_signing_key(private_file(tmp_path / "key", content))
    (tmp_path / "key.pub").write_bytes(content)
    with pytest.raises(FileError, match="is no public key. Make a pair"):
        read_public_key(tmp_path / "key.pub")


def test_folder_says_which_of_its_files_hold_no_key(tmp_path: Path) -> None:
    made = [new_key(), new_key()]
    for number, key in enumerate(made):
        save_key(tmp_path / f"{number}", key)
    (tmp_path / "README").write_text("who these are")
    (tmp_path / "cut.pub").write_bytes((tmp_path / "0.pub").read_bytes()[:60])
    (tmp_path / "gone.pub").symlink_to(tmp_path / "nowhere")
    (tmp_path / "folder.pub").mkdir()
    ring = read_key_ring(tmp_path)
    assert set(ring.by_id) == {key.public.id for key in made}
    assert [text.split()[0] for text in ring.unreadable].count("the") == 2
    assert [name in "".join(ring.unreadable) for name in ("cut", "gone", "folder")] == [True] * 3
    with pytest.raises(FileError, match="folder of trusted keys .* cannot be read"):
        read_key_ring(tmp_path / "missing")
