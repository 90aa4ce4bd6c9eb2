"""The release book: the highest release of each model that a device has run, kept in its state folder."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from pydantic import Field

from partitioner.bundle.bundle import Bundle
from partitioner.bundle.manifest import ROLLBACK_FILE
from partitioner.common.files import read_document, whole_file
from partitioner.common.frozen_model import FrozenModel
from partitioner.signatures.rollback import read_rollback
from partitioner.signatures.statement import ModelId, Release
from partitioner.signatures.trust import Signed, Trust
from protos.errors import FileError, SignatureError, UsageError, reason

RELEASES_FILE: Final = "releases.json"
_MAX_BYTES = 4 << 20


class _Releases(FrozenModel):
    schema_version: Literal[1] = 1
    highest: dict[ModelId, Release] = Field(default_factory=dict)


@dataclass(frozen=True)
class ReleaseBook:
    """The book in one state folder; the folder is made with the first release."""

    folder: Path

    @property
    def path(self) -> Path:
        """The book's file."""
        return self.folder / RELEASES_FILE

    def highest(self) -> Mapping[str, int]:
        """Return the highest release that was run, by model. Raises FileError for a damaged book."""
        try:
            return _Releases.model_validate_json(read_document(self.path, _MAX_BYTES)).highest
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise FileError(
                f"{self.path} cannot be read: {reason(error)}. Let this user read it, or give another "
                "`state`."
            ) from error
        except ValueError as error:
            raise FileError(
                f"{self.path} is damaged, so that nobody can tell which releases this device has run. "
                "Restore it, or remove it if any signed release may run."
            ) from error

    def note(self, model: str, release: int) -> None:
        """Keep a release that runs, if it is the highest. Raises FileError when it cannot be kept."""
        if self.highest().get(model, 0) >= release:
            return
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with _locked(self.folder):
                found = dict(self.highest())
                if found.get(model, 0) < release:
                    self._write(_Releases(highest={**found, model: release}))
        except OSError as error:
            raise FileError(
                f"{self.folder} cannot keep that this device runs release {release} of {model}: "
                f"{reason(error)}. Give a `state` folder that this user may write to and that restarts leave "
                "alone."
            ) from error

    def _write(self, releases: _Releases) -> None:
        with whole_file(self.path) as partial, partial.open("wb") as file:
            file.write(releases.model_dump_json(indent=1).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())  # a power cut must not leave a book that is none


@dataclass(frozen=True)
class DeviceTrust:
    """What a device may run: what is signed as wanted, and is no step back without permission."""

    trust: Trust
    book: ReleaseBook | None
    """None where no signature is looked at."""

    @classmethod
    def of(
        cls, keys: str | Path | None, state: str | Path | None, *, required: bool
    ) -> "DeviceTrust":
        """Return the trust of a device with these options. Raises UsageError, as `Trust` does."""
        trust = Trust.of(keys, required=required)
        if keys is None:
            return cls(trust, None)
        return cls(trust, ReleaseBook(default_state_folder() if state is None else Path(state)))

    def check(self, bundle: Bundle) -> Signed | None:
        """Return what is signed of a bundle that may run here, see `Trust.check`.

        Raises SignatureError also for a release below the highest that ran here, unless the bundle came with
        a permission, for one that is not signed where releases ran, and FileError for a damaged book.
        """
        signed = self.trust.check(bundle)
        if self.book is None:
            return signed
        highest = self.book.highest().get(bundle.name, 0)
        if signed is None:
            if highest:
                raise SignatureError(
                    f"{bundle.path} is not signed, and this device has run release {highest} of "
                    f"{bundle.name}: it may be an older one whose signature was taken away. Sign it: "
                    f"splitpoint sign {bundle.name} --key FILE."
                )
            return None
        if signed.release < highest and not self._may_go_back(bundle, signed, highest):
            raise SignatureError(
                f"{bundle.path} is release {signed.release} of {bundle.name}, and this device has run "
                f"release {highest}. It goes back with a signed permission alone: splitpoint permit-rollback "
                f"{bundle.name} --to-release {signed.release} --from-release {highest} --key FILE "
                f"--out {ROLLBACK_FILE}; put that file into the folder of release {signed.release}."
            )
        return signed

    def remember(self, bundle: Bundle) -> None:
        """Keep that this bundle runs here, where it is signed; raises as `check`, and FileError."""
        signed = self.check(bundle)
        if signed is not None and self.book is not None:
            self.book.note(bundle.name, signed.release)

    def _may_go_back(self, bundle: Bundle, signed: Signed, highest: int) -> bool:
        permission = read_rollback(bundle, self.trust)
        if permission is None:
            return False
        if permission.model != bundle.name:
            raise SignatureError(
                f"{bundle.path / ROLLBACK_FILE} permits {permission.model} to go back, and this bundle is "
                f"{bundle.name}. Make one for it: splitpoint permit-rollback {bundle.path} --to-release "
                f"{signed.release} --from-release {highest} --key FILE."
            )
        return permission.allows(bundle.name, signed.release, highest)


def default_state_folder() -> Path:
    """Return where a device keeps what it has to remember: as systemd says, else as XDG has it.

    Raises UsageError where there is no such place.
    """
    given = os.environ.get("STATE_DIRECTORY", "").split(":")[0]
    if given:
        return Path(given)
    base = os.environ.get("XDG_STATE_HOME", "")
    try:
        root = Path(base) if base else Path("~/.local/state").expanduser()
    except RuntimeError as error:
        raise UsageError(
            "this user has no home folder to keep a state in. Give `state`, a folder that restarts leave "
            "alone."
        ) from error
    return root / "splitpoint"


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold the folder's lock, so that of two programs neither forgets what the other has noted."""
    with (folder / f".{RELEASES_FILE}.lock").open("a") as file:
        try:
            import fcntl
        except ImportError:  # Windows: programs there take turns
            yield
            return
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
