"""What others compute on this machine meanwhile, which a demo of milliseconds feels."""

import os
import time

import psutil

CORES = psutil.cpu_count() or 1


class Neighbours:
    """Counts from when it is made on; times in containers and virtual machines are the whole machine's."""

    def __init__(self) -> None:
        self._begun = time.monotonic()
        self._others_s = _busy_s() - _own_s()

    def cores(self) -> float:
        """Return how many cores others, and whoever shares the processor, have kept busy on average."""
        others_s = _busy_s() - _own_s() - self._others_s
        return max(0.0, others_s / (time.monotonic() - self._begun))


def _busy_s() -> float:
    times = psutil.cpu_times()._asdict()
    idle_s = times["idle"] + times.get("iowait", 0.0)
    counted_twice_s = times.get("guest", 0.0) + times.get("guest_nice", 0.0)
    return float(sum(times.values()) - idle_s - counted_twice_s)


def _own_s() -> float:
    """Return the processor's seconds of this process and of those that it has started."""
    times = os.times()
    own_s = times.user + times.system + times.children_user + times.children_system
    for child in psutil.Process().children():
        try:
            used = child.cpu_times()
        except psutil.NoSuchProcess:  # it has just ended
            continue
        own_s += used.user + used.system
    return own_s
