"""Files that appear whole or not at all when written, and are bounded when read whole."""

import csv
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from partitioner.common.units import plural
from protos.errors import FileError, SplitpointError, UsageError

MAX_DOCUMENT_BYTES: Final = 64 << 20
"""Of the manifest, the graph, the map of the weights and `heads.json`, each: these of a model with
thousands of nodes take about one."""


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
    return (
        f"{path} cannot be written: {error.strerror or error}. Make room, or give another place; what "
        "was there is as it was."
    )


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write `rows` under `header`; UsageError when that is not possible, and the file is as before."""
    with whole_file(path, UsageError) as partial, partial.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def read_document(path: Path, max_bytes: int = MAX_DOCUMENT_BYTES) -> bytes:
    """Return the bytes of a file; ValueError, before any is read, where it is larger than allowed."""
    if (size := path.stat().st_size) > max_bytes:
        raise ValueError(f"it has {plural(size, 'byte')}, and {max_bytes:,} are allowed")
    return path.read_bytes()
