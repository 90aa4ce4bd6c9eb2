"""Files appear whole or not at all, whatever the disk says."""

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from partitioner.bundle.folder import new_folder
from partitioner.common.files import check_target, unwritable, whole_file, write_csv
from protos.errors import FileError, UsageError

FULL = OSError(errno.ENOSPC, "No space left on device")


def write_half(path: Path) -> None:
    path.write_text("hal")
    raise FULL


def test_full_disk_leaves_the_old_file_and_no_half_of_the_new_one(tmp_path: Path) -> None:
    path = tmp_path / "edge.json"
    path.write_text("old")
    with pytest.raises(FileError) as caught, whole_file(path) as partial:
        write_half(partial)
    assert str(caught.value) == (
        f"{path} cannot be written: No space left on device. Make room, or give another place; what "
        "was there is as it was."
    )
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("number", "advice"),
    [
        (errno.ENOSPC, "Make room, or give another place;"),
        (errno.EROFS, "Give a place that this user may write to;"),
        (errno.EACCES, "Give a place that this user may write to;"),
    ],
)
def test_advice_is_of_the_cause_that_a_file_cannot_be_written_for(number: int, advice: str) -> None:
    said = unwritable(Path("a"), OSError(number, os.strerror(number)))
    assert said.startswith(f"a cannot be written: {os.strerror(number)}. {advice}")


def test_full_disk_leaves_no_half_of_a_bundle(tmp_path: Path) -> None:
    with (
        pytest.raises(FileError, match="net cannot be written: No space left on device. Make room"),
        new_folder(tmp_path / "net", replace=False) as folder,
    ):
        write_half(folder / "bundle.json")
    assert list(tmp_path.iterdir()) == []


def test_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(FileError, match="file/net cannot be written"),
        new_folder(tmp_path / "file" / "net", replace=False),
    ):
        pytest.fail("there is no such folder")


def test_source_that_cannot_be_read_is_not_called_a_full_disk(tmp_path: Path) -> None:
    with (
        pytest.raises(PermissionError, match="elsewhere"),
        new_folder(tmp_path / "net", replace=False),
    ):
        raise PermissionError(errno.EACCES, "Permission denied", "/elsewhere/model.onnx")
    assert list(tmp_path.iterdir()) == []


def test_rows_that_cannot_be_had_leave_the_old_ones(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    write_csv(path, ("a", "b"), [(1, 2)])

    def rows() -> Iterator[tuple[int, int]]:
        yield 3, 4
        raise FULL

    with pytest.raises(UsageError, match="rows.csv cannot be written"):
        write_csv(path, ("a", "b"), rows())
    assert path.read_text() == "a,b\n1,2\n"
    assert list(tmp_path.iterdir()) == [path]


def test_target_is_checked_before_work_begins(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    check_target("--csv", None)
    check_target("--csv", tmp_path / "file")
    check_target("--out", tmp_path / "new" / "deep" / "x.json", makes_folders=True)
    for path, why in (
        (tmp_path, "it is a folder"),
        (tmp_path / "new" / "x.csv", "new is no folder"),
        (tmp_path / "file" / "x.csv", "file is no folder"),
    ):
        with pytest.raises(UsageError, match=f"--csv .* cannot be written: .*{why}. Give a file"):
            check_target("--csv", path)
    with pytest.raises(UsageError, match="file is no folder"):
        check_target("--out", tmp_path / "file" / "x.json", makes_folders=True)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
