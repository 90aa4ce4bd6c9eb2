"""The memory that a process may take: the limit of its control group, or what the machine has."""

from collections.abc import Iterator
from pathlib import Path

import psutil


def memory_limit(root: Path = Path("/")) -> int:
    """Return the bytes that this process may take, with all others of its control group. `root`: of /proc."""
    limits = [psutil.virtual_memory().total, *_group_limits(root)]
    return min(limits)


def _group_limits(root: Path) -> Iterator[int]:
    """Yield the limits of the process's control group, and of those above it."""
    groups = root / "sys/fs/cgroup"
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        number, controllers, path = line.split(":", 2)
        if number == "0":
            yield from _limits_above(groups, path, "memory.max")
        elif "memory" in controllers.split(","):
            yield from _limits_above(groups / "memory", path, "memory.limit_in_bytes")


def _limits_above(mount: Path, path: str, name: str) -> Iterator[int]:
    """Yield what the files called `name` say, from a group up to the mount, which a container is in."""
    own = mount / path.lstrip("/")
    for folder in (own, *own.parents):
        try:
            text = (folder / name).read_text().strip()
        except OSError:
            text = ""
        if text.isdigit():  # else "max", or a group that is not seen from here
            yield int(text)
        if folder == mount:
            return
