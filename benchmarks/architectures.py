"""Real architectures with seeded weights, written out in ONNX."""

import onnx

from tests.models import Builder


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


def pass_through(values: int, copies: int = 2) -> onnx.ModelProto:
    """Nearly nothing to compute, so that what remains is the service: `values` floats cross every cut."""
    b = Builder(1)
    x = b.input("x", ["n", 1, values])
    for _ in range(copies):
        x = b.op("MaxPool", x, kernel_shape=[1])
    return b.model(b.op("GlobalMaxPool", x))
