"""The calibration of a bundle on the disk: ranges for both sides, and the accuracy that they keep.

`calibration.npz` lies beside the manifest and is no part of the bundle's identity, so that a bundle
can be calibrated again. It has a digest of its own over what encoder and decoder must share, which
travels with every request that needs it. In the file: `meta`, JSON as bytes, and for each value and
number of bits the arrays of Ranges, as `<number of the value>/<bits>/low` and so on.
"""

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
from pydantic import Field

from partitioner.bundle.accuracy import Accuracy
from partitioner.bundle.manifest import mended_by
from partitioner.common.archive import damaged, read_beside, write_archive
from partitioner.common.frozen_model import FrozenModel
from partitioner.common.units import plural
from protos.codecs.calibration import Calibration, Ranges
from protos.errors import BundleError

CALIBRATION_FILE = "calibration.npz"
CALIBRATION_SCHEMA_VERSION: Final = 1
MAX_CALIBRATION_BYTES = 64 << 20
"""Of the file, and of everything in it together once it is unpacked."""

_ARRAYS = ("low", "step", "levels", "dictionary")


class CalibratedValue(FrozenModel):
    """A value whose ranges are in the file, and the axis of its channels."""

    name: str
    axis: int | None
    bits: tuple[int, ...]
    range_samples: int | None = Field(default=None, ge=1)
    """Inputs that its ranges were found on; None, in older files: those of CalibrationMeta."""


class CalibrationMeta(FrozenModel):
    """What was measured, on how much data, and what the arrays of the file belong to."""

    schema_version: Literal[1] = CALIBRATION_SCHEMA_VERSION
    split_digest: str
    """Of the bundle; see Manifest.split_digest."""
    digest: str
    """Of the ranges; see Calibration.digest."""
    made_at: str
    """UTC, ISO 8601."""
    range_samples: int = Field(ge=1)
    """Inputs that the last run set apart for ranges; a value's own number says what its ranges rest on."""
    values: tuple[CalibratedValue, ...]
    accuracies: tuple[Accuracy, ...]


class BundleCalibration:
    """Ranges and accuracies of one bundle."""

    def __init__(self, meta: CalibrationMeta, ranges: Calibration, file: bytes = b"") -> None:
        self.meta = meta
        self.ranges = ranges
        self.file = file
        """The bytes of the file that it was read from; none before it is saved."""

    def __repr__(self) -> str:
        meta = self.meta
        return f"<BundleCalibration of {plural(len(meta.values), 'value')}, made {meta.made_at}>"

    @cached_property
    def accuracies(self) -> Mapping[tuple[str, str], Accuracy]:
        """What was measured, by cut and codec."""
        return {(found.cut, found.codec): found for found in self.meta.accuracies}

    @cached_property
    def range_samples(self) -> Mapping[str, int]:
        """The number of inputs that a value's ranges were found on, by value."""
        return {one.name: one.range_samples or self.meta.range_samples for one in self.meta.values}

    @classmethod
    def load(cls, folder: Path, split_digest: str) -> "BundleCalibration | None":
        """Read the calibration in a bundle's folder; None if there is none.

        Raises BundleError when it is damaged, or of another bundle.
        """
        path = folder / CALIBRATION_FILE
        read = read_beside(
            path,
            "calibration",
            CalibrationMeta,
            MAX_CALIBRATION_BYTES,
            split_digest,
            _advice(folder),
        )
        if read is None:
            return None
        meta, arrays, file = read
        found = cls(meta, _ranges(path, meta, arrays), file)
        if found.ranges.digest != meta.digest:
            raise _damaged(path, "its digest is not that of its content")
        return found

    def save(self, folder: Path) -> None:
        """Write the calibration into a bundle's folder; it appears whole or not at all."""
        arrays: dict[str, Any] = {}
        for number, value in enumerate(self.meta.values):
            for bits in value.bits:
                found = self.ranges.by_value[value.name][bits]
                parts = (found.low, found.step, found.levels, _as_array(found.dictionary))
                for kind, part in zip(_ARRAYS, parts, strict=True):
                    arrays[f"{number}/{bits}/{kind}"] = part
        write_archive(folder / CALIBRATION_FILE, self.meta, arrays)


def described(ranges: Calibration, counts: Mapping[str, int]) -> tuple[CalibratedValue, ...]:
    """Return what the meta data says of the values of `ranges`, which were found on `counts` inputs."""
    return tuple(
        CalibratedValue(
            name=name,
            axis=next(iter(found.values())).axis,
            bits=tuple(sorted(found)),
            range_samples=counts[name],
        )
        for name, found in sorted(ranges.by_value.items())
    )


def _ranges(path: Path, meta: CalibrationMeta, arrays: Mapping[str, Any]) -> Calibration:
    ranges: dict[str, dict[int, Ranges]] = {}
    for number, value in enumerate(meta.values):
        for bits in value.bits:
            try:
                low, step, levels, dictionary = (
                    arrays[f"{number}/{bits}/{kind}"] for kind in _ARRAYS
                )
            except KeyError as error:
                raise _damaged(path, f"it lacks {error}") from error
            found = Ranges(bits, value.axis, low, step, levels, dictionary.tobytes())
            ranges.setdefault(value.name, {})[bits] = found
    return Calibration(ranges)


def _as_array(data: bytes) -> Any:
    return np.frombuffer(data, np.uint8)


def _damaged(path: Path, why: object) -> BundleError:
    return damaged(path, why, _advice(path.parent))


def _advice(folder: Path) -> str:
    return mended_by(folder, f"Calibrate again with: splitpoint calibrate {folder} --data DIR")
