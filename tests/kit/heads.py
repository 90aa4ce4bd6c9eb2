"""Heads of one cut, and the files of a folder."""

from pathlib import Path

from partitioner.bundle.bundle import Bundle


def middle(bundle: Bundle) -> str:
    return bundle.manifest.cuts[len(bundle.manifest.cuts) // 2].id


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}
