"""A small share of one core for the edge, where the machine allows it.

A process of real-time priority keeps the edge's core busy for most of every four milliseconds; the edge,
bound to that core, gets the rest. (A CPU quota of the kernel would be simpler, but it is enforced by the
timer tick: short inferences then run at full speed and stall afterwards, which no slow device does.)

Needs two cores and the right to real-time priority, which root has.
"""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

SLOWER = 7
"""How many times as long the edge takes, about."""

_PERIOD_S = 0.004
_BUSY = 0.8
"""Of a period; of the rest some is lost in changing over, so that about a seventh of the speed remains."""


@contextmanager
def shares() -> Iterator[tuple[set[int], set[int]]]:
    """Give the cores that the cloud and the edge are to bind themselves to; none: no share can be made."""
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    if len(cores) < 2 or not _may_be_real_time():
        yield set(), set()
        return
    *rest, core = cores
    with subprocess.Popen([sys.executable, __file__, str(core), str(os.getpid())]) as hog:
        try:
            yield set(rest), {core}
        finally:
            hog.kill()


def _may_be_real_time() -> bool:
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    except OSError:
        return False
    return True


def keep_busy(core: int, parent: int) -> None:
    """Leave a share of `core` to others until the process `parent` is gone."""
    os.sched_setaffinity(0, {core})
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    period_ends = time.perf_counter()
    while os.getppid() == parent:
        busy_until = period_ends + _PERIOD_S * _BUSY
        while time.perf_counter() < busy_until:
            pass
        period_ends += _PERIOD_S
        if (left := period_ends - time.perf_counter()) > 0:
            time.sleep(left)
        else:
            period_ends = time.perf_counter()


if __name__ == "__main__":
    keep_busy(int(sys.argv[1]), int(sys.argv[2]))
