"""Whether a machine was quiet while something was measured: by how long this process waited for a core."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter

import psutil

_SHARE = 0.05


class Quiet:
    """True once the block of `watching` has ended, if its threads had a core when they wanted one."""

    def __init__(self) -> None:
        self.waited_share = 0.0
        """Of the time; on systems that do not tell, none."""

    def __bool__(self) -> bool:
        return self.waited_share <= _SHARE


@contextmanager
def watching() -> Iterator[Quiet]:
    """Watch this process, and those that it has started and not ended, for as long as the block lasts."""
    quiet, begun_at, before_s = Quiet(), perf_counter(), _waited_s()
    yield quiet
    quiet.waited_share = max(0.0, _waited_s() - before_s) / (perf_counter() - begun_at)


def _waited_s() -> float:
    """Return how long all threads have waited for a core, the second number of schedstat."""
    own = psutil.Process()
    waited_ns = 0
    for process in (own, *own.children(recursive=True)):
        for path in Path(f"/proc/{process.pid}/task").glob("*/schedstat"):
            try:
                waited_ns += int(path.read_text().split()[1])
            except (OSError, IndexError):
                continue  # the thread has ended
    return waited_ns / 1e9
