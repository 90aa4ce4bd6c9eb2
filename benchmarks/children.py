"""Processes that a benchmark starts, and what they take: CPU time and memory."""

import os
import subprocess
import sys
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Child:
    """A process, and the first line that it has said, if it has said any."""

    pid: int
    said: str = ""

    def cpu_s(self) -> float:
        """Return the CPU seconds of all its threads so far."""
        # The clock of another process, as clock_getcpuclockid(3) makes its number.
        return time.clock_gettime((~self.pid << 3) | 2)

    def resident_bytes(self) -> int:
        """Return what it has in memory."""
        pages = Path(f"/proc/{self.pid}/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")


@contextmanager
def child(module: str, words: Sequence[str], cores: Collection[int] = ()) -> Iterator[Child]:
    """Run `python -m MODULE WORDS`, bound to `cores`, until the end of the block."""
    command = [sys.executable, "-m", module, *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            if cores:
                os.sched_setaffinity(process.pid, cores)
            said = process.stdout.readline().strip()  # type: ignore[union-attr]
            if not said:
                raise OSError(f"{module} has ended before it was ready.")
            yield Child(process.pid, said)
        finally:
            process.terminate()
