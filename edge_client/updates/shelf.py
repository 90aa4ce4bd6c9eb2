"""The shelf: what a device keeps of versions beside the folder of its bundle.

    NAME.bundle                  the version that has proved itself, and with which the device starts
    .NAME.bundle.update/
        state.json               which version is being tried, and which was refused and why
        parts/DIGEST/            a version that is being fetched
        ready/DIGEST/            a version that is whole, and not yet proved
        .lock                    held by the program that updates the bundle
        left/                    the version before, for the moment in which folders change places

A device that loses power at any moment starts with a version that is whole.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Final, Literal

from pydantic import Field

from partitioner.bundle.manifest import MANIFEST_FILE
from partitioner.common.files import read_document, sync_folder, unwritable, whole_file
from partitioner.common.frozen_model import FrozenModel
from protos.errors import FileError

_STATE_FILE: Final = "state.json"
_STATE_BYTES = 1 << 20
_NAME = 16
"""Characters of a digest that name a folder."""
MOST_STARTS: Final = 2
"""A version that the device ended with so often, without a word, is refused."""


class ShelfState(FrozenModel):
    """What has to outlast a restart."""

    schema_version: Literal[1] = 1
    trying: str = ""
    """The digest of the version on trial; empty: none is."""
    starts: int = Field(default=0, ge=0)
    """How often its trial was begun, and not ended."""
    refused: str = ""
    """The digest of the version that is not tried again until another one is offered."""
    why: str = ""


class VersionShelf:
    """The versions beside one bundle's folder. All methods raise FileError where the disk refuses."""

    def __init__(self, bundle: Path) -> None:
        self.bundle = bundle.resolve()  # a link stays, and what it leads to changes places
        self.folder = folder_beside(self.bundle)

    @property
    def state(self) -> ShelfState:
        """What was kept; as new where nothing was, or what was is damaged."""
        try:
            return ShelfState.model_validate_json(
                read_document(self.folder / _STATE_FILE, _STATE_BYTES)
            )
        except (OSError, ValueError):
            return ShelfState()

    def keep(self, state: ShelfState) -> None:
        """Keep a state, so that a power cut leaves this one or the one before."""
        path = self.folder / _STATE_FILE
        self._make(self.folder)
        with whole_file(path) as partial, partial.open("wb") as file:
            file.write(state.model_dump_json(indent=1).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())

    def begin_trial(self, digest: str) -> None:
        """Note that a version is tried from now on."""
        before = self.state
        starts = before.starts + 1 if before.trying == digest else 1
        self.keep(before.model_copy(update={"trying": digest, "starts": starts}))

    def end_trial(self) -> None:
        """Note that no version is tried any more: it was left in good order."""
        self.keep(self.state.model_copy(update={"trying": "", "starts": 0}))

    def refuse(self, digest: str, why: str) -> None:
        """Remember not to try a version again, and let go of its files."""
        self.keep(ShelfState(refused=digest, why=why))
        for folder in (self.parts(digest), self.ready(digest)):
            shutil.rmtree(folder, ignore_errors=True)

    def allow(self) -> None:
        """Forget what was refused, as another version is offered."""
        self.keep(self.state.model_copy(update={"refused": "", "why": ""}))

    def crashed_with(self, digest: str) -> bool:
        """Tell whether the device ended without a word as often as it may while it tried a version."""
        state = self.state
        return state.trying == digest and state.starts >= MOST_STARTS

    def parts(self, digest: str) -> Path:
        """Return the folder of a version that is being fetched."""
        return self.folder / "parts" / digest[:_NAME]

    def ready(self, digest: str) -> Path:
        """Return the folder of a version that is whole."""
        return self.folder / "ready" / digest[:_NAME]

    def is_ready(self, digest: str) -> bool:
        """Tell whether a version is there as a whole."""
        return (self.ready(digest) / MANIFEST_FILE).exists()

    def complete(self, digest: str) -> Path:
        """Put what was fetched where whole versions are, and let go of other versions; return its folder."""
        parts, ready = self.parts(digest), self.ready(digest)
        try:
            shutil.rmtree(ready, ignore_errors=True)
            ready.parent.mkdir(parents=True, exist_ok=True)
            sync_folder(parts)  # a name must not reach the disk before what it names
            parts.rename(ready)
        except OSError as error:
            raise FileError(unwritable(ready, error)) from error
        self.clear(but=digest)
        return ready

    def clear(self, but: str = "") -> None:
        """Let go of all versions but one: what nobody wants any more does not fill the disk."""
        for kind in ("parts", "ready"):
            for folder in (self.folder / kind).glob("*"):
                if folder.name != but[:_NAME]:
                    shutil.rmtree(folder, ignore_errors=True)

    def promote(self, digest: str, before: str) -> None:
        """Let a version that has proved itself take the place of the bundle, whose version is `before`.

        That one stays until the next version is complete: to go back to it, nothing has to be fetched.
        """
        left, ready = self.folder / "left", self.ready(before)
        try:
            shutil.rmtree(left, ignore_errors=True)
            self.bundle.rename(left)
            self.ready(digest).rename(self.bundle)
            shutil.rmtree(ready, ignore_errors=True)
            left.rename(ready)
        except OSError as error:
            restore_folder(self.bundle)
            raise FileError(unwritable(self.bundle, error)) from error
        self.end_trial()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep other programs that run the same bundle from updating it; FileError where one does already."""
        self._make(self.folder)
        path = self.folder / ".lock"
        try:
            file = path.open("a")
        except OSError as error:
            raise FileError(unwritable(path, error)) from error
        with file:
            if not _locked(file):
                raise FileError(
                    f"another program updates {self.bundle}. It goes on, and this one takes over when that "
                    "has ended. Give each program a bundle of its own, so that both are updated."
                )
            yield

    def _make(self, folder: Path) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise FileError(unwritable(folder, error)) from error


def _locked(file: IO[str]) -> bool:
    """Lock a file until it is closed; False where another has locked it."""
    try:
        import fcntl
    except ImportError:  # Windows: programs there take turns
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def folder_beside(bundle: Path) -> Path:
    """Return the folder of the shelf of a bundle's folder."""
    return bundle.with_name(f".{bundle.name}.update")


def restore_folder(bundle: Path) -> None:
    """Put a bundle's folder back where a power cut came while versions changed places."""
    bundle = bundle.resolve()
    left = folder_beside(bundle) / "left"
    if not bundle.exists() and left.exists():
        with suppress(OSError):
            left.rename(bundle)
