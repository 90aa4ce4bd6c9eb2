"""The folder of bundles on the disk: which versions are in it, and what in it is none and why."""

import contextlib
import logging
import math
import os
import resource
import threading
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeAlias

from cloud_server.models.version import Version
from partitioner.bundle.bundle import Bundle
from partitioner.bundle.contents import allow_more_files
from partitioner.bundle.manifest import MANIFEST_FILE, MODEL_GRAPH, read_manifest
from partitioner.signatures.trust import Trust
from protos.errors import BundleError, SplitpointError

_log = logging.getLogger(__name__)

Look: TypeAlias = tuple[str, int, int, int, int]

Mark: TypeAlias = tuple[Look, ...]
"""What the system says of the files of a bundle's folder: it changes when any of them does."""

SPARE_FILES = 256
"""Of what the process may have open, so many stay for connections."""

_LOADERS = 4
"""Folders that are checked at the same time: hashing leaves the interpreter's lock to others."""


@dataclass(frozen=True)
class Refusal:
    """Why what a folder holds is not served; `name`: of the bundle, or of the folder where it has none."""

    name: str
    reason: str
    is_for_want_of_files: bool = False
    """Nothing is wrong with the folder: it is looked at again each time."""


class _FilesLackError(BundleError):
    """The files of a bundle would leave too few for connections."""


@dataclass(frozen=True)
class _Seen:
    """A folder when it was last loaded: how it looked, what came of it, and why no more did."""

    mark: Mark
    version: Version | None
    refusal: Refusal | None = None


class BundleFolder:
    """The bundles in a folder, which is one bundle or a folder of bundle folders.

    A folder's version stays until another that is whole takes its place, or the folder is gone.
    """

    def __init__(self, root: Path, trust: Trust | None = None) -> None:
        """`trust`: whose signatures count, and whether a bundle without one is served; None: any is."""
        self.root = root
        self._trust = trust or Trust()
        self._seen: dict[Path, _Seen] = {}
        self._marks: dict[Path, Mark] = {}

    @property
    def versions(self) -> Sequence[Version]:
        """What was found, in the order of the folders."""
        return [seen.version for _, seen in sorted(self._seen.items()) if seen.version]

    @property
    def refusals(self) -> Sequence[Refusal]:
        """What is refused, in the order of the folders; the version that was there before goes on."""
        return [seen.refusal for _, seen in sorted(self._seen.items()) if seen.refusal]

    def look(self, *, settled: bool = False, names: Collection[str] | None = None) -> bool:
        """Load what is new in the folder, and forget what is gone; return whether all of it was.

        `settled`: leave alone what has changed since the look before, as it may be half copied. `names`: of
        what is new load bundles of these names alone; another process has found room for their files. Raises
        BundleError when the folder itself cannot be read: everything is as it was then.
        """
        marks = dict(_marks(self.root))
        changed = [
            folder
            for folder in {**marks, **self._seen}
            if (seen := self._seen.get(folder)) is None or seen.mark != marks.get(folder)
        ]
        ready = [one for one in changed if not settled or self._marks.get(one) == marks.get(one)]
        self._marks = marks
        for folder in set(ready) - set(marks):
            del self._seen[folder]
        found = sorted(set(ready) & set(marks))
        if names is not None:
            found = [folder for folder in found if _name_of(folder) in names]
        room = _FileRoom(SPARE_FILES if names is None else SPARE_FILES // 2)
        with ThreadPoolExecutor(_LOADERS, thread_name_prefix="check") as loaders:
            load = partial(_load, trust=self._trust, room=room)
            for folder, version in zip(found, loaders.map(load, found), strict=True):
                self._take(folder, marks[folder], version)
        return len(ready) == len(changed)

    def _take(self, folder: Path, mark: Mark, found: Version | Refusal) -> None:
        before = self._seen.get(folder)
        kept = before.version if before else None
        if isinstance(found, Version):
            self._seen[folder] = _Seen(mark, found)
            if kept is None or kept.digest != found.digest:
                _log.info("%s holds version %s of %s", folder, str(found), found.name)
            elif before and before.refusal:
                _log.info("%s is whole again: version %s of %s", folder, str(found), found.name)
            return
        self._seen[folder] = _Seen(() if found.is_for_want_of_files else mark, kept, found)
        if before is None or before.refusal != found:
            instead = f" Version {kept} of {kept.name} goes on." if kept else ""
            _log.error("%s is not served: %s%s", folder, found.reason, instead)


def no_bundle(folder: BundleFolder) -> BundleError:
    """Return the error for a folder that has nothing to serve: why the first is refused, if any is there."""
    for refusal in folder.refusals:
        return BundleError(refusal.reason)
    return BundleError(
        f"{folder.root} holds no bundle: neither it nor a folder in it has a {MANIFEST_FILE}. "
        "Make one with: splitpoint import MODEL --out BUNDLE."
    )


class _FileRoom:
    """The files that bundles may still hold open in one look. Used by several loaders."""

    def __init__(self, spare: int) -> None:
        allow_more_files()
        limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        most = math.inf if limit == resource.RLIM_INFINITY else limit
        self._left = most - spare - sum(1 for _ in Path("/dev/fd").iterdir())
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def taken(self, folder: Path, count: int) -> Iterator[None]:
        """Take the place of so many files, for good unless the block fails.

        Raises BundleError when they would leave too few for connections.
        """
        with self._lock:
            if count > self._left:
                raise _FilesLackError(
                    f"{folder} would leave too few files for connections: each bundle keeps its own open, "
                    f"{count} in this one. Allow more with ulimit -n, or serve fewer bundles."
                )
            self._left -= count
        try:
            yield
        except BaseException:
            with self._lock:
                self._left += count
            raise


def _load(folder: Path, trust: Trust, room: _FileRoom) -> Version | Refusal:
    """Return the version in a folder, or why it is none."""
    try:
        # Before they are opened and checked, which takes a while.
        with room.taken(folder, len(read_manifest(folder).files)):
            bundle = Bundle.load(folder, check=trust.check)
            bundle.need_whole("serving it")
        if bundle.exits is not None:
            _log.info("%s has exits at %s", bundle.name, ", ".join(bundle.exits.by_cut))
        signed = trust.check(bundle)
        return Version.of(bundle, signed.release if signed else 0)
    except SplitpointError as error:
        return Refusal(_name_of(folder), str(error), isinstance(error, _FilesLackError))
    except Exception as error:  # noqa: BLE001 - whatever one folder does must not keep others from being served
        _log.exception("%s cannot be loaded", folder)
        return Refusal(_name_of(folder), f"{folder} cannot be loaded: {error}")


def _name_of(folder: Path) -> str:
    try:
        return read_manifest(folder).name
    except (SplitpointError, OSError):
        return folder.name


def _marks(root: Path) -> Iterator[tuple[Path, Mark]]:
    """Yield the bundle folders of a root, and how each looks."""
    try:
        if (mark := _mark(root)) is not None:
            yield root, mark
            return
        names = sorted(path.name for path in root.iterdir())
    except OSError as error:
        raise BundleError(
            f"{root} is no folder that can be read: {error.strerror}. Give a bundle, or a folder of bundle "
            "folders."
        ) from error
    for name in names:
        # What is still being written has such a name; see partitioner/bundle/folder.py.
        if not name.startswith(".") and (mark := _mark(root / name)) is not None:
            yield root / name, mark


def _mark(folder: Path) -> Mark | None:
    """Return how the files of a bundle's folder look; None where it is none.

    Files in it count that may be part of a version: not what machines measured of it.
    """
    try:
        (folder / MANIFEST_FILE).lstat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        return ((str(folder), error.errno or 0, 0, 0, 0),)  # loading it will say so
    places = (folder, (folder / MODEL_GRAPH).parent)
    return tuple(sorted(look for place in places for look in _looks(place)))


def _looks(place: Path) -> Iterator[Look]:
    """Yield how the files of one folder look; none where it cannot be read, which loading will say."""
    with contextlib.suppress(OSError), os.scandir(place) as entries:
        for entry in entries:
            if not entry.name.startswith(".") and entry.is_file():
                said = entry.stat()
                yield entry.path, said.st_ino, said.st_size, said.st_mtime_ns, said.st_ctime_ns
