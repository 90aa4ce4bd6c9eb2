"""Trust: whose signatures count, and whether a bundle has to have one."""

from dataclasses import dataclass
from pathlib import Path

from partitioner.bundle.bundle import Bundle
from partitioner.bundle.manifest import SIGNATURE_FILE
from partitioner.signatures.envelope import Envelope
from partitioner.signatures.inventory import check_inventory
from partitioner.signatures.keys import KeyRing, read_key_ring
from partitioner.signatures.statement import BUNDLE_TYPE, Statement
from protos.errors import SignatureError, UsageError


@dataclass(frozen=True)
class Signed:
    """What a signature says of a bundle, and who says so."""

    statement: Statement
    key_ids: tuple[str, ...]
    """Of the trusted keys that signed; where none were asked for, those that are said to have."""

    @property
    def release(self) -> int:
        """The number that only grows."""
        return self.statement.release


@dataclass(frozen=True)
class Trust:
    """The folder of the keys that count (None: signatures are not looked at), and whether one is required.

    Raises UsageError where a signature is required and no key could make one.
    """

    keys: Path | None = None
    required: bool = False

    def __post_init__(self) -> None:
        if self.required and self.keys is None:
            raise UsageError(
                "`require_signature` needs to know whose. Give `trusted_keys`, a folder with *.pub files."
            )

    @classmethod
    def of(cls, keys: str | Path | None, *, required: bool) -> "Trust":
        """Return the trust that these options describe."""
        return cls(None if keys is None else Path(keys), required)

    @property
    def ring(self) -> KeyRing:
        """The keys as they are now: one that was removed counts no longer. Raises FileError."""
        return KeyRing({}) if self.keys is None else read_key_ring(self.keys)

    def check(self, bundle: Bundle) -> Signed | None:
        """Return what a trusted key has signed of `bundle`, byte for byte as it was loaded.

        None: it is not signed, and need not be. Raises SignatureError for what must not be used, and
        FileError when the folder of keys cannot be read.
        """
        if self.keys is None:
            return None
        ring = self.ring
        if SIGNATURE_FILE not in bundle.documents:
            if self.required:
                raise SignatureError(
                    f"{bundle.path} is not signed, and a signature is required. Sign it where it was made: "
                    f"splitpoint sign {bundle.name} --key FILE."
                )
            return None
        envelope = read_envelope(bundle)
        key_ids = trusted_signers(envelope, ring, self.keys, f"the signature of {bundle.path}")
        signed = Signed(_statement(bundle, envelope), key_ids)
        _check_match(bundle, signed)
        check_inventory(bundle)
        return signed


def read_envelope(bundle: Bundle) -> Envelope:
    """Return the signature of a bundle, unchecked. SignatureError for what is no signature of a bundle."""
    path = bundle.path / SIGNATURE_FILE
    try:
        envelope = Envelope.parse(bundle.documents[SIGNATURE_FILE])
    except ValueError as error:
        raise SignatureError(
            f"{path} cannot be used: {error}. Copy it again, or sign the bundle again."
        ) from error
    if envelope.payload_type != BUNDLE_TYPE:
        raise SignatureError(
            f"{path} is of the type {envelope.payload_type!r}, and the signature of a bundle is of "
            f"{BUNDLE_TYPE!r}. Sign the bundle again, or update this splitpoint."
        )
    return envelope


def trusted_signers(envelope: Envelope, ring: KeyRing, folder: Path, what: str) -> tuple[str, ...]:
    """Return the trusted keys that have signed an envelope; SignatureError where none has."""
    try:
        signers = envelope.signers(ring)
    except ValueError as error:
        raise SignatureError(
            f"{what} is forged or damaged: {error}. Do not use it; get it anew from whoever signed it."
        ) from error
    if not signers:
        known = ", ".join(ring.by_id) or "none"
        unreadable = "".join(f" Not read: {one}" for one in ring.unreadable)
        raise SignatureError(
            f"{what} is of the key {', '.join(envelope.key_ids)}, and trusted are: {known} (in {folder})."
            f"{unreadable} Add its *.pub file if you trust it, or have a trusted key sign."
        )
    return signers


def stated(bundle: Bundle) -> Signed | None:
    """Return what a bundle's signature says, whoever made it, and if it is true; None: there is none.

    Raises SignatureError for what is none.
    """
    if SIGNATURE_FILE not in bundle.documents:
        return None
    envelope = read_envelope(bundle)
    return Signed(_statement(bundle, envelope), envelope.key_ids)


def _statement(bundle: Bundle, envelope: Envelope) -> Statement:
    try:
        return Statement.parse(envelope.payload)
    except ValueError as error:
        raise SignatureError(
            f"{bundle.path / SIGNATURE_FILE} states nothing that this splitpoint reads: {error}. Update it, "
            "or sign the bundle again."
        ) from error


def _check_match(bundle: Bundle, signed: Signed) -> None:
    """Raise SignatureError unless the bundle is what was signed."""
    statement = signed.statement
    if statement.model != bundle.name:
        raise SignatureError(
            f"{bundle.path / SIGNATURE_FILE} is of the model {statement.model!r}, and this is "
            f"{bundle.name!r}. Copy the signature of this one, or sign it."
        )
    if changes := statement.changes(bundle):
        raise SignatureError(
            f"{bundle.path} was changed since {', '.join(signed.key_ids)} signed it as release "
            f"{signed.release}: {changes}. If that was you, sign it again; else do not use it."
        )
