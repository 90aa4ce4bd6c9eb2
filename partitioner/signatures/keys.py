"""Ed25519 keys in files (PEM): private ones that only their owner may read, public ones with a short id."""

import hashlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from partitioner.common.files import read_document, read_private, whole_file, write_private
from protos.errors import FileError, UsageError, reason

PUBLIC_SUFFIX = ".pub"
_ID_DIGITS = 16
_MAX_KEY_BYTES = 64 << 10


@dataclass(frozen=True)
class PublicKey:
    """A key that signatures are checked with."""

    key: Ed25519PublicKey = field(repr=False)

    @property
    def id(self) -> str:
        """The first 16 hex digits of the SHA-256 of its 32 bytes: a name, which nothing rests on."""
        raw = self.key.public_bytes(Encoding.Raw, PublicFormat.Raw)
        return hashlib.sha256(raw).hexdigest()[:_ID_DIGITS]

    def has_signed(self, message: bytes, signature: bytes) -> bool:
        """Tell whether `signature` is this key's, over exactly this message (RFC 8032)."""
        try:
            self.key.verify(signature, message)
        except InvalidSignature:
            return False
        return True


@dataclass(frozen=True)
class SigningKey:
    """A key that signs."""

    key: Ed25519PrivateKey = field(repr=False)

    @property
    def public(self) -> PublicKey:
        """The public half."""
        return PublicKey(self.key.public_key())

    def sign(self, message: bytes) -> bytes:
        """Return the signature, 64 bytes."""
        return self.key.sign(message)


@dataclass(frozen=True)
class KeyRing:
    """The public keys of a folder by their id, and of files that hold none, why."""

    by_id: Mapping[str, PublicKey]
    unreadable: tuple[str, ...] = ()


def new_key() -> SigningKey:
    """Make a key from the system's randomness."""
    return SigningKey(Ed25519PrivateKey.generate())


def save_key(path: Path, made: SigningKey, passphrase: str | None = None) -> Path:
    """Write the private key to `path`, for its owner alone, and the public one beside it; return its path.

    Raises FileError where there is one already, which stays, or when the disk refuses; neither file is
    there then.
    """
    public = path.with_name(path.name + PUBLIC_SUFFIX)
    if public.exists() or public.is_symlink():
        raise FileError(f"{public} is there already, and stays. Give another file.")
    encryption = BestAvailableEncryption(passphrase.encode()) if passphrase else NoEncryption()
    private_pem = made.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)
    write_private(path, private_pem, replaces=False)
    try:
        with whole_file(public) as partial:
            partial.write_bytes(public_text(made.public))
    except FileError:
        with suppress(OSError):
            path.unlink()
        raise
    return public


def public_text(public: PublicKey) -> bytes:
    """Return what the file of a public key holds: a line with its id, for people, and its PEM."""
    pem = public.key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return f"splitpoint public key {public.id}\n".encode() + pem


def read_signing_key(path: Path, passphrase: str | None = None) -> SigningKey:
    """Read a private key. Raises FileError for one that is missing, readable by others or no Ed25519 key,
    and UsageError where its passphrase is missing or wrong."""
    if path.suffix == PUBLIC_SUFFIX:
        raise FileError(f"{path} is a public key, which signs nothing. Give the file without .pub.")
    document = read_private(path, "private key")
    try:
        key = load_pem_private_key(document, passphrase.encode() if passphrase else None)
    except TypeError as error:
        if passphrase:  # it has none: nothing is lost by giving one
            return read_signing_key(path)
        raise UsageError(
            f"the key {path} has a passphrase. Give it with `passphrase_file`, or at a terminal when asked."
        ) from error
    except (ValueError, UnsupportedAlgorithm) as error:
        if b"ENCRYPTED" in document:
            raise UsageError(f"this is not the passphrase of the key {path}.") from error
        raise _no_key(path, "private", document) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise _wrong_type(path, key)
    return SigningKey(key)


def read_public_key(path: Path) -> PublicKey:
    """Read a public key; FileError for what cannot be read or is none of Ed25519."""
    try:
        document = read_document(path, _MAX_KEY_BYTES)
    except (OSError, ValueError) as error:
        raise FileError(f"the key {path} cannot be read: {reason(error)}.") from error
    try:
        key = load_pem_public_key(document)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise _no_key(path, "public", document) from error
    if not isinstance(key, Ed25519PublicKey):
        raise _wrong_type(path, key)
    return PublicKey(key)


def read_key_ring(folder: Path) -> KeyRing:
    """Read every `*.pub` of a folder as it is now. Raises FileError where it is no folder, or unreadable."""
    try:
        paths = sorted(path for path in folder.iterdir() if path.name.endswith(PUBLIC_SUFFIX))
    except OSError as error:
        raise FileError(
            f"the folder of trusted keys {folder} cannot be read: {reason(error)}. Give a folder with the "
            f"*{PUBLIC_SUFFIX} files of splitpoint keygen."
        ) from error
    keys: dict[str, PublicKey] = {}
    unreadable = []
    for path in paths:
        try:
            found = read_public_key(path)
        except FileError as error:
            unreadable.append(str(error))
        else:
            keys[found.id] = found
    return KeyRing(keys, tuple(unreadable))


def _no_key(path: Path, what: str, document: bytes) -> FileError:
    if what == "public" and b"PRIVATE KEY" in document:
        return FileError(
            f"{path} is a private key, which belongs to whoever signs and nowhere else. Put its "
            f"*{PUBLIC_SUFFIX} file here."
        )
    return FileError(f"{path} is no {what} key. Make a pair with: splitpoint keygen.")


def _wrong_type(path: Path, key: Any) -> FileError:
    kind = type(key).__name__.strip("_").removesuffix("PrivateKey").removesuffix("PublicKey")
    return FileError(
        f"{path} is a key of the type {kind}, and bundles are signed with Ed25519. Make a pair with: "
        "splitpoint keygen."
    )
