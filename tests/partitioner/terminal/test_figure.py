"""Pictures appear whole, where they were told to."""

import errno
from pathlib import Path

import pytest

from partitioner.terminal.figure import figure_for
from protos.errors import UsageError

FULL = OSError(errno.ENOSPC, "No space left on device")


def test_picture_that_cannot_be_drawn_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "plan.png"
    path.write_text("old")

    def full(*_: object, **__: object) -> None:
        raise FULL

    with pytest.raises(UsageError, match="No space left"), figure_for(path, 2, 2) as figure:
        figure.savefig = full
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_picture_goes_where_it_was_told_to(tmp_path: Path) -> None:
    with figure_for(tmp_path / "plan", 2, 2):
        pass
    assert (tmp_path / "plan").read_bytes().startswith(b"\x89PNG")
    with (
        pytest.raises(
            UsageError, match="plan.odd cannot be written: .*Give a file such as plan.png"
        ),
        figure_for(tmp_path / "plan.odd", 2, 2),
    ):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["plan"]
