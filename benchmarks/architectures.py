"""Real architectures with seeded weights, written out in ONNX."""

import numpy as np
import onnx

from tests.kit.models import Builder


def resnet50(size: int = 224) -> onnx.ModelProto:
    """25.6 M parameters, 4.1 GMAC at 224 (He et al., CVPR 2016; stride in the 3x3, as torchvision)."""
    b = Builder(50)
    x = b.conv_bn_relu(b.input("x", ["n", 3, size, size]), 3, 64, k=7, stride=2)
    x = b.op("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    cin = 64
    for width, blocks, first in ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2)):
        for block in range(blocks):
            stride = first if block == 0 else 1
            y = b.conv_bn_relu(b.conv_bn_relu(x, cin, width, k=1), width, width, stride=stride)
            y = b.conv(y, width, 4 * width, k=1)
            skip = b.conv(x, cin, 4 * width, k=1, stride=stride) if block == 0 else x
            x, cin = b.op("Relu", b.op("Add", y, skip)), 4 * width
    return b.model(b.classify(x, cin, classes=1000))


def resnet18(size: int = 224) -> onnx.ModelProto:
    """11.7 M parameters, 1.8 GMAC at 224 (He et al., CVPR 2016)."""
    b = Builder(18)
    x = b.conv_bn_relu(b.input("x", ["n", 3, size, size]), 3, 64, k=7, stride=2)
    x = b.op("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    cin = 64
    for width, first in ((64, 1), (128, 2), (256, 2), (512, 2)):
        for block in range(2):
            stride = first if block == 0 else 1
            y = b.conv(b.conv_bn_relu(x, cin, width, stride=stride), width, width)
            skip = b.conv(x, cin, width, k=1, stride=stride) if cin != width else x
            x, cin = b.op("Relu", b.op("Add", y, skip)), width
    return b.model(b.classify(x, cin, classes=1000))


def mobilenet_v2(size: int = 224, classes: int = 1000) -> onnx.ModelProto:
    """3.5 M parameters, 0.3 GMAC at 224 (Sandler et al., CVPR 2018, table 2); of 10 classes 2.2 M."""
    b = Builder(2)

    def clipped(x: str) -> str:
        return b.op("Clip", x, b.constant(np.float32(0)), b.constant(np.float32(6)))

    x = clipped(b.conv(b.input("x", ["n", 3, size, size]), 3, 32, stride=2))
    cin = 32
    for expansion, cout, repeats, first in (
        (1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2),
        (6, 320, 1, 1),
    ):  # fmt: skip
        for block in range(repeats):
            stride, wide = first if block == 0 else 1, cin * expansion
            y = x if expansion == 1 else clipped(b.conv(x, cin, wide, k=1))
            y = b.op(
                "Conv", y, b.weight(wide, 1, 3, 3), b.weight(wide),
                kernel_shape=[3, 3], strides=[stride, stride], pads=[1, 1, 1, 1], group=wide,
            )  # fmt: skip
            y = b.conv(clipped(y), wide, cout, k=1)
            x = b.op("Add", x, y) if stride == 1 and cin == cout else y
            cin = cout
    return b.model(b.classify(clipped(b.conv(x, cin, 1280, k=1)), 1280, classes=classes))


def vit_tiny(size: int = 224, patch: int = 16) -> onnx.ModelProto:
    """5.7 M parameters, 1.3 GMAC (DeiT-Ti; Touvron et al., ICML 2021), with a mean for the class token."""
    b, width, heads, layers = Builder(3), 192, 3, 12
    tokens = (size // patch) ** 2

    def norm(x: str) -> str:
        ones, zeros = np.ones(width, np.float32), np.zeros(width, np.float32)
        return b.op("LayerNormalization", x, b.constant(ones), b.constant(zeros), axis=-1)

    def attention(x: str) -> str:
        shape = b.constant(np.array([0, tokens, heads, width // heads]))
        parts = [
            b.op("Transpose", b.op("Reshape", b.linear(x, width, width), shape), perm=order)
            for order in ([0, 2, 1, 3], [0, 2, 3, 1], [0, 2, 1, 3])
        ]
        scores = b.op("MatMul", parts[0], parts[1])
        scaled = b.op("Mul", scores, b.constant(np.float32((width // heads) ** -0.5)))
        mixed = b.op("MatMul", b.op("Softmax", scaled, axis=-1), parts[2])
        joined = b.op("Transpose", mixed, perm=[0, 2, 1, 3])
        flat = b.op("Reshape", joined, b.constant(np.array([0, tokens, width])))
        return b.linear(flat, width, width)

    def gelu(x: str) -> str:
        gate = b.op("Erf", b.op("Mul", x, b.constant(np.float32(2**-0.5))))
        half = b.op("Mul", x, b.constant(np.float32(0.5)))
        return b.op("Mul", half, b.op("Add", gate, b.constant(np.float32(1))))

    x = b.op(
        "Conv", b.input("x", ["n", 3, size, size]), b.weight(width, 3, patch, patch), b.weight(width),
        kernel_shape=[patch, patch], strides=[patch, patch],
    )  # fmt: skip
    x = b.op("Reshape", x, b.constant(np.array([0, width, tokens])))
    x = b.op("Add", b.op("Transpose", x, perm=[0, 2, 1]), b.weight(tokens, width))
    for _ in range(layers):
        x = b.op("Add", x, attention(norm(x)))
        x = b.op("Add", x, b.linear(gelu(b.linear(norm(x), width, 4 * width)), 4 * width, width))
    pooled = b.op("ReduceMean", norm(x), b.constant(np.array([1])), keepdims=0)
    return b.model(b.linear(pooled, width, 1000))


def pass_through(values: int, copies: int = 2) -> onnx.ModelProto:
    """Nearly nothing to compute, so that what remains is the service: `values` floats cross every cut."""
    b = Builder(1)
    x = b.input("x", ["n", 1, values])
    for _ in range(copies):
        x = b.op("MaxPool", x, kernel_shape=[1])
    return b.model(b.op("GlobalMaxPool", x))


def densenet121(size: int = 224) -> onnx.ModelProto:
    """8.0 M parameters, 2.9 GMAC at 224; every layer reads all before it (Huang et al., CVPR 2017)."""
    b = Builder(121)
    x = b.conv_bn_relu(b.input("x", ["n", 3, size, size]), 3, 64, k=7, stride=2)
    x, cin = b.op("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]), 64
    for layers in (6, 12, 24, 16):
        for _ in range(layers):
            y = b.conv(_bn_relu(b, x, cin), cin, 128, k=1)
            x = b.op("Concat", x, b.conv(_bn_relu(b, y, 128), 128, 32), axis=1)
            cin += 32
        x = _bn_relu(b, x, cin)
        if layers != 16:
            x, cin = b.conv(x, cin, cin // 2, k=1), cin // 2
            x = b.op("AveragePool", x, kernel_shape=[2, 2], strides=[2, 2])
    return b.model(b.classify(x, cin, classes=1000))


def _bn_relu(b: Builder, x: str, width: int) -> str:
    ones, zeros = np.ones(width, np.float32), np.zeros(width, np.float32)
    scale, shift = b.constant(ones * 1.1), b.constant(zeros + 0.1)
    mean, variance = b.constant(zeros), b.constant(ones)
    return b.op("Relu", b.op("BatchNormalization", x, scale, shift, mean, variance))
