"""A classifier that a little training makes good exits for, and inputs for it."""

import numpy as np
import onnx

from partitioner.exits.trainer import Data
from protos.tensors import Array
from tests.kit.models import Builder


def loudest_channel() -> onnx.ModelProto:
    """Three classes: which colour is strongest on average. The early value is that, in a map."""
    b = Builder(8)
    eye = np.eye(3, dtype=np.float32)
    x = b.input("x", ["n", 3, 12, 12])
    for _ in range(3):
        x = b.op("Relu", b.op("Conv", x, b.constant(eye.reshape(3, 3, 1, 1)), kernel_shape=[1, 1]))
    flat = b.op("Flatten", b.op("GlobalAveragePool", x))
    return b.model(b.op("Gemm", flat, b.constant(10 * eye)))


def colours(count: int, seed: int = 0, gap: float = 0.4) -> tuple[Array, list[int]]:
    """Noise with one colour a bit brighter, and which."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, count)
    frames = rng.random((count, 3, 12, 12), np.float32)
    frames[np.arange(count), labels] += np.float32(gap) * rng.random((count, 1, 1), np.float32)
    return frames, labels.tolist()


def data(frames: Array, labels: list[int] | None = None) -> Data:
    return Data(lambda: ({"x": frame[None]} for frame in frames), labels)
