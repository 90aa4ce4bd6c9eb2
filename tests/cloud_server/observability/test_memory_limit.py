"""What a process may take of the memory, by the files of control groups."""

from pathlib import Path

import psutil
import pytest

from cloud_server.observability.memory_limit import memory_limit


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.mark.parametrize(
    ("group", "limits", "wanted"),
    [
        ("0::/\n", {"memory.max": "500000\n"}, 500_000),
        ("0::/a/b\n", {"a/memory.max": "300000\n", "a/b/memory.max": "max\n"}, 300_000),
        ("0::/../x\n", {"memory.max": "200000\n"}, 200_000),
        ("5:cpu:/\n4:memory:/x\n", {"memory/memory.limit_in_bytes": "700000\n"}, 700_000),
        ("0::/\n", {"memory.max": "max\n"}, None),
        ("0::/\n", {"memory.max": f"{1 << 62}\n"}, None),
        (None, {}, None),
    ],
)
def test_limit_is_the_lowest_of_the_control_groups_or_the_machine(
    tmp_path: Path, group: str | None, limits: dict[str, str], wanted: int | None
) -> None:
    if group is not None:
        write(tmp_path / "proc/self/cgroup", group)
    for name, text in limits.items():
        write(tmp_path / "sys/fs/cgroup" / name, text)
    assert memory_limit(tmp_path) == (wanted or psutil.virtual_memory().total)
