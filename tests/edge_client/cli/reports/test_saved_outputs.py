"""Outputs in a folder: whole or not at all, and no frame in the place of another's."""

import errno
import os
from pathlib import Path

import numpy as np
import pytest

from edge_client.cli.reports.saved_outputs import OutputFolder
from protos.errors import FileError, UsageError


def test_outputs_come_back_as_they_were_whatever_they_are_called(tmp_path: Path) -> None:
    outputs = {
        "file": np.arange(6, dtype=np.int64).reshape(2, 3),
        "a/b": np.zeros((0, 4), np.float32),
    }
    assert OutputFolder(tmp_path / "new" / "out").save(7, outputs) == "00000007.npz"
    with np.load(tmp_path / "new" / "out" / "00000007.npz", allow_pickle=False) as found:
        assert sorted(found) == sorted(outputs)
        for name, array in outputs.items():
            np.testing.assert_array_equal(found[name], array)
            assert found[name].dtype == array.dtype


def test_frame_without_an_answer_has_no_file(tmp_path: Path) -> None:
    assert OutputFolder(tmp_path).save(0, {}) is None
    assert list(tmp_path.iterdir()) == []


def test_folder_with_outputs_of_another_run_is_refused(tmp_path: Path) -> None:
    OutputFolder(tmp_path).save(0, {"x": np.zeros(3)})
    with pytest.raises(UsageError, match="holds 00000000.npz.*Give a new or an empty"):
        OutputFolder(tmp_path)


def test_full_disk_leaves_what_was_saved_and_no_part_of_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = OutputFolder(tmp_path)
    folder.save(0, {"x": np.zeros(3)})

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(np.lib.format, "write_array", full)
    with pytest.raises(FileError, match="00000001.npz cannot be written: No space left on device"):
        folder.save(1, {"x": np.zeros(3)})
    assert [path.name for path in tmp_path.iterdir()] == ["00000000.npz"]
