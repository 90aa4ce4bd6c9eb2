"""Ranges of low-bit codecs, written by hand."""

from collections.abc import Mapping

import numpy as np

from partitioner.bundle.accuracy import Accuracy
from partitioner.bundle.bundle import Bundle
from partitioner.bundle.calibration import BundleCalibration, CalibrationMeta
from protos.codecs.calibration import Calibration, Ranges
from protos.tensors import TensorSpec

SHAPE = (1, 3, 4, 5)
SPEC = TensorSpec("x", "float32", (-1, 3, 4, 5))


def ranges(bits: int, channels: int = 3, dictionary: bytes = b"") -> Ranges:
    """Channel c goes from -1 - c in steps of 0.5·(c + 1); levels are the middles."""
    scale = np.arange(1, channels + 1, dtype=np.float32)
    symbols = np.arange(1 << bits, dtype=np.float32)
    levels = -scale[:, None] + (symbols + 0.5) * 0.5 * scale[:, None]
    return Ranges(bits, 1, -scale, 0.5 * scale, levels.astype(np.float32), dictionary)


def calibration(dictionary: bytes = b"") -> Calibration:
    return Calibration({"x": {bits: ranges(bits, dictionary=dictionary) for bits in range(2, 7)}})


KNOWN = calibration()


def losing(
    bundle: Bundle, points: Mapping[str, float], at: Mapping[tuple[str, str], float] | None = None
) -> Bundle:
    """The bundle as if codecs had been measured at every cut within the model to lose so many points.

    `points`: by codec, such as `q4`, whose floats take four bits; `at`: of a cut and a codec instead.
    """
    lost = {(cut.id, codec): loss for cut in bundle.manifest.cuts for codec, loss in points.items()}
    sizes = {cut.id: sum(spec.nbytes() for spec in cut.frontier) for cut in bundle.manifest.cuts}
    rows = tuple(
        Accuracy(
            cut=cut, codec=codec, samples=400, payload_bytes=sizes[cut] * int(codec[1:]) / 32,
            agreeing=round(400 * (1 - loss / 100)),
        )
        for (cut, codec), loss in (lost | dict(at or {})).items()
    )  # fmt: skip
    meta = CalibrationMeta(
        split_digest=bundle.manifest.split_digest, digest=KNOWN.digest, values=(), accuracies=rows,
        made_at="2026-01-01T00:00:00+00:00", range_samples=1,
    )  # fmt: skip
    calibration = BundleCalibration(meta, KNOWN)
    return Bundle(bundle.path, bundle.manifest, calibration, contents=bundle.contents)
