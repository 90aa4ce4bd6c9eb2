"""Files from a server in pieces: written below one folder, within a limit of bytes."""

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path, PurePosixPath

from partitioner.common.units import plural
from protos.errors import BundleError
from protos.splitpoint_pb2 import FetchBundleResponse

_PIECE_BYTES = 1024
"""Bytes that each piece counts at least, so that empty pieces reach the limit too."""

OnFile = Callable[[str, int, int], None]
"""Path of a file, its bytes that have come, and all of its bytes."""


def capped(pieces: Iterable[FetchBundleResponse], most_bytes: int) -> Iterator[FetchBundleResponse]:
    """Yield the pieces; BundleError once they are more than `most_bytes` together."""
    total = 0
    for piece in pieces:
        total += max(len(piece.chunk) + piece.skipped_bytes, _PIECE_BYTES)
        if total > most_bytes:
            raise BundleError(
                f"the server sends more than the {plural(most_bytes, 'byte')} that its list allows for. "
                "It was refused: do not trust this server, or update it."
            )
        yield piece


def write_files(
    folder: Path, pieces: Iterable[FetchBundleResponse], on_file: OnFile, *, holed: str = ""
) -> None:
    """Write the pieces of files, in order, below `folder`; only the one called `holed` may have holes.

    Raises BundleError on a path that leaves the folder, and on a hole in any other file.
    """
    for piece in pieces:
        path = inside(folder, piece.path)
        if piece.skipped_bytes and piece.path != holed:
            raise BundleError(
                f"the server leaves {plural(piece.skipped_bytes, 'byte')} of {piece.path} out, which nobody "
                "asked for. It was refused: do not trust this server, or update it."
            )
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("r+b" if path.exists() else "xb") as file:
            file.seek(piece.skipped_bytes, os.SEEK_END)
            file.write(piece.chunk)
            written = file.tell()
        if written > piece.size_bytes:
            raise BundleError(
                f"the server sent more of {piece.path} than the {plural(piece.size_bytes, 'byte')} it "
                "announced. Try again, or update the server."
            )
        on_file(piece.path, written, piece.size_bytes)


def inside(folder: Path, relative: str) -> Path:
    """Return `folder`/`relative`; BundleError when that lies elsewhere."""
    path = PurePosixPath(relative)
    if (
        not relative
        or path.is_absolute()
        or ".." in path.parts
        or "\\" in relative
        or "\0" in relative
    ):
        raise BundleError(
            f"the server sent a file called {relative!r}, which lies outside the bundle. "
            "It was refused: do not trust this server."
        )
    return folder.joinpath(*path.parts)
