"""Envelopes: a payload, its type, and signatures over both.

The format is DSSE (github.com/secure-systems-lab/dsse, v1): what is signed is `DSSEv1 LENGTH TYPE LENGTH
PAYLOAD`, so that no type can be taken for part of a payload. Beyond DSSE, a document has one spelling alone:
whatever is not written exactly as `to_bytes` writes it is refused.
"""

import json
from base64 import b64decode, b64encode
from collections.abc import Sequence
from typing import Annotated, Final

from pydantic import Field, ValidationError

from partitioner.bundle.manifest import MAX_SIGNATURE_BYTES
from partitioner.common.faults import first_fault
from partitioner.common.frozen_model import FrozenModel
from partitioner.common.units import plural
from partitioner.signatures.keys import KeyRing, SigningKey

ALGORITHM: Final = "ed25519"
_MOST_SIGNATURES = 16

Base64 = Annotated[str, Field(pattern=r"^[A-Za-z0-9+/]*={0,2}$")]


class _Signature(FrozenModel):
    """One key's; `algorithm` is what an older splitpoint names when it does not know it."""

    algorithm: str
    keyid: Annotated[str, Field(pattern=r"^[0-9a-f]{1,64}$")]
    sig: Base64


class _Document(FrozenModel):
    payload: Base64
    payloadType: Annotated[str, Field(min_length=1)]  # noqa: N815 - as DSSE has it
    signatures: Annotated[tuple[_Signature, ...], Field(min_length=1, max_length=_MOST_SIGNATURES)]


class Envelope:
    """A signed payload as it was read; nothing of it is to be believed before `signers` has named a key."""

    def __init__(self, document: _Document) -> None:
        self._document = document
        self.payload = b64decode(document.payload, validate=True)

    def __repr__(self) -> str:
        return f"<Envelope of {self.payload_type}, {', '.join(self.key_ids)}>"

    @classmethod
    def seal(cls, payload_type: str, payload: bytes, keys: Sequence[SigningKey]) -> "Envelope":
        """Sign a payload with every key, once each."""
        message = authenticated_bytes(payload_type, payload)
        signatures = {
            key.public.id: _Signature(
                algorithm=ALGORITHM, keyid=key.public.id, sig=b64encode(key.sign(message)).decode()
            )
            for key in keys
        }
        return cls(
            _Document(
                payload=b64encode(payload).decode(),
                payloadType=payload_type,
                signatures=tuple(signatures.values()),
            )
        )

    @classmethod
    def parse(cls, document: bytes) -> "Envelope":
        """Read an envelope; ValueError, in words, for what is none."""
        if len(document) > MAX_SIGNATURE_BYTES:
            raise ValueError(
                f"it has {plural(len(document), 'byte')}, and {MAX_SIGNATURE_BYTES:,} are allowed"
            )
        try:
            found = _Document.model_validate_json(document)
        except ValidationError as error:
            raise ValueError(f"it is cut short or no envelope: {first_fault(error)}") from error
        _check_signatures(found.signatures)
        envelope = cls(found)
        if envelope.to_bytes() != document:
            raise ValueError("it was changed: it is not spelled as envelopes are")
        return envelope

    @property
    def payload_type(self) -> str:
        """What the payload says it is."""
        return self._document.payloadType

    @property
    def key_ids(self) -> tuple[str, ...]:
        """The keys that are said to have signed."""
        return tuple(one.keyid for one in self._document.signatures)

    def signers(self, ring: KeyRing) -> tuple[str, ...]:
        """Return the ids of the ring's keys that have signed; none: it has none of the keys that it names.

        Raises ValueError where the signature that is said to be of a known key is none of that key's.
        """
        message = authenticated_bytes(self.payload_type, self.payload)
        known = [one for one in self._document.signatures if one.keyid in ring.by_id]
        for one in known:
            signature = b64decode(one.sig, validate=True)
            if not ring.by_id[one.keyid].has_signed(message, signature):
                raise ValueError(f"the signature is not that of the key {one.keyid}")
        return tuple(one.keyid for one in known)

    def to_bytes(self) -> bytes:
        """Return the document as it is written, the same for the same content."""
        content = self._document.model_dump(mode="json")
        content["payload"] = _respelled(self._document.payload)
        for one in content["signatures"]:
            one["sig"] = _respelled(one["sig"])
        return (json.dumps(content, indent=1, sort_keys=True) + "\n").encode()


def _respelled(text: str) -> str:
    """Return base64 as it is written: bits behind the last byte, which nobody reads, are zero."""
    return b64encode(b64decode(text, validate=True)).decode()


def authenticated_bytes(payload_type: str, payload: bytes) -> bytes:
    """Return what is signed: DSSE's pre-authentication encoding of type and payload."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def _check_signatures(signatures: Sequence[_Signature]) -> None:
    ids = [one.keyid for one in signatures]
    if twice := next((one for one in ids if ids.count(one) > 1), ""):
        raise ValueError(f"it has two signatures of the key {twice}")
    for one in signatures:
        if one.algorithm != ALGORITHM:
            raise ValueError(
                f"its signature is of the algorithm {one.algorithm!r}, and this splitpoint knows "
                f"{ALGORITHM} alone"
            )
