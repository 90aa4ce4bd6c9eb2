"""Small models whose inputs and outputs are of kinds that few have, and inputs that they take."""

from collections.abc import Callable

import numpy as np
import onnx
from onnx import TensorProto

from protos.tensors import Array
from tests.kit.models import Builder

Feeds = dict[str, Array]


def _typed(model: onnx.ModelProto, **types: int) -> onnx.ModelProto:
    for output in model.graph.output:
        output.type.tensor_type.elem_type = types.get(output.name, TensorProto.FLOAT)
    return model


def detector() -> onnx.ModelProto:
    """Boxes behind NonMaxSuppression: as many as the image has, 20 at most."""
    b = Builder(10)
    x = b.op("Relu", b.conv(b.input("x", [1, 3, 16, 16]), 3, 16))
    cells = b.op("Sigmoid", b.conv(x, 16, 5))
    rows = b.op("Transpose", b.op("Reshape", cells, b.constant([1, 5, -1])), perm=[0, 2, 1])
    boxes = b.op("Split", rows, b.constant([4, 1]), outputs=2, axis=2)
    scores = b.op("Transpose", f"{boxes}_1", perm=[0, 2, 1])
    limits = [b.constant([20]), b.constant(np.float32([0.5])), b.constant(np.float32([0.55]))]
    chosen = b.op("NonMaxSuppression", boxes, scores, *limits)
    one = b.constant([1])
    places = b.op("Slice", chosen, b.constant([2]), b.constant([3]), one)
    found = b.op("Gather", boxes, b.op("Squeeze", places, one), axis=1)
    return b.model(b.op("Mul", found, b.constant(np.float32(16.0))))


def detector_feeds() -> list[Feeds]:
    """Images with several numbers of boxes, none among them."""
    rng = np.random.default_rng(3)
    return [
        {"x": (scale * rng.standard_normal((1, 3, 16, 16))).astype(np.float32)}
        for scale in (0.0, 0.3, 1.0, 2.0, 5.0)
    ]


def decoder() -> onnx.ModelProto:
    """One step of a decoder, whose cache of keys and values may be empty."""
    b = Builder(11)
    ids = b.input("ids", ["b", "s"], TensorProto.INT64)
    past = b.input("past", ["b", 4, "p", 8])
    x = b.op("MatMul", b.op("Gather", b.weight(50, 32), ids), b.weight(32, 32))
    heads = b.op("Transpose", b.op("Reshape", x, b.constant([1, -1, 4, 8])), perm=[0, 2, 1, 3])
    present = b.op("Concat", past, heads, axis=2)
    scores = b.op("MatMul", heads, b.op("Transpose", present, perm=[0, 1, 3, 2]))
    mixed = b.op("MatMul", b.op("Softmax", scores), present)
    rows = b.op("Reshape", b.op("Transpose", mixed, perm=[0, 2, 1, 3]), b.constant([1, -1, 32]))
    return b.model(b.op("MatMul", rows, b.weight(32, 50)), present)


def decoder_feeds() -> list[Feeds]:
    rng = np.random.default_rng(4)
    past = np.zeros((1, 4, 0, 8), np.float32)
    return [{"ids": rng.integers(0, 50, (1, 3)), "past": past} for _ in range(2)]


def anchored() -> onnx.ModelProto:
    """Outputs that no input reaches: a weight, and what is computed from weights; and an input."""
    b = Builder(12)
    x = b.conv_bn_relu(b.input("x", ["n", 3, 16, 16]), 3, 8)
    meta = b.input("meta", ["n", 2], TensorProto.INT64)
    anchors = b.weight(10, 4)
    scales = b.op("Mul", anchors, b.constant(np.float32(3.0)))
    model = b.model(b.conv(b.conv_bn_relu(x, 8, 8), 8, 4), anchors, scales, meta)
    return _typed(model, meta=TensorProto.INT64)


def anchored_feeds() -> list[Feeds]:
    rng = np.random.default_rng(5)
    return [
        {"x": rng.standard_normal((1, 3, 16, 16)).astype(np.float32), "meta": np.array([[at, 7]])}
        for at in range(2)
    ]


ODD: dict[str, tuple[Callable[[], onnx.ModelProto], Callable[[], list[Feeds]]]] = {
    "detector": (detector, detector_feeds),
    "decoder": (decoder, decoder_feeds),
    "anchored": (anchored, anchored_feeds),
}
"""Each model, and inputs that it takes."""
SHAPES: dict[str, dict[str, tuple[int, ...]]] = {
    "decoder": {"ids": (1, 3), "past": (1, 4, 0, 8)},
}
"""What has to be said of the inputs of those that leave sizes open."""
