"""What is signed of a bundle: its name, its release, and size and SHA-256 of every file that it runs.

What machines measured (`profiles/`) and how a server batches (`serving.toml`) is no part of it: they are
written later, where the bundle runs, and nothing but speed rests on them. Neither is `heads.json`, which says
what of all this one device holds.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Annotated, Final, Literal, TypeVar

from pydantic import Field, ValidationError

from partitioner.bundle.bundle import Bundle
from partitioner.bundle.calibration import CALIBRATION_FILE
from partitioner.bundle.exits import EXITS_FILE
from partitioner.bundle.manifest import MANIFEST_FILE, NAME_PATTERN, FileDigest, Sha256
from partitioner.common.faults import first_fault
from partitioner.common.frozen_model import FrozenModel

BUNDLE_TYPE: Final = "application/vnd.splitpoint.bundle.v1+json"
STATEMENT_SCHEMA_VERSION: Final = 1
MOST_RELEASES: Final = 2**53 - 1
"""The largest number that every reader of JSON keeps exactly."""

ModelId = Annotated[str, Field(pattern=f"^{NAME_PATTERN}$")]
Release = Annotated[int, Field(ge=1, le=MOST_RELEASES)]

D = TypeVar("D", bound=FrozenModel)

_SHOWN = 3


class Statement(FrozenModel):
    """The payload of a bundle's signature."""

    schema_version: Literal[1] = STATEMENT_SCHEMA_VERSION
    model: ModelId
    """The bundle's name: a signature of one model says nothing of another."""
    release: Release
    """Grows with every signature of this model."""
    digest: Sha256
    """Of the bundle, see Manifest.digest: by this a server names the version."""
    signed_at: str
    """UTC, ISO 8601: for people, and never compared with a clock."""
    files: dict[str, FileDigest]

    def to_bytes(self) -> bytes:
        """Return the canonical JSON: keys sorted, no spaces, ASCII."""
        return canonical(self)

    @classmethod
    def of(cls, bundle: Bundle, release: int, signed_at: str) -> "Statement":
        """Return what is to be signed of a whole bundle."""
        return cls(
            model=bundle.name,
            release=release,
            digest=bundle.digest,
            signed_at=signed_at,
            files=dict(files_of(bundle)),
        )

    @classmethod
    def parse(cls, payload: bytes) -> "Statement":
        """Read a payload; ValueError, in words, for what is none."""
        return parse_payload(cls, payload)

    def changes(self, bundle: Bundle) -> str:
        """Say in which files `bundle` is not what was signed; empty: in none."""
        found = files_of(bundle)
        changed = {
            **dict.fromkeys(self.files.keys() - found.keys(), "is not there"),
            **dict.fromkeys(found.keys() - self.files.keys(), "was added"),
            **{
                name: "was changed"
                for name in found.keys() & self.files.keys()
                if found[name] != self.files[name]
            },
        }
        told = [f"{name} {what}" for name, what in sorted(changed.items())]
        rest = f" and {len(told) - _SHOWN} more" if len(told) > _SHOWN else ""
        return ", ".join(told[:_SHOWN]) + rest


def canonical(document: FrozenModel) -> bytes:
    """Return the one spelling of a document that is signed."""
    content = document.model_dump(mode="json")
    return json.dumps(content, sort_keys=True, separators=(",", ":")).encode()


def parse_payload(kind: type[D], payload: bytes) -> D:
    """Read a payload; ValueError, in words, for what is none of this kind."""
    try:
        return kind.model_validate_json(payload)
    except ValidationError as error:
        raise ValueError(first_fault(error)) from error


def files_of(bundle: Bundle) -> Mapping[str, FileDigest]:
    """Return size and SHA-256 of every file that belongs to a bundle, as it was loaded.

    Those that the manifest names were checked against it, and are held open; of a head-only bundle some are
    not there, or in parts that the map of the weights has digests for. Raises BundleError for exits that are
    of another bundle.
    """
    read = {
        MANIFEST_FILE: bundle.documents[MANIFEST_FILE],
        CALIBRATION_FILE: bundle.calibration.file if bundle.calibration else b"",
        EXITS_FILE: bundle.exits.file if bundle.exits else b"",
    }
    found = {name: _digest(content) for name, content in read.items() if content}
    return {**bundle.manifest.files, **found}


def _digest(content: bytes) -> FileDigest:
    return FileDigest(sha256=hashlib.sha256(content).hexdigest(), size_bytes=len(content))
