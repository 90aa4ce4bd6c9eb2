"""Files that may change while a program runs: read anew when they do, unless what is there is broken."""

import logging
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Generic, TypeVar

from protos.errors import SplitpointError

_log = logging.getLogger(__name__)

T = TypeVar("T")

Stamp = tuple[tuple[int, int, int] | None, ...]
"""Time of change, size and inode of each file; None for one that is not there."""


class ReloadedFiles(Generic[T]):
    """What `read` made of some files when they were last well. May be asked from any thread.

    Made with files that `read` refuses, it raises what `read` does. Later such files leave what was read
    before in place, and the log says so once for each state of them; so do files that change while they are
    read. They are tried again each time: a certificate that is not valid yet will be. `what` names them in
    the log.
    """

    def __init__(self, what: str, paths: Iterable[Path], read: Callable[[], T]) -> None:
        self._what, self._paths, self._read = what, tuple(paths), read
        self._lock = threading.Lock()
        self._seen = self._refused = stamp_of(self._paths)
        self._value = read()

    def newest(self) -> T:
        """Return what the files say now, or said when they were last well."""
        with self._lock:
            stamp = stamp_of(self._paths)
            if stamp != self._seen:
                self._try(stamp)
            return self._value

    @property
    def have_changed(self) -> bool:
        """True while a state of the files waits to be read."""
        return stamp_of(self._paths) not in (self._seen, self._refused)

    def _try(self, stamp: Stamp) -> None:
        try:
            found = self._read()
        except SplitpointError as error:
            if stamp != self._refused:
                _log.warning("%s changed, and the one before stays in use: %s", self._what, error)
            self._refused = stamp
            return
        if stamp_of(self._paths) == stamp:  # else it is still being written
            self._seen, self._value = stamp, found
            _log.info("%s changed, and is in use from now on", self._what)


def stamp_of(paths: Iterable[Path]) -> Stamp:
    """Return what differs once any of the files has been written or replaced, links followed."""
    return tuple(_stamp(path) for path in paths)


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
