"""A classifier that a little training makes good exits for, and inputs for it."""

import numpy as np
import onnx

from partitioner.bundle.bundle import Bundle
from partitioner.bundle.exits import CONFIDENCE, BundleExits
from partitioner.exits.trainer import Data, cuts_to_exit
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


def first_cut(bundle: Bundle) -> str:
    return cuts_to_exit(bundle)[0].id


def exit_cuts(bundle: Bundle) -> list[str]:
    return [cut for cut in bundle.cuts if cut in bundle.known_exits().by_cut]


def best_exit(bundle: Bundle) -> str:
    """The cut whose exit has named the whole model's class most often."""
    exits = bundle.known_exits().by_cut
    return max(exit_cuts(bundle), key=lambda cut: float(np.mean(exits[cut].outcomes.agrees)))


def without_exits(bundle: Bundle, *cuts: str) -> Bundle:
    found = bundle.known_exits()
    kept = {cut: exit_ for cut, exit_ in found.by_cut.items() if cut not in cuts}
    metas = tuple(exit_.meta for exit_ in kept.values())
    BundleExits(found.meta.model_copy(update={"exits": metas}), kept).save(bundle.path)
    return Bundle.load(bundle.path)


def answer_of_exit(bundle: Bundle, cut: str, frame: Array) -> tuple[dict[str, Array], float]:
    """What the sessions of head and exit say by themselves: the oracle."""
    values = bundle.open_exit(cut).run(bundle.open_head(cut).run({"x": frame[None]}))
    confidence = float(values.pop(CONFIDENCE)[0])
    return values, confidence
