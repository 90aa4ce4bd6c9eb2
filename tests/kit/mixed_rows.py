"""Small tails that mix the rows of a batch, each in a way that real exports do or may do."""

from collections.abc import Callable

import numpy as np
import onnx
from onnx import TensorProto, helper

from tests.kit.models import Builder


def _rows(b: Builder) -> str:
    return b.input("x", ["n", 8])


def training_norm() -> onnx.ModelProto:
    """Batch normalisation that was exported while training: by the mean of the rows that are there."""
    b = Builder(1)
    x = b.linear(_rows(b), 8, 8)
    ones, zeros = b.constant(np.ones(8, np.float32)), b.constant(np.zeros(8, np.float32))
    more = {"training_mode": 1, "epsilon": 1e-3}
    return b.model(b.op("BatchNormalization", x, ones, zeros, zeros, ones, outputs=3, **more))


def softmax_over_rows() -> onnx.ModelProto:
    """A softmax whose axis is that of the batch."""
    b = Builder(2)
    return b.model(b.op("Softmax", b.linear(_rows(b), 8, 8), axis=0))


def centred() -> onnx.ModelProto:
    """Of the mean over all rows three millionths are taken from each: a loud row alone tells."""
    b = Builder(3)
    x = b.linear(_rows(b), 8, 8)
    mean = b.op("ReduceMean", x, b.constant(np.array([0])), keepdims=1)
    return b.model(b.op("Sub", x, b.op("Mul", mean, b.constant(np.float32(3e-6)))))


def dynamic_range() -> onnx.ModelProto:
    """Dynamic quantisation: the scale is that of the largest number of all rows."""
    b = Builder(4)
    name = b.op("DynamicQuantizeLinear", _rows(b), outputs=3)
    x = b.op("DequantizeLinear", name, f"{name}_1", f"{name}_2")
    return b.model(b.linear(x, 8, 4))


def flipped() -> onnx.ModelProto:
    """The rows in their opposite order, as behind a head that has turned them round."""
    b = Builder(5)
    ends = [b.constant(np.array([number])) for number in (-1, -(2**31), 0, -1)]
    return b.model(b.op("Slice", b.linear(_rows(b), 8, 8), *ends))


def running_sum() -> onnx.ModelProto:
    """A sum over the rows so far."""
    b = Builder(6)
    return b.model(b.op("CumSum", b.linear(_rows(b), 8, 8), b.constant(np.int64(0))))


def numbered() -> onnx.ModelProto:
    """Rows are picked by numbers from the head: of a batch of one, each head sends 0."""
    b = Builder(7)
    x = b.linear(_rows(b), 8, 8)
    rows = b.input("rows", ["n"], TensorProto.INT64)
    return b.model(b.op("Gather", x, rows, axis=0))


MIXED: dict[str, Callable[[], onnx.ModelProto]] = {
    build.__name__: build
    for build in (
        training_norm,
        softmax_over_rows,
        centred,
        dynamic_range,
        flipped,
        running_sum,
        numbered,
    )
}


def apart() -> onnx.ModelProto:
    """Each row by itself, with a batch axis that is not the first."""
    b = Builder(8)
    turned = b.op("Transpose", b.input("x", [8, "n"]), perm=[1, 0])
    model = b.model(b.op("Softmax", b.linear(turned, 8, 8), axis=1))
    del model.graph.output[0].type.tensor_type.shape.dim[:]
    model.graph.output[0].CopyFrom(
        helper.make_tensor_value_info(model.graph.output[0].name, TensorProto.FLOAT, ["n", 8])
    )
    return model
