"""What a version consists of on this device: whole files, or of the weights what some heads read."""

import hashlib
import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from partitioner.bundle.bundle import Bundle
from partitioner.bundle.contents import digest_file
from partitioner.bundle.heads import Held
from partitioner.bundle.manifest import WEIGHTS_FILE, Manifest
from partitioner.bundle.weights_map import ByteRange
from protos.errors import BundleError

_log = logging.getLogger(__name__)

_CHUNK = 1 << 20


@dataclass(frozen=True)
class WantedFile:
    """Bytes of one file, and their digest. `is_whole`: all of it, else a stretch at `offset`."""

    path: str
    size_bytes: int
    sha256: str
    offset: int = 0
    is_whole: bool = True

    def held(self, folder: Path) -> int:
        """Return how many of the bytes are in `folder`, from the first: those of a stretch all or none."""
        target, begun = folder / self.path, part_of(folder / self.path)
        if not self.is_whole:
            return self.size_bytes if self.is_right(target) else 0
        if target.exists() and self.is_right(target):
            return self.size_bytes
        size = begun.stat().st_size if begun.exists() else 0
        return size if size <= self.size_bytes else 0

    def write(self, folder: Path, at: int, chunk: bytes) -> None:
        """Write bytes that come after `at` of them."""
        path = part_of(folder / self.path) if self.is_whole else folder / self.path
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("r+b" if path.exists() else "w+b") as file:
            file.seek(self.offset + at)
            file.write(chunk)
            if self.is_whole:
                file.truncate()

    def finish(self, folder: Path) -> bool:
        """Give a file that is right its name; False, and away with it, where it is not."""
        if not self.is_whole:
            return self.is_right(folder / self.path)
        part = part_of(folder / self.path)
        if part.exists() and self.is_right(part):
            part.replace(folder / self.path)
        elif part.exists():
            part.unlink()
        return (folder / self.path).exists() and self.is_right(folder / self.path)

    def is_right(self, path: Path) -> bool:
        """Tell whether a file has these bytes."""
        if not path.exists():
            return False
        if self.is_whole:
            found = digest_file(path)
            return (found.size_bytes, found.sha256) == (self.size_bytes, self.sha256)
        return _digest(path, self.offset, self.size_bytes) == self.sha256


def whole_files(manifest: Manifest, held: Held | None) -> Iterator[WantedFile]:
    """Yield the files of a version that a device holds whole; the small ones first."""
    files = held.files(manifest) if held else manifest.files
    for path, file in sorted(files.items(), key=lambda item: item[1].size_bytes):
        yield WantedFile(path, file.size_bytes, file.sha256)


def stretches(parts: tuple[ByteRange, ...]) -> Iterator[WantedFile]:
    """Yield the stretches of the weights that some heads read."""
    for one in parts:
        yield WantedFile(WEIGHTS_FILE, one.size_bytes, one.sha256, one.offset, is_whole=False)


def copy_from(bundle: Bundle, wanted: WantedFile, folder: Path) -> bool:
    """Write wanted bytes that a bundle on this device has, under any name; False: it has none.

    It has none, too, where its files were written to since it was loaded.
    """
    found = next((source for source in _sources(bundle) if source[0] == wanted.sha256), None)
    if found is None:
        return False
    _, name, offset = found
    try:
        for at in range(0, wanted.size_bytes, _CHUNK):
            size = min(_CHUNK, wanted.size_bytes - at)
            wanted.write(folder, at, bundle.contents.read_part(name, offset + at, size))
    except BundleError as error:
        _log.warning("what it has of %s is fetched anew: %s", wanted.path, error)
        return False
    return wanted.finish(folder)


def part_of(path: Path) -> Path:
    """Return where a file lies until it is whole."""
    return path.with_name(f"{path.name}.part")


def _sources(bundle: Bundle) -> Iterator[tuple[str, str, int]]:
    """Yield the digests of what a bundle holds, and where each lies."""
    whole = bundle.held.files(bundle.manifest) if bundle.held else bundle.manifest.files
    for name, file in whole.items():
        if file.size_bytes:
            yield file.sha256, name, 0
    if bundle.held:
        for one in bundle.held.parts(bundle.contents, bundle.manifest):
            yield one.sha256, WEIGHTS_FILE, one.offset


def _digest(path: Path, offset: int, size_bytes: int) -> str:
    found = hashlib.sha256()
    with path.open("rb") as file:
        file.seek(offset, os.SEEK_SET)
        while size_bytes and (chunk := file.read(min(_CHUNK, size_bytes))):
            found.update(chunk)
            size_bytes -= len(chunk)
    return found.hexdigest()
