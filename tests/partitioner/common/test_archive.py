"""An archive that cannot be written is an error in words."""

from pathlib import Path

import pytest

from partitioner.bundle.calibration import BundleCalibration, CalibrationMeta
from protos.codecs.calibration import Calibration
from protos.errors import FileError


def test_archive_in_a_folder_that_is_gone_is_an_error_in_words(tmp_path: Path) -> None:
    meta = CalibrationMeta(
        split_digest="", digest="", made_at="", range_samples=1, values=(), accuracies=()
    )
    with pytest.raises(FileError, match="calibration.npz cannot be written: No such file"):
        BundleCalibration(meta, Calibration({})).save(tmp_path / "gone")
