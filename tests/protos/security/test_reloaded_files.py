"""Files that change while they are used."""

import logging
from pathlib import Path

import pytest

from protos.errors import CredentialError
from protos.security.reloaded_files import ReloadedFiles


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "a").write_text("1")
    return tmp_path / "a"


def watched(path: Path) -> ReloadedFiles[int]:
    def read() -> int:
        try:
            return int(path.read_text())
        except (OSError, ValueError) as error:
            raise CredentialError(f"{path} is no number.") from error

    return ReloadedFiles("the number", [path], read)


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [each.getMessage() for each in caplog.records if each.levelno == logging.WARNING]


def test_new_content_is_used_from_the_next_time_on(path: Path) -> None:
    number = watched(path)
    assert number.newest() == 1
    path.write_text("23")
    assert number.newest() == 23
    (path.parent / "b").write_text("45")
    (path.parent / "b").replace(path)
    assert number.newest() == 45


def test_what_lies_behind_a_link_is_watched(path: Path) -> None:
    link = path.parent / "link"
    link.symlink_to(path)
    number = watched(link)
    (path.parent / "b").write_text("7")
    link.unlink()
    link.symlink_to(path.parent / "b")
    assert number.newest() == 7


def test_broken_content_leaves_the_last_in_use_and_is_said_once(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    number = watched(path)
    path.write_text("12x")
    assert [number.newest(), number.newest(), number.newest()] == [1, 1, 1]
    assert len(warnings(caplog)) == 1
    assert "the one before stays in use" in warnings(caplog)[0]
    path.unlink()
    assert [number.newest(), number.newest()] == [1, 1]
    assert len(warnings(caplog)) == 2  # another state
    path.write_text("12")
    assert number.newest() == 12
    assert len(warnings(caplog)) == 2


def test_what_is_still_being_written_is_read_again(path: Path) -> None:
    writes = iter(["11", "22"])

    def read() -> int:
        found = int(path.read_text())
        if (more := next(writes, None)) is not None:
            path.write_text(more + " " * found)  # somebody writes while it is read
        return found

    number = ReloadedFiles("the number", [path], read)  # reads 1, while 11 is written
    assert number.newest() == 1  # read 11, and 22 was written meanwhile
    assert number.newest() == 22


def test_files_that_become_good_without_a_change_are_used_then(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    now_s = 0  # as of a certificate that a clock ahead of ours has dated

    def read() -> int:
        found = int(path.read_text())
        if found > now_s + 1:
            raise CredentialError(f"{path} is not valid yet.")
        return found

    number = ReloadedFiles("the number", [path], read)
    path.write_text("30")
    assert [number.newest(), number.newest()] == [1, 1]
    now_s = 30
    assert number.newest() == 30
    assert len(warnings(caplog)) == 1


def test_files_of_no_use_at_the_start_are_an_error(path: Path) -> None:
    path.write_text("x")
    with pytest.raises(CredentialError):
        watched(path)
