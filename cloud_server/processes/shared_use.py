"""The use of all processes: what each device has taken of its limits, in memory that they share.

A connection stays with one process, and a device may have many, so what it may take is one matter of all.
"""

import fcntl
import mmap
import os
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from struct import Struct
from typing import Self

from cloud_server.security.quotas import ACCOUNTS, DeviceUse

_DEVICES = 1 << 18
"""That have a row; the pages of rows that nobody has do not exist. What more there are count by process."""
_CELL = Struct("q")
_FIRST_ROW = 64
_NAME = Struct("64s")
_ACCOUNT = Struct("2d")
"""What is left, and when that was (0: it was never asked); those of a device follow its name."""
_ACCOUNTS = Struct(f"{2 * len(ACCOUNTS)}d")
_STREAMS = _NAME.size + _ACCOUNTS.size
"""After the accounts: the open calls at each process."""
_TRIES = 50
_PAUSE_S = 20e-6


class SharedUse:
    """Rows of memory, one a device, that no file is of: a process gets it with its descriptor.

    Satisfies the protocol of quotas. A row is locked for the microseconds in which it is read and written.
    Who holds it for much longer has been stopped meanwhile: then others go on without, as a request that is
    not counted matters less than a server that stands still.
    """

    def __init__(self, descriptor: int, number: int, processes: int) -> None:
        """`number`: of this process, from 0. The descriptor belongs to this from now on."""
        self.descriptor = descriptor
        self._closer = weakref.finalize(self, os.close, descriptor)
        self._streams = Struct(f"{processes}q")
        self._row_bytes = _STREAMS + self._streams.size
        size_bytes = _FIRST_ROW + _DEVICES * self._row_bytes
        if os.fstat(descriptor).st_size < size_bytes:
            os.ftruncate(descriptor, size_bytes)
        self._memory = mmap.mmap(descriptor, size_bytes)
        self._number = number
        self._starts: dict[str, int] = {}
        """Where the row of each device that is known here begins."""

    @classmethod
    def make(cls, processes: int) -> Self:
        """Return the use of a server that starts, for its front."""
        return cls(os.memfd_create("splitpoint-use"), 0, processes)

    @contextmanager
    def held(self, device: str, use: DeviceUse) -> Iterator[None]:
        """Hold a use for the block: as all processes know it before, and known to all after."""
        start = self._start_of(device)
        if start is None:
            yield
            return
        with self._locked(start, self._row_bytes):
            self._read(start, use)
            try:
                yield
            finally:
                self._write(start, use)

    def leave(self, number: int) -> None:
        """Count the open calls of a process that has ended no more."""
        for place in range(self._count()):
            _CELL.pack_into(self._memory, self._cell(self._row(place), number), 0)

    def close(self) -> None:
        """Let go of the memory, which goes with the last process that has it."""
        self._memory.close()
        self._closer()

    def _read(self, start: int, use: DeviceUse) -> None:
        found = _ACCOUNTS.unpack_from(self._memory, start + _NAME.size)
        for place, name in enumerate(ACCOUNTS):
            if name in use.accounts and found[2 * place + 1]:
                use.accounts[name][1].state = found[2 * place], found[2 * place + 1]
        streams = self._streams.unpack_from(self._memory, start + _STREAMS)
        use.streams_elsewhere = sum(streams) - streams[self._number]

    def _write(self, start: int, use: DeviceUse) -> None:
        for place, name in enumerate(ACCOUNTS):
            if name in use.accounts:
                at = start + _NAME.size + place * _ACCOUNT.size
                _ACCOUNT.pack_into(self._memory, at, *use.accounts[name][1].state)
        _CELL.pack_into(self._memory, self._cell(start, self._number), use.streams)

    def _start_of(self, device: str) -> int | None:
        """Return where the row of a device begins, and give it one if it has none; None: all are taken."""
        found = self._starts.get(device)
        if found is None:
            with self._locked(0, _FIRST_ROW):
                self._learn()
                found = self._starts.get(device)
                if found is None and (count := self._count()) < _DEVICES:
                    found = self._starts[device] = self._row(count)
                    _NAME.pack_into(self._memory, found, device.encode())
                    _CELL.pack_into(self._memory, 0, count + 1)
        return found

    def _learn(self) -> None:
        """Learn of the rows that other processes have given away."""
        for place in range(len(self._starts), self._count()):
            start = self._row(place)
            (name,) = _NAME.unpack_from(self._memory, start)
            self._starts[name.rstrip(b"\0").decode()] = start

    def _count(self) -> int:
        """Return how many rows are given away; the first bytes say so."""
        (found,) = _CELL.unpack_from(self._memory, 0)
        return int(found)

    def _row(self, place: int) -> int:
        return _FIRST_ROW + place * self._row_bytes

    def _cell(self, start: int, number: int) -> int:
        return start + _STREAMS + number * _CELL.size

    @contextmanager
    def _locked(self, start: int, length: int) -> Iterator[None]:
        for _ in range(_TRIES):
            try:
                fcntl.lockf(self.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, length, start)
            except OSError:
                time.sleep(_PAUSE_S)
            else:
                break
        try:
            yield
        finally:
            fcntl.lockf(self.descriptor, fcntl.LOCK_UN, length, start)
