"""The inventory of a bundle's folder: nothing lies there but its files, each under this one name.

What is extra may be what somebody else shall run; a link may lead to what somebody else writes.
"""

import os
import stat
from collections import Counter
from collections.abc import Collection, Iterator
from pathlib import Path, PurePosixPath

from partitioner.bundle.bundle import Bundle
from partitioner.bundle.calibration import CALIBRATION_FILE
from partitioner.bundle.exits import EXITS_FILE
from partitioner.bundle.heads import HEADS_FILE
from partitioner.bundle.manifest import PROFILES_FOLDER, SERVING_FILE, WEIGHTS_FILE
from partitioner.common.units import plural
from protos.errors import SignatureError, reason


def check_inventory(bundle: Bundle) -> None:
    """Raise SignatureError unless the folder holds the bundle's files, and no links and nothing else.

    Profiles may lie in their folder, and how a server batches: those who run it say that, and only speed
    rests on it. A second name of a file is found where it lies outside of the folder.
    """
    files = _files(bundle)
    names: Counter[tuple[int, int]] = Counter()
    links: dict[str, tuple[tuple[int, int], int]] = {}
    for name, found in _entries(bundle.path):
        if problem := _problem(name, found.st_mode, files):
            raise _refused(bundle.path, name, problem)
        if stat.S_ISREG(found.st_mode):
            inode = found.st_dev, found.st_ino
            names[inode] += 1
            links[name] = inode, found.st_nlink
    for name, (inode, count) in links.items():
        if (others := count - names[inode]) > 0:
            what = f"has {plural(others, 'other name')} outside of it, under which it may be written to"
            raise _refused(bundle.path, name, what)


def _files(bundle: Bundle) -> Collection[str]:
    """Return the files that may be there."""
    held = bundle.held
    named = {*held.files(bundle.manifest), WEIGHTS_FILE} if held else {*bundle.manifest.files}
    if held:
        named.add(HEADS_FILE)
    if bundle.calibration:
        named.add(CALIBRATION_FILE)
    if bundle.exits:
        named.add(EXITS_FILE)
    return {*named, *bundle.documents, SERVING_FILE}


def _entries(folder: Path) -> Iterator[tuple[str, os.stat_result]]:
    """Yield all that lies below a folder, by its path there; links are not followed."""
    waiting = [folder]
    while waiting:
        try:
            for path in sorted(waiting.pop().iterdir()):
                found = path.lstat()
                yield path.relative_to(folder).as_posix(), found
                if stat.S_ISDIR(found.st_mode):
                    waiting.append(path)
        except OSError as error:
            raise SignatureError(
                f"{folder} cannot be looked through: {reason(error)}. A signed bundle has to be readable as "
                "a whole."
            ) from error


def _problem(name: str, mode: int, files: Collection[str]) -> str:
    """Return what is wrong with an entry, as a predicate; empty: nothing."""
    if stat.S_ISLNK(mode):
        return "is a link"
    if stat.S_ISDIR(mode):
        needed = any(PurePosixPath(file).is_relative_to(name) for file in files)
        return "" if needed or name == PROFILES_FOLDER else "is no part of the bundle"
    if not stat.S_ISREG(mode):
        return "is no file"
    measured = PurePosixPath(name).parent.as_posix() == PROFILES_FOLDER
    return "" if name in files or measured else "is no part of the bundle"


def _refused(folder: Path, name: str, problem: str) -> SignatureError:
    return SignatureError(
        f"{folder} has {name!r}, which {problem}. A signed bundle holds its own files alone: remove it, or "
        "copy the bundle without it (cp -r --no-preserve=links)."
    )
