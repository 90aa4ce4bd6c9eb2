"""Files and folders that appear whole or not at all, files bounded when read whole, and private ones."""

import csv
import errno
import os
import shutil
import stat
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Final

from partitioner.common.units import plural
from protos.errors import FileError, SplitpointError, UsageError, reason
from protos.security.private_files import open_to_others

MAX_DOCUMENT_BYTES: Final = 64 << 20
"""Of the manifest, the graph, the map of the weights and `heads.json`, each: these of a model with
thousands of nodes take about one."""
_MODE: Final = 0o600
_CLOSED: Final = (errno.EACCES, errno.EPERM, errno.EROFS)

_AT_ONCE = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)


@contextmanager
def whole_file(path: Path, kind: type[SplitpointError] = FileError) -> Iterator[Path]:
    """Yield a path beside `path` to write to; that file takes its place at the end, or vanishes.

    Raises an error of this kind when the disk refuses, and `path` is then as it was.
    """
    partial = path.parent / f".{path.name}.{os.getpid()}"
    try:
        yield partial
        partial.replace(path)
    except OSError as error:
        raise kind(unwritable(path, error)) from error
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)


def disk_room(path: Path) -> tuple[int, int] | None:
    """Return the free and all bytes of the disk that holds a path; None where that cannot be asked."""
    try:
        found = shutil.disk_usage(path)
    except OSError:
        return None
    return found.free, found.total


@contextmanager
def whole_folder(target: Path) -> Iterator[Path]:
    """Yield a folder beside `target` that takes its place at the end, or vanishes on any error.

    Raises FileError when the disk refuses, and `target` is then as it was.
    """
    try:
        target.absolute().parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.absolute().parent))
    except OSError as error:
        raise FileError(unwritable(target, error)) from error
    old = partial.with_name(f"{partial.name}.old")
    try:
        yield partial
        partial.chmod(0o755)
        if target.exists():
            target.rename(old)
        partial.rename(target)
    except OSError as error:
        if not _is_of(partial.parent, error):
            raise
        raise FileError(unwritable(target, error)) from error
    finally:
        if old.exists() and not target.exists():
            old.rename(target)
        shutil.rmtree(old, ignore_errors=True)
        shutil.rmtree(partial, ignore_errors=True)


def _is_of(folder: Path, error: OSError) -> bool:
    """Tell whether an error is about what lies in `folder`; a disk that is full names no file."""
    if error.filename is None:
        return error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
    return Path(error.filename).is_relative_to(folder)


def sync_folder(folder: Path) -> None:
    """Return once the disk has all that lies in a folder, so that a power cut leaves all of it; OSError."""
    for path in (*folder.rglob("*"), folder):
        if path.is_dir() and os.name == "nt":
            continue  # Windows opens no folders
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def check_target(what: str, path: Path | None, *, makes_folders: bool = False) -> None:
    """Raise UsageError unless a file may come to `path`: before work that takes long, not after it.

    `makes_folders`: those that are missing will be made.
    """
    if path is None:
        return
    folder = path.parent
    while makes_folders and not folder.exists():
        folder = folder.parent
    why = ""
    if path.is_dir():
        why = "it is a folder"
    elif not folder.is_dir():
        why = f"{folder} is no folder"
    elif not os.access(folder, os.W_OK | os.X_OK):
        why = f"{folder} may not be written to"
    if why:
        raise UsageError(f"{what} {path} cannot be written: {why}. Give a file where one may be.")


def unwritable(path: Path, error: OSError) -> str:
    """Return the sentence that says why `path` cannot be written, and what to do."""
    closed = error.errno in _CLOSED
    remedy = (
        "Give a place that this user may write to" if closed else "Make room, or give another place"
    )
    why = error.strerror or error
    return f"{path} cannot be written: {why}. {remedy}; what was there is as it was."


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write `rows` under `header`; UsageError when that is not possible, and the file is as before."""
    with whole_file(path, UsageError) as partial, partial.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def read_document(path: Path, max_bytes: int = MAX_DOCUMENT_BYTES) -> bytes:
    """Return the bytes of a file; ValueError, before any is read, where it is larger than allowed or none.

    A pipe, which nobody may ever write to, and a device, which may never end, are no files.
    """
    with open_file(path) as file:
        if (size := os.fstat(file.fileno()).st_size) > max_bytes:
            raise ValueError(f"it has {plural(size, 'byte')}, and {max_bytes:,} are allowed")
        return file.read(max_bytes)


def open_file(path: Path) -> BinaryIO:
    """Open a file to read; ValueError, at once, for a pipe, a device or a folder."""
    file = os.open(path, os.O_RDONLY | _AT_ONCE)
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        raise ValueError("it is no file")
    return os.fdopen(file, "rb")


def read_private(path: Path, what: str) -> bytes:
    """Return the bytes of a secret file; FileError, with `what` it is, unless it is private and readable.

    Private: no right for others, an owner who is this user or root, and of a file of root's at most a
    group that reads it. What is opened is what is checked.
    """
    try:
        with path.open("rb") as file:
            check_private(os.fstat(file.fileno()), path, what)
            return file.read()
    except OSError as error:
        raise FileError(
            f"the {what} {path} cannot be read: {reason(error)}. Give a file that this user may read."
        ) from error


def check_private(found: os.stat_result, path: Path, what: str) -> None:
    """Raise FileError unless a file with this status is private, as `read_private` says."""
    if found.st_uid not in (0, os.geteuid()):
        raise FileError(
            f"the {what} {path} belongs to user {found.st_uid}, and this is user {os.geteuid()}. Give it "
            f"to this user: chown {os.geteuid()} {path}."
        )
    if may := open_to_others(found):
        raise FileError(
            f"the {what} {path} has the mode {stat.S_IMODE(found.st_mode):04o}, so that others may {may} "
            f"it. Make it private: chmod 600 {path}."
        )


def write_private(path: Path, content: bytes, *, replaces: bool = True) -> None:
    """Write a file for its owner alone (0600), whole or not at all; FileError when that is not possible.

    With `replaces` False, a file that is there already stays, and is an error.
    """
    with whole_file(path) as partial:
        partial.unlink(missing_ok=True)
        _fill(partial, content)
        if not replaces:
            _claim(partial, path)


def _claim(partial: Path, path: Path) -> None:
    try:
        os.link(partial, path)
    except FileExistsError as error:
        raise FileError(f"{path} is there already, and stays. Give another file.") from error


def _fill(path: Path, content: bytes) -> None:
    # Never through a link that somebody left there, and never readable by others, not even for a moment.
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, _MODE)
    with os.fdopen(handle, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
