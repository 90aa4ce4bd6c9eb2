"""Tails of a given time: as many convolutions in a row as this machine takes that long for."""

import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import onnx
import onnxruntime

from tests.kit.models import Builder, save

_SIZE, _CHANNELS = 28, 16
_FEW, _MANY = 4, 24
_RUNS = 60


def convolutions(layers: int) -> onnx.ModelProto:
    """50 kB in, and 1.8 M multiplications a layer."""
    b = Builder(layers)
    x = b.input("x", ["n", _CHANNELS, _SIZE, _SIZE])
    for _ in range(layers):
        x = b.conv(x, _CHANNELS, _CHANNELS)
    return b.model(b.op("GlobalMaxPool", x))


def lasting(seconds: float, folder: Path) -> onnx.ModelProto:
    """Return a model of one input that takes about `seconds` here with one thread, by two that are timed."""
    found = [(layers, _run_s(convolutions(layers), folder)) for layers in (_FEW, _MANY)]
    ((few, few_s), (many, many_s)) = next(pairwise(found))
    layer_s = (many_s - few_s) / (many - few)
    return convolutions(max(1, round(few + (seconds - few_s) / layer_s)))


def session(path: Path) -> onnxruntime.InferenceSession:
    """Open a model as the server does: with one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def _run_s(model: onnx.ModelProto, folder: Path) -> float:
    opened = session(save(model, folder / "timed.onnx"))
    feeds = {"x": np.ones((1, _CHANNELS, _SIZE, _SIZE), np.float32)}
    times_s = []
    for _ in range(_RUNS):
        begun_at = time.thread_time()
        opened.run(None, feeds)
        times_s.append(time.thread_time() - begun_at)
    return float(np.median(times_s))
