"""Small models of the shapes that real ones have, as ONNX, with seeded weights; no torch needed."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


class Builder:
    """Adds nodes one by one; every method returns the name of the value it made."""

    def __init__(self, seed: int = 0) -> None:
        self.rng = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []
        self.inputs: list[onnx.ValueInfoProto] = []

    def input(self, name: str, shape: list[int | str], dtype: int = TensorProto.FLOAT) -> str:
        self.inputs.append(helper.make_tensor_value_info(name, dtype, shape))
        return name

    def weight(self, *shape: int) -> str:
        fan_in = int(np.prod(shape[1:])) if len(shape) > 1 else 1
        array = (self.rng.standard_normal(shape) / np.sqrt(fan_in)).astype(np.float32)
        return self.constant(array)

    def constant(self, array: object) -> str:
        name = f"w{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def op(self, op: str, *inputs: str, outputs: int = 1, **attributes: object) -> str:
        number = len(self.nodes)
        names = [f"{op.lower()}_{number}" + (f"_{i}" if i else "") for i in range(outputs)]
        node = helper.make_node(op, list(inputs), names, name=f"{op}_{number}", **attributes)
        self.nodes.append(node)
        return names[0]

    def conv(self, x: str, cin: int, cout: int, k: int = 3, stride: int = 1) -> str:
        pad = k // 2
        return self.op(
            "Conv", x, self.weight(cout, cin, k, k), self.weight(cout),
            kernel_shape=[k, k], strides=[stride, stride], pads=[pad, pad, pad, pad],
        )  # fmt: skip

    def conv_bn_relu(self, x: str, cin: int, cout: int, k: int = 3, stride: int = 1) -> str:
        y = self.conv(x, cin, cout, k, stride)
        ones, zeros = np.ones(cout, np.float32), np.zeros(cout, np.float32)
        scale, shift = self.constant(ones * 1.1), self.constant(zeros + 0.1)
        y = self.op(
            "BatchNormalization", y, scale, shift, self.constant(zeros), self.constant(ones)
        )
        return self.op("Relu", y)

    def linear(self, x: str, cin: int, cout: int) -> str:
        return self.op("Add", self.op("MatMul", x, self.weight(cin, cout)), self.weight(cout))

    def classify(self, x: str, cin: int, classes: int = 10) -> str:
        flat = self.op("Flatten", self.op("GlobalAveragePool", x))
        return self.op("Gemm", flat, self.weight(classes, cin), self.weight(classes), transB=1)

    def model(self, *outputs: str, opset: int = 18) -> onnx.ModelProto:
        infos = [onnx.ValueInfoProto(name=name) for name in outputs]
        graph = helper.make_graph(self.nodes, "test", self.inputs, [], self.weights)
        for info in infos:
            info.type.tensor_type.elem_type = TensorProto.FLOAT
            graph.output.append(info)
        return helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9
        )


def residual(
    size: int = 32, widths: tuple[int, ...] = (16, 32, 64), batch: str | int = "n"
) -> onnx.ModelProto:
    b = Builder(1)
    x = b.conv_bn_relu(b.input("x", [batch, 3, size, size]), 3, widths[0], stride=2)
    cin = widths[0]
    for cout in widths:
        y = b.conv(b.conv_bn_relu(x, cin, cout, stride=2), cout, cout)
        skip = b.conv(x, cin, cout, k=1, stride=2)
        x = b.op("Relu", b.op("Add", y, skip))
        y = b.conv(b.conv_bn_relu(x, cout, cout), cout, cout)
        x = b.op("Relu", b.op("Add", y, x))
        cin = cout
    return b.model(b.classify(x, cin))


def inception() -> onnx.ModelProto:
    b = Builder(2)
    x, cin = b.conv_bn_relu(b.input("x", ["n", 3, 32, 32]), 3, 16, stride=2), 16
    for _ in range(3):
        one = b.conv_bn_relu(x, cin, 8, k=1)
        three = b.conv_bn_relu(b.conv_bn_relu(x, cin, 8, k=1), 8, 16)
        five = b.conv_bn_relu(b.conv_bn_relu(x, cin, 4, k=1), 4, 8, k=5)
        pool = b.op("MaxPool", x, kernel_shape=[3, 3], pads=[1, 1, 1, 1])
        x = b.op("Concat", one, three, five, b.conv_bn_relu(pool, cin, 8, k=1), axis=1)
        cin = 40
    return b.model(b.classify(x, cin))


def dense() -> onnx.ModelProto:
    b = Builder(3)
    x, cin = b.conv_bn_relu(b.input("x", ["n", 3, 32, 32]), 3, 16, stride=2), 16
    for _ in range(2):
        for _ in range(4):
            x = b.op("Concat", x, b.conv(b.conv_bn_relu(x, cin, 16, k=1), 16, 8), axis=1)
            cin += 8
        x = b.op(
            "AveragePool", b.conv_bn_relu(x, cin, 24, k=1), kernel_shape=[2, 2], strides=[2, 2]
        )
        cin = 24
    return b.model(b.classify(x, cin))


def unet() -> onnx.ModelProto:
    b = Builder(4)
    x, skips, cin = b.input("x", ["n", 3, 32, 32]), [], 3
    for cout in (8, 16, 32):
        x = b.conv_bn_relu(x, cin, cout)
        skips.append((x, cout))
        x, cin = b.op("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2]), cout
    x = b.conv_bn_relu(x, cin, 64)
    cin = 64
    for skip, width in reversed(skips):
        up = b.op(
            "ConvTranspose", x, b.weight(cin, width, 2, 2), kernel_shape=[2, 2], strides=[2, 2]
        )
        x, cin = b.conv_bn_relu(b.op("Concat", up, skip, axis=1), 2 * width, width), width
    return b.model(b.conv(x, cin, 2, k=1))


def _layer_norm(b: Builder, x: str, width: int) -> str:
    """Decomposed, as older exporters write it."""
    centred = b.op("Sub", x, b.op("ReduceMean", x, b.constant(np.array([-1])), keepdims=1))
    two, tiny = b.constant(np.float32(2)), b.constant(np.float32(1e-5))
    spread = b.op("ReduceMean", b.op("Pow", centred, two), b.constant(np.array([-1])), keepdims=1)
    y = b.op("Div", centred, b.op("Sqrt", b.op("Add", spread, tiny)))
    return b.op("Add", b.op("Mul", y, b.weight(width)), b.weight(width))


def _attention(b: Builder, x: str, mask: str, width: int, heads: int, length: int) -> str:
    parts = []
    for order in ([0, 2, 1, 3], [0, 2, 3, 1], [0, 2, 1, 3]):
        split = b.op(
            "Reshape", b.linear(x, width, width), b.constant(np.array([0, length, heads, -1]))
        )
        parts.append(b.op("Transpose", split, perm=order))
    q, k, v = parts
    scores = b.op("Div", b.op("MatMul", q, k), b.constant(np.float32(np.sqrt(width // heads))))
    weights = b.op("Softmax", b.op("Add", scores, mask), axis=-1)
    mixed = b.op("Transpose", b.op("MatMul", weights, v), perm=[0, 2, 1, 3])
    return b.linear(b.op("Reshape", mixed, b.constant(np.array([0, length, -1]))), width, width)


def transformer(layers: int = 3, width: int = 32, length: int = 16) -> onnx.ModelProto:
    """Integer inputs, two of them, and a mask that every layer reads."""
    b = Builder(5)
    ids = b.input("ids", ["n", length], TensorProto.INT64)
    seen = b.op("Cast", b.input("seen", ["n", length], TensorProto.INT64), to=TensorProto.FLOAT)
    one, far = b.constant(np.float32(1)), b.constant(np.float32(-1e4))
    mask = b.op("Mul", b.op("Sub", one, seen), far)
    mask = b.op("Unsqueeze", mask, b.constant(np.array([1, 2])))
    x = b.op("Add", b.op("Gather", b.weight(100, width), ids), b.weight(length, width))
    for _ in range(layers):
        x = b.op("Add", x, _attention(b, _layer_norm(b, x, width), mask, width, 4, length))
        y = b.linear(_layer_norm(b, x, width), width, 4 * width)
        half, root = b.constant(np.float32(0.5)), b.constant(np.float32(np.sqrt(2)))
        gate = b.op("Add", b.op("Erf", b.op("Div", y, root)), one)
        y = b.op("Mul", b.op("Mul", y, gate), half)
        x = b.op("Add", x, b.linear(y, 4 * width, width))
    return b.model(b.op("ReduceMean", x, b.constant(np.array([1])), keepdims=0))


def two_towers() -> onnx.ModelProto:
    """Two inputs of different kinds, and two outputs, one of which the head may already have."""
    b = Builder(6)
    x, cin = b.input("image", ["n", 3, 32, 32]), 3
    for cout in (8, 16, 32):
        x, cin = b.conv_bn_relu(x, cin, cout, stride=2), cout
    early = b.classify(x, cin, classes=4)
    x = b.conv_bn_relu(x, cin, 64, stride=2)
    text = b.input("text", ["n", 48])
    t = b.op("Tanh", b.linear(b.op("Tanh", b.linear(text, 48, 64)), 64, 64))
    flat = b.op("Flatten", b.op("GlobalAveragePool", x))
    both = b.op("Relu", b.linear(b.op("Concat", flat, t, axis=1), 128, 64))
    return b.model(early, b.linear(both, 64, 10))


def gated(size: int = 32) -> onnx.ModelProto:
    """Depthwise convolutions with decomposed SiLU and squeeze-and-excite gates."""
    b = Builder(7)
    x, cin = b.input("x", [1, 3, size, size]), 3
    for cout in (16, 24, 32):
        y = b.conv(x, cin, cout, stride=2)
        y = b.op("Mul", y, b.op("Sigmoid", y))
        pad = [1, 1, 1, 1]
        d = b.op("Conv", y, b.weight(cout, 1, 3, 3), kernel_shape=[3, 3], pads=pad, group=cout)
        d = b.op("Mul", d, b.op("Sigmoid", d))
        gate = b.op("Sigmoid", b.conv(b.op("GlobalAveragePool", d), cout, cout, k=1))
        x, cin = b.op("Add", b.conv(b.op("Mul", d, gate), cout, cout, k=1), y), cout
    return b.model(b.classify(x, cin))


ZOO: dict[str, Callable[[], onnx.ModelProto]] = {
    "residual": residual,
    "inception": inception,
    "dense": dense,
    "unet": unet,
    "transformer": transformer,
    "two_towers": two_towers,
    "gated": gated,
}


def save(model: onnx.ModelProto, path: Path) -> Path:
    path.write_bytes(model.SerializeToString())
    return path
