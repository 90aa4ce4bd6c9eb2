"""The calibration on disk: what survives, and what is refused."""

import json
import random
import shutil
from pathlib import Path

import numpy as np
import pytest

from partitioner.bundle.bundle import Bundle
from partitioner.bundle.calibration import CALIBRATION_FILE, BundleCalibration
from protos.errors import BundleError


def test_calibration_survives_the_disk_and_is_no_part_of_the_identity(
    calibrated: Bundle, image_bundle: Bundle
) -> None:
    assert calibrated.digest == image_bundle.digest
    assert calibrated.ranges is not None
    assert calibrated.calibration is not None
    assert calibrated.ranges.digest == calibrated.calibration.meta.digest
    assert [path.name for path in calibrated.path.glob(".*")] == []
    renamed = calibrated.manifest.model_copy(update={"name": "other", "labels": ()})
    assert renamed.digest != calibrated.digest
    assert BundleCalibration.load(calibrated.path, renamed.split_digest) is not None


def damage(path: Path, how: str) -> None:
    if how == "truncated":
        path.write_bytes(path.read_bytes()[:-100])
    elif how == "no archive":
        path.write_bytes(b"PK\x03\x04 nothing")
    elif how == "too large":
        np.savez_compressed(path, meta=np.zeros((64 << 20) + 1, np.uint8))
    else:
        with np.load(path) as archive:
            arrays = dict(archive)
        if how == "changed":
            arrays["0/2/levels"] = arrays["0/2/levels"] * np.float32(1.0001)
        elif how == "bad range":
            arrays["0/2/step"][0] = np.nan
        elif how == "incomplete":
            del arrays["0/2/low"]
        else:
            meta = json.loads(arrays["meta"].tobytes())
            meta["schema_version" if how == "newer" else "split_digest"] = (
                2 if how == "newer" else "f" * 64
            )
            arrays["meta"] = np.frombuffer(json.dumps(meta).encode(), np.uint8)
        np.savez(path, **arrays)


@pytest.mark.parametrize(
    ("how", "match"),
    [
        ("truncated", "damaged"),
        ("no archive", "damaged"),
        ("too large", "67,108,864 are allowed"),
        ("changed", "digest is not that of its content"),
        ("bad range", "do not fit together"),
        ("incomplete", "lacks '0/2/low'"),
        ("newer", "schema version 2"),
        ("other bundle", "another model: ffffffffffff"),
    ],
)
def test_calibration_that_is_damaged_or_of_another_bundle_is_refused(
    how: str, match: str, calibrated: Bundle, tmp_path: Path
) -> None:
    shutil.copy(calibrated.path / CALIBRATION_FILE, tmp_path / CALIBRATION_FILE)
    damage(tmp_path / CALIBRATION_FILE, how)
    with pytest.raises(BundleError, match=match):
        BundleCalibration.load(tmp_path, calibrated.manifest.split_digest)


def test_calibration_with_any_bytes_damaged_is_refused_or_whole(
    calibrated: Bundle, tmp_path: Path
) -> None:
    path, rng = tmp_path / CALIBRATION_FILE, random.Random(0)
    good = (calibrated.path / CALIBRATION_FILE).read_bytes()
    refused = 0
    for size in 40 * (1, 2, 4):
        damaged, at = bytearray(good), rng.randrange(len(good) - size)
        damaged[at : at + size] = rng.randbytes(size)
        path.write_bytes(damaged)
        try:
            BundleCalibration.load(tmp_path, calibrated.manifest.split_digest)
        except BundleError as error:
            assert "is damaged" in str(error)  # noqa: PT017 - some damage changes nothing that is read
            refused += 1
    assert refused > 80
