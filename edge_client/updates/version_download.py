"""The download of a version beside the frames: piece by piece, only what this device lacks, and resumable."""

import asyncio
import shutil
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Protocol

from edge_client.cloud.file_pieces import inside
from edge_client.updates.offer import VersionOffer
from edge_client.updates.pace import DownloadPace
from edge_client.updates.shelf import VersionShelf
from edge_client.updates.wanted_files import (
    WantedFile,
    copy_from,
    part_of,
    stretches,
    whole_files,
)
from partitioner.bundle.bundle import Bundle
from partitioner.bundle.calibration import CALIBRATION_FILE
from partitioner.bundle.contents import Contents
from partitioner.bundle.exits import EXITS_FILE
from partitioner.bundle.heads import Held
from partitioner.bundle.manifest import (
    MANIFEST_FILE,
    ROLLBACK_FILE,
    SIGNATURE_FILE,
    Manifest,
    read_manifest,
)
from partitioner.common.files import MAX_DOCUMENT_BYTES, unwritable
from partitioner.common.units import format_size, plural
from protos.errors import BundleError, FileError, MismatchError

_PATIENCE_S = 1.0
"""A piece waits for the link to be free for so long."""
_LOOK_S = 0.01
_SPARE_BYTES = 16 << 20
"""Of the disk that stay free, whatever is downloaded."""
_DOCUMENTS = (CALIBRATION_FILE, EXITS_FILE, SIGNATURE_FILE, ROLLBACK_FILE)
"""What a version may have beside the files of its manifest."""


@dataclass(frozen=True)
class FilePart:
    """Bytes of a file at the server, and how large all of it is there."""

    chunk: bytes
    file_bytes: int


class PartSource(Protocol):
    """Where parts of a version's files come from."""

    async def fetch(self, path: str, offset: int, most_bytes: int) -> FilePart:
        """Return bytes of a file; raises NetworkError, or what the server refuses it with."""
        ...


class SharedLink(Protocol):
    """The link, as frames use it."""

    @property
    def is_busy(self) -> bool:
        """True while a frame uses it."""
        ...

    def shared(self, since_s: float, until_s: float) -> None:
        """Note that something else used the link: what frames took meanwhile tells nothing of it."""
        ...


Sleep = Callable[[float], Awaitable[None]]


class VersionDownload:
    """Fetches one version into the shelf; `beside`: the bundle in use, whose files are not fetched again."""

    def __init__(
        self,
        offer: VersionOffer,
        source: PartSource,
        shelf: VersionShelf,
        beside: Bundle,
        link: SharedLink,
        pace: DownloadPace | None = None,
        *,
        clock: Callable[[], float] = perf_counter,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self.fetched_bytes = 0
        """What came over the link."""
        self._offer = offer
        self._source = source
        self._shelf = shelf
        self._beside = beside
        self._link = link
        self._pace = pace or DownloadPace()
        self._clock, self._sleep = clock, sleep
        self._folder = shelf.parts(offer.version_digest)

    async def run(self) -> Path:
        """Fetch what is missing, check all of it, and return the folder of the version.

        What has come stays after a failure of the link, and is gone on with by the next `run`, also after a
        restart. Raises NetworkError, what the server refuses, FileError when the disk is full (nothing is
        left then), and BundleError or MismatchError for what is not what was offered (nothing is left
        either).
        """
        try:
            return await self._run()
        except OSError as error:
            shutil.rmtree(self._folder, ignore_errors=True)
            raise FileError(unwritable(self._folder, error)) from error
        except (FileError, BundleError, MismatchError):
            shutil.rmtree(self._folder, ignore_errors=True)
            raise

    async def _run(self) -> Path:
        manifest = await self._manifest()
        held = self._beside.held and Held.of(manifest, _still_there(self._beside.held, manifest))
        if held:
            held.save(self._folder)
        wanted = list(whole_files(manifest, held))
        self._check_room(wanted)
        for one in wanted:
            await self._obtain(one)
        if held:
            contents = Contents(self._folder, held.files(manifest))
            for stretch in stretches(held.parts(contents, manifest)):
                await self._obtain(stretch)
        for document in self._offer.documents:
            await self._document(document)
        part_of(self._folder / MANIFEST_FILE).replace(self._folder / MANIFEST_FILE)
        copy = await asyncio.to_thread(Bundle.load, self._folder)
        if copy.version_digest != self._offer.version_digest:
            raise MismatchError(
                f"what was fetched of {copy.name!r} is version {copy.version_digest[:12]}…, and "
                f"{self._offer.version_digest[:12]}… was offered. It is fetched again."
            )
        return await asyncio.to_thread(self._shelf.complete, self._offer.version_digest)

    async def _manifest(self) -> Manifest:
        """Fetch the manifest, which is kept under another name until all that it names is there."""
        self._folder.mkdir(parents=True, exist_ok=True)
        path, part = self._folder / MANIFEST_FILE, part_of(self._folder / MANIFEST_FILE)
        content = await self._whole(MANIFEST_FILE)
        path.write_bytes(content)
        try:
            manifest = read_manifest(self._folder)
        finally:
            path.replace(part)
        if (manifest.name, manifest.digest) != (self._offer.name, self._offer.bundle_digest):
            raise MismatchError(
                f"the server sent the manifest of {manifest.name!r} {manifest.digest[:12]}…, and offered "
                f"{self._offer.name!r} {self._offer.bundle_digest[:12]}…. It was refused."
            )
        return manifest

    async def _obtain(self, wanted: WantedFile) -> None:
        inside(self._folder, wanted.path)  # the manifest came over the network
        at = await asyncio.to_thread(wanted.held, self._folder)
        if at == wanted.size_bytes and at:
            if await asyncio.to_thread(wanted.finish, self._folder):
                return
            at = 0
        if await asyncio.to_thread(copy_from, self._beside, wanted, self._folder):
            return
        if at and await self._fetch(wanted, at):
            return
        # What was kept of it may be wrong: a power cut leaves zeros.
        if not await self._fetch(wanted, 0):
            raise BundleError(
                f"{wanted.path} came with another digest than {wanted.sha256[:12]}…, which the manifest "
                "names. This version is not used; check the bundle at the server."
            )

    async def _fetch(self, wanted: WantedFile, at: int) -> bool:
        """Fetch what comes after the first `at` bytes of a file; False: all of it together is wrong."""
        await asyncio.to_thread(wanted.write, self._folder, at, b"")
        while at < wanted.size_bytes:
            most_bytes = min(self._pace.piece_bytes, wanted.size_bytes - at)
            part = await self._piece(wanted.path, wanted.offset + at, most_bytes)
            await asyncio.to_thread(wanted.write, self._folder, at, part.chunk)
            at += len(part.chunk)
        return await asyncio.to_thread(wanted.finish, self._folder)

    async def _document(self, path: str) -> None:
        if path not in _DOCUMENTS:
            raise BundleError(
                f"the server offers a file called {path!r}, which is none that a version has beside its "
                "manifest. It was refused: update this device, or do not trust this server."
            )
        target = inside(self._folder, path)
        target.write_bytes(await self._whole(path))

    async def _whole(self, path: str) -> bytes:
        """Return a small file."""
        content = bytearray()
        while True:
            part = await self._piece(path, len(content), self._pace.piece_bytes)
            content += part.chunk
            if len(content) >= part.file_bytes:
                return bytes(content)
            if part.file_bytes > MAX_DOCUMENT_BYTES:
                raise BundleError(
                    f"the server announces {path} of {format_size(part.file_bytes)}, which is more than any "
                    "has. It was refused: do not trust this server."
                )

    async def _piece(self, path: str, offset: int, most_bytes: int) -> FilePart:
        """Fetch a piece when the pace allows it, and if possible while no frame crosses."""
        await self._sleep(self._pace.wait_s(self._clock()))
        patient_until = self._clock() + _PATIENCE_S
        while self._link.is_busy and self._clock() < patient_until:
            await self._sleep(_LOOK_S)
        asked_at = self._clock()
        try:
            part = await self._source.fetch(path, offset, most_bytes)
        finally:
            self._link.shared(asked_at, self._clock())
        ends_early = not part.chunk and part.file_bytes > offset
        if ends_early or len(part.chunk) > most_bytes:
            raise BundleError(
                f"the server sent {plural(len(part.chunk), 'byte')} of {path}, and {most_bytes:,} were asked "
                "for. "
                "It was refused: update this server, or do not trust it."
            )
        self._pace.came(len(part.chunk), asked_at, self._clock())
        self.fetched_bytes += len(part.chunk)
        return part

    def _check_room(self, wanted: list[WantedFile]) -> None:
        there = sum(min(one.size_bytes, _size(self._folder, one)) for one in wanted)
        needed = sum(one.size_bytes for one in wanted) - there + _SPARE_BYTES
        free = shutil.disk_usage(self._folder).free
        if free < needed:
            raise FileError(
                f"version {self._offer.version_digest[:12]}… of {self._offer.name} needs "
                f"{format_size(needed)} of disk, and {format_size(free)} are free at {self._folder.parent}. "
                "Make room; the version in use goes on."
            )


def _still_there(held: Held, manifest: Manifest) -> list[str]:
    known = {cut.id for cut in manifest.cuts if cut.head_graph}
    return [cut for cut in held.cuts if cut in known]


def _size(folder: Path, wanted: WantedFile) -> int:
    for path in (folder / wanted.path, part_of(folder / wanted.path)):
        if path.exists():
            return path.stat().st_size
    return 0
