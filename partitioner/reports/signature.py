"""The signature of a bundle as it was seen: its release, whose it is, and whether that is known."""

from dataclasses import dataclass
from typing import Any

from partitioner.bundle.bundle import Bundle
from partitioner.signatures.trust import Signed, Trust, stated
from protos.errors import SignatureError


@dataclass(frozen=True)
class SeenSignature:
    """What a signature says; checked or not, and if not, what may be wrong with it."""

    signed: Signed | None
    trusted: bool
    """True where a trusted key has signed this very bundle."""
    wrong: str = ""
    """Why it would be refused; empty where nothing is known to be wrong."""

    @classmethod
    def of(cls, bundle: Bundle, trust: Trust) -> "SeenSignature":
        """Look at the signature of a bundle that `trust` has let pass."""
        if trust.keys is not None:
            signed = trust.check(bundle)
            return cls(signed, signed is not None)
        try:
            signed = stated(bundle)
        except SignatureError as error:
            return cls(None, False, str(error))
        changes = signed.statement.changes(bundle) if signed else ""
        return cls(signed, False, f"changed since: {changes}" if changes else "")

    @property
    def text(self) -> str:
        """One line for people."""
        if self.signed is None:
            return self.wrong or "no"
        keys, when = ", ".join(self.signed.key_ids), self.signed.statement.signed_at
        if self.trusted:
            return f"release {self.signed.release}, by the trusted key {keys}, {when}"
        state = self.wrong or "not checked; give --trusted-keys FOLDER"
        return f"release {self.signed.release}, says key {keys}, {when}; {state}"

    def to_dict(self) -> dict[str, Any] | None:
        """Return plain data; None without a signature."""
        if self.signed is None:
            return {"wrong": self.wrong} if self.wrong else None
        return {
            "release": self.signed.release,
            "key_ids": list(self.signed.key_ids),
            "signed_at": self.signed.statement.signed_at,
            "trusted": self.trusted,
            "wrong": self.wrong or None,
        }
