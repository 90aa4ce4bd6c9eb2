"""Files with secrets: who may read them, and what is left where one cannot be written."""

import os
import stat
from pathlib import Path

import pytest

from partitioner.common.files import check_private, read_private, write_private
from protos.errors import FileError


def status(mode: int, owner: int) -> os.stat_result:
    return os.stat_result((stat.S_IFREG | mode, 1, 1, 1, owner, 0, 0, 0, 0, 0))


def test_what_is_written_is_for_its_owner_alone_whatever_the_umask(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    before = os.umask(0)
    try:
        write_private(path, b"one")
        write_private(path, b"two")
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert read_private(path, "token") == b"two"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("mode", "may"), [(0o644, "read"), (0o640, "read"), (0o620, "write"), (0o602, "write")]
)
def test_file_that_others_may_read_or_write_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: int, may: str
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(
        FileError, match=rf"mode {mode:04o}, so that others may {may} it\. .*: chmod 600"
    ):
        check_private(status(mode, 1000), tmp_path, "token file")


def test_secret_that_an_orchestrator_mounts_for_a_group_is_taken(tmp_path: Path) -> None:
    check_private(status(0o440, 0), tmp_path, "token file")
    with pytest.raises(FileError, match="others may write"):
        check_private(status(0o460, 0), tmp_path, "token file")
    with pytest.raises(FileError, match="others may read"):
        check_private(status(0o444, 0), tmp_path, "token file")


def test_file_of_somebody_else_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(FileError, match="belongs to user 1001, and this is user 1000"):
        check_private(status(0o600, 1001), tmp_path, "token file")


def test_file_that_is_missing_is_said(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="the token file .*none cannot be read: No such file"):
        read_private(tmp_path / "none", "token file")


def test_file_that_is_there_stays_where_none_may_be_replaced(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    write_private(path, b"one", replaces=False)
    with pytest.raises(FileError, match="is there already, and stays"):
        write_private(path, b"two", replaces=False)
    assert path.read_bytes() == b"one"
    assert list(tmp_path.iterdir()) == [path]


def test_link_that_somebody_left_is_not_written_through(tmp_path: Path) -> None:
    victim, path = tmp_path / "victim", tmp_path / "secret"
    victim.write_bytes(b"as it was")
    (tmp_path / f".secret.{os.getpid()}").symlink_to(victim)
    write_private(path, b"one")
    assert victim.read_bytes() == b"as it was"
    assert read_private(path, "token") == b"one"


def test_full_disk_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "secret"
    write_private(path, b"one")

    def full(_handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(FileError, match="No space left on device"):
        write_private(path, b"two")
    assert path.read_bytes() == b"one"
    assert list(tmp_path.iterdir()) == [path]
