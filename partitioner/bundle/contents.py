"""The bytes of a bundle as they were when it was loaded, whatever becomes of its folder since.

Every file that a bundle has is held open from the moment in which its digest was checked. A folder that is
replaced, renamed or removed changes nothing then: an open file stays what it was. A file that is written to
in place is found out when it is read next, since what was read is held against the digest again.
"""

import errno
import hashlib
import mmap
import os
import stat
import time
import weakref
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from partitioner.bundle.manifest import MANIFEST_FILE, FileDigest
from partitioner.bundle.weights_map import ByteRange
from partitioner.common.files import MAX_DOCUMENT_BYTES
from partitioner.common.units import plural
from protos.errors import BundleError
from protos.tensors import Buffer

_CHUNK = 1 << 20
_SETTLED_NS = 2_000_000_000
"""A file that was written to so shortly before its check may change again within a tick of its clock."""

_TOO_MANY = (errno.EMFILE, errno.ENFILE)

Wanted = FileDigest | Sequence[ByteRange]
"""What a file is to hold: all of it, or these parts of it."""


class Contents:
    """The files of one bundle, held open; closed with the last reference to this."""

    def __init__(self, folder: Path, whole: Mapping[str, FileDigest]) -> None:
        """Open and check every file of `whole`; BundleError for one that is missing, outside or damaged."""
        self.folder = folder
        self._files: dict[str, _Held] = {}
        self._closer = weakref.finalize(self, _close, self._files)
        try:
            for name, wanted in whole.items():
                self._hold(name, wanted, "Import or copy the bundle again")
        except BaseException:
            self._closer()
            raise

    def hold_parts(self, name: str, parts: Sequence[ByteRange]) -> None:
        """Open a file of which only these parts are there, and check them."""
        self._hold(name, tuple(parts), "Fetch or copy the heads again")

    @property
    def names(self) -> Collection[str]:
        """The files that are held, by their names in the manifest."""
        return self._files.keys()

    def read(self, name: str) -> Buffer:
        """Return the bytes of a file; where nothing is there of it, zeros that take no memory.

        Raises BundleError when the file was written to since it was checked.
        """
        held = self._files[name]
        data = _read(held.file)
        if not held.is_untouched and not _matches(data, held.wanted):
            raise self._changed(name)
        return data

    def document(self, name: str) -> bytes:
        """Return a file that is read whole; BundleError where it would fill the memory, or as in `read`."""
        if (size := os.fstat(self._files[name].file).st_size) > MAX_DOCUMENT_BYTES:
            raise BundleError(
                f"{self.folder / name} is no such document: it has {plural(size, 'byte')}, and "
                f"{MAX_DOCUMENT_BYTES:,} are allowed. Import or copy the bundle again."
            )
        return bytes(self.read(name))

    def read_part(self, name: str, offset: int, size_bytes: int) -> bytes:
        """Return some bytes of a file that is sent in pieces, and whose digest the receiver checks.

        Raises BundleError when it was written to since it was checked.
        """
        held = self._files[name]
        data = os.pread(held.file, size_bytes, offset)
        if len(data) != size_bytes or (_Mark.of(held.file) != held.mark and not self._renew(name)):
            raise self._changed(name)
        return data

    def _hold(self, name: str, wanted: Wanted, advice: str) -> None:
        path = self.folder / name
        if not path.resolve().is_relative_to(self.folder.resolve()):
            raise BundleError(
                f"{self.folder / MANIFEST_FILE} names {name!r}, which lies outside the bundle."
            )
        try:
            file = _open(path)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise BundleError(f"{self.folder} lacks {name}. {advice}.") from error
        except OSError as error:
            what = f"{path} cannot be opened: {error.strerror}"
            if error.errno in _TOO_MANY:
                raise BundleError(
                    f"{what}. Each bundle keeps its files open: allow more with ulimit -n, or load fewer."
                ) from error
            raise BundleError(f"{what}. Let it be read by this user.") from error
        self._files[name] = _Held(file, wanted, _Mark.of(file), time.time_ns())
        if problem := _problem(file, wanted):
            raise BundleError(f"{path} is damaged: {problem}. {advice}.")

    def _renew(self, name: str) -> bool:
        """Check a file again that looks different; return whether it still holds what is wanted."""
        held = self._files[name]
        renewed = replace(held, mark=_Mark.of(held.file), checked_ns=time.time_ns())
        if _problem(held.file, held.wanted) is not None:
            return False
        self._files[name] = renewed
        return True

    def _changed(self, name: str) -> BundleError:
        return BundleError(
            f"{name} of {self.folder.name} was written to since the bundle was loaded, and holds something "
            "else now. Nothing of it is used. Start again to use what is there; and replace a bundle's "
            "folder as a whole, as splitpoint import --force does."
        )


class _Mark(NamedTuple):
    """What the system says of a file; it changes with every change of the file, up to the clock's tick."""

    size_bytes: int
    modified_ns: int
    changed_ns: int

    @classmethod
    def of(cls, file: int) -> "_Mark":
        found = os.fstat(file)
        return cls(found.st_size, found.st_mtime_ns, found.st_ctime_ns)


@dataclass(frozen=True, slots=True)
class _Held:
    """An open file, what it has to hold, and how it looked before it was checked."""

    file: int
    wanted: Wanted
    mark: _Mark
    checked_ns: int

    @property
    def is_untouched(self) -> bool:
        """True if the system would know of a change since the check, and knows of none.

        A link or a new name counts as a change of the file too: then its bytes are compared.
        """
        would_know = self.mark.changed_ns < self.checked_ns - _SETTLED_NS
        return would_know and _Mark.of(self.file) == self.mark


def _open(path: Path) -> int:
    """Open a file; where the process has as many as it may, it may have as many as the system allows."""
    flags = os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0)
    try:
        return os.open(path, flags)
    except OSError as error:
        if error.errno != errno.EMFILE or not allow_more_files():
            raise
        return os.open(path, flags)


def allow_more_files() -> bool:
    """Raise the soft limit of open files to the hard one; False where it is there, or there is none."""
    try:
        import resource
    except ImportError:  # Windows
        return False
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == hard:
        return False
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    except (OSError, ValueError):  # some systems allow less than they say
        return False
    return True


def _close(files: "dict[str, _Held]") -> None:
    for held in files.values():
        os.close(held.file)
    files.clear()


def _problem(file: int, wanted: Wanted) -> str | None:
    """Return what is wrong with an open file, in words; None if it holds what is wanted."""
    status = os.fstat(file)
    if not stat.S_ISREG(status.st_mode):
        return "it is no file"
    size_bytes = status.st_size
    if isinstance(wanted, FileDigest):
        if size_bytes != wanted.size_bytes:
            return f"it has {plural(size_bytes, 'byte')} instead of {wanted.size_bytes:,}"
        found = _digest(lambda at, most: os.pread(file, most, at), 0, size_bytes)
        if found != wanted.sha256:
            return f"it has the digest {str(found)[:12]}… instead of {wanted.sha256[:12]}…"
        return None
    for one in wanted:
        found = _digest(lambda at, most: os.pread(file, most, at), one.offset, one.size_bytes)
        if found != one.sha256:
            what = f"have the digest {found[:12]}…" if found else "are not all there"
            return f"its bytes {one.offset} to {one.end} {what}, and {one.sha256[:12]}… is wanted"
    return None


def _digest(read: Callable[[int, int], bytes], offset: int, size_bytes: int) -> str | None:
    """Return the sha256 of some bytes; None where there are fewer."""
    found, end = hashlib.sha256(), offset + size_bytes
    while offset < end:
        chunk = read(offset, min(_CHUNK, end - offset))
        if not chunk:
            return None
        found.update(chunk)
        offset += len(chunk)
    return found.hexdigest()


def _matches(data: Buffer, wanted: Wanted) -> bool:
    view = memoryview(data)
    if isinstance(wanted, FileDigest):
        return len(view) == wanted.size_bytes and hashlib.sha256(view).hexdigest() == wanted.sha256
    return all(
        one.end <= len(view)
        and hashlib.sha256(view[one.offset : one.end]).hexdigest() == one.sha256
        for one in wanted
    )


def _read(file: int) -> Buffer:
    """Return a whole file in memory of its own; its holes take none."""
    size_bytes = os.fstat(file).st_size
    if size_bytes == 0:
        return b""
    view = memoryview(mmap.mmap(-1, size_bytes))
    offset = 0
    while offset < size_bytes:
        start, end = _next_data(file, offset, size_bytes)
        while start < end:
            count = os.preadv(file, [view[start : min(end, start + _CHUNK)]], start)
            if not count:  # it has become shorter, which the digest tells
                return view
            start += count
        offset = end
    return view


def _next_data(file: int, offset: int, size_bytes: int) -> tuple[int, int]:
    """Return where the next bytes begin and end that are no hole."""
    if not hasattr(os, "SEEK_DATA"):
        return offset, size_bytes
    try:
        start = os.lseek(file, offset, os.SEEK_DATA)
        return start, os.lseek(file, start, os.SEEK_HOLE)
    except OSError as error:
        if error.errno == errno.ENXIO:  # nothing but a hole up to the end
            return size_bytes, size_bytes
        return offset, size_bytes  # a file system that knows no holes


def digest_file(path: Path) -> FileDigest:
    """Return size and sha256 of a file."""
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return FileDigest(sha256=sha256, size_bytes=path.stat().st_size)
