"""Ranges of low-bit codecs, written by hand."""

import numpy as np

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
