"""Keys, and signed copies of bundles."""

import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from partitioner.bundle.bundle import Bundle
from partitioner.bundle.manifest import ROLLBACK_FILE
from partitioner.signatures.envelope import Envelope
from partitioner.signatures.keys import PUBLIC_SUFFIX, SigningKey, new_key, save_key
from partitioner.signatures.rollback import ROLLBACK_TYPE, made_rollback
from partitioner.signatures.signer import sign_bundle, write_envelope
from partitioner.signatures.trust import Trust

SIGNED_AT = datetime(2026, 11, 30, 12, tzinfo=UTC)


@dataclass(frozen=True)
class Signer:
    """Somebody whose key is trusted."""

    key: SigningKey
    folder: Path

    @classmethod
    def new(cls, folder: Path) -> "Signer":
        """One with a key of their own, and a folder that trusts it."""
        (folder / "trusted").mkdir(parents=True)
        made = new_key()
        public = save_key(folder / "release", made)
        public.rename(folder / "trusted" / f"release{PUBLIC_SUFFIX}")
        return cls(made, folder)

    @property
    def trusted(self) -> Path:
        """The folder of trusted keys."""
        return self.folder / "trusted"

    @property
    def trust(self) -> Trust:
        """One that requires this signer's signature."""
        return Trust(self.trusted, required=True)

    @property
    def key_file(self) -> Path:
        """The private key."""
        return self.folder / "release"

    def sign(self, folder: Path, release: int | None = None) -> Path:
        """Sign the bundle in a folder, and return the folder."""
        sign_bundle(Bundle.load(folder), [self.key], release, SIGNED_AT)
        return folder

    def signed_copy(self, bundle: Bundle, folder: Path, release: int | None = None) -> Path:
        """Return a signed copy of a bundle."""
        shutil.copytree(bundle.path, folder)
        return self.sign(folder, release)

    def permit(self, folder: Path, model: str, to_release: int, from_release: int) -> None:
        """Lay a permission to go back into a bundle's folder."""
        payload = made_rollback(model, to_release, from_release).to_bytes()
        write_envelope(folder / ROLLBACK_FILE, Envelope.seal(ROLLBACK_TYPE, payload, [self.key]))
