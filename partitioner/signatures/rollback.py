"""Permissions to go back: signed words that devices which ran later releases may run this one.

Such a permission needs no clock. It ends by itself once a device has run a release above those that it names,
so that it cannot be used again after the next one has been put right.
"""

from typing import Final, Literal, Self

from pydantic import ValidationError, model_validator

from partitioner.bundle.bundle import Bundle
from partitioner.bundle.manifest import ROLLBACK_FILE
from partitioner.common.faults import first_fault
from partitioner.common.frozen_model import FrozenModel
from partitioner.signatures.envelope import Envelope
from partitioner.signatures.statement import ModelId, Release, canonical, parse_payload
from partitioner.signatures.trust import Trust, trusted_signers
from protos.errors import SignatureError, UsageError

ROLLBACK_TYPE: Final = "application/vnd.splitpoint.rollback.v1+json"


class Rollback(FrozenModel):
    """Devices that have run `from_release` of a model at most may go back to `to_release`."""

    schema_version: Literal[1] = 1
    model: ModelId
    to_release: Release
    from_release: Release

    @model_validator(mode="after")
    def _goes_back(self) -> Self:
        if self.from_release <= self.to_release:
            raise ValueError(f"release {self.from_release} is not above {self.to_release}")
        return self

    def to_bytes(self) -> bytes:
        """Return the canonical JSON."""
        return canonical(self)

    def allows(self, model: str, to_release: int, highest: int) -> bool:
        """Tell whether a device whose highest release of `model` was `highest` may run `to_release`."""
        return (self.model, self.to_release) == (model, to_release) and highest <= self.from_release


def made_rollback(model: str, to_release: int, from_release: int | None = None) -> Rollback:
    """Return a permission, from the next release alone where none is named; UsageError for what is none."""
    try:
        return Rollback(
            model=model,
            to_release=to_release,
            from_release=to_release + 1 if from_release is None else from_release,
        )
    except ValidationError as error:
        raise UsageError(
            f"there is no going back from release {from_release or to_release + 1} to {to_release} of "
            f"{model!r}: {first_fault(error)}. Give a bundle's name, and a `from_release` above "
            "`to_release`."
        ) from error


def read_rollback(bundle: Bundle, trust: Trust) -> Rollback | None:
    """Return the permission that came with a bundle, signed by a trusted key; None: there is none.

    Raises SignatureError for one that is damaged, forged or of nobody who is trusted.
    """
    if trust.keys is None or ROLLBACK_FILE not in bundle.documents:
        return None
    path = bundle.path / ROLLBACK_FILE
    try:
        envelope = Envelope.parse(bundle.documents[ROLLBACK_FILE])
        if envelope.payload_type != ROLLBACK_TYPE:
            raise ValueError(f"it is of the type {envelope.payload_type!r}, not {ROLLBACK_TYPE!r}")
        trusted_signers(envelope, trust.ring, trust.keys, f"the permission {path}")
        return parse_payload(Rollback, envelope.payload)
    except ValueError as error:
        raise SignatureError(
            f"{path} is no permission to go back: {error}. Make one with: splitpoint permit-rollback."
        ) from error
