"""Networks whose times are published, as graphs: MobileNet v1 and v2, ResNet-18 and -50, SqueezeNet 1.1."""

from partitioner.graph.graph import Graph, Node
from protos.tensors import TensorSpec

Shape = tuple[int, int, int]
"""Channels, height, width."""


class _Sketch:
    """A graph that grows layer by layer; each layer returns the name of its value."""

    def __init__(self, side: int) -> None:
        self.nodes: list[Node] = []
        self.shapes: dict[str, tuple[int, ...]] = {"image": (3, side, side)}

    def add(self, op: str, inputs: tuple[str, ...], shape: tuple[int, ...], flops: int) -> str:
        name = f"v{len(self.nodes)}"
        self.nodes.append(Node(name, op, inputs, (name,), flops))
        self.shapes[name] = shape
        return name

    def conv(
        self, x: str, channels: int, kernel: int, stride: int = 1, *, groups: int = 1, padded: bool = True,
        activated: bool = True,
    ) -> str:  # fmt: skip
        inside, height, width = self.shapes[x]
        gone = 0 if padded else kernel - 1
        shape = (channels, -(-(height - gone) // stride), -(-(width - gone) // stride))
        macs = shape[0] * shape[1] * shape[2] * inside // groups * kernel**2
        made = self.add("Conv", (x,), shape, 2 * macs)
        return self.activated(made) if activated else made

    def activated(self, x: str) -> str:
        return self.add("Relu", (x,), self.shapes[x], 0)

    def pool(self, x: str, stride: int = 2) -> str:
        channels, height, width = self.shapes[x]
        return self.add("MaxPool", (x,), (channels, -(-height // stride), -(-width // stride)), 0)

    def classified(self, x: str, classes: int = 1000) -> Graph:
        channels = self.shapes[x][0]
        mean = self.add("GlobalAveragePool", (x,), (channels, 1, 1), 0)
        flat = self.add("Flatten", (mean,), (channels,), 0)
        self.add("Gemm", (flat,), (classes,), 2 * channels * classes)
        return self.graph()

    def graph(self) -> Graph:
        values = {
            name: TensorSpec(name, "float32", (-1, *shape)) for name, shape in self.shapes.items()
        }
        return Graph(tuple(self.nodes), ("image",), (self.nodes[-1].name,), values)


def mobilenet_v1(side: int = 224) -> Graph:
    """A. Howard et al., 2017, table 1: 0.57 G multiply-adds."""
    sketch = _Sketch(side)
    x = sketch.conv("image", 32, 3, 2)
    strided = [(64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2)]
    for channels, stride in [*strided, *[(512, 1)] * 5, (1024, 2), (1024, 1)]:
        inside = sketch.shapes[x][0]
        x = sketch.conv(sketch.conv(x, inside, 3, stride, groups=inside), channels, 1)
    return sketch.classified(x)


def mobilenet_v2(side: int = 224) -> Graph:
    """M. Sandler et al., 2018, table 2: 0.30 G multiply-adds."""
    sketch = _Sketch(side)
    x = sketch.conv("image", 32, 3, 2)
    blocks = [(1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2),
              (6, 320, 1, 1)]  # fmt: skip
    for factor, channels, count, first in blocks:
        for place in range(count):
            inside, stride = sketch.shapes[x][0], first if place == 0 else 1
            wide = sketch.conv(x, factor * inside, 1) if factor > 1 else x
            deep = sketch.conv(wide, factor * inside, 3, stride, groups=factor * inside)
            made = sketch.conv(deep, channels, 1, activated=False)
            kept = stride == 1 and inside == channels
            x = sketch.add("Add", (x, made), sketch.shapes[made], 0) if kept else made
    return sketch.classified(sketch.conv(x, 1280, 1))


def resnet(depth: int, side: int = 224) -> Graph:
    """K. He et al., 2016, table 1: 1.8 G multiply-adds for 18 layers, 4.1 G for 50 (stride in the 3 x 3)."""
    sketch = _Sketch(side)
    x = sketch.pool(sketch.conv("image", 64, 7, 2))
    counts = {18: (2, 2, 2, 2), 50: (3, 4, 6, 3)}[depth]
    for stage, count in enumerate(counts):
        narrow = 64 * 2**stage
        channels = narrow if depth == 18 else 4 * narrow
        for place in range(count):
            stride = 2 if place == 0 and stage else 1
            if depth == 18:
                deep = sketch.conv(x, narrow, 3, stride)
                deep = sketch.conv(deep, narrow, 3, activated=False)
            else:
                deep = sketch.conv(sketch.conv(x, narrow, 1), narrow, 3, stride)
                deep = sketch.conv(deep, channels, 1, activated=False)
            same = sketch.shapes[x] == sketch.shapes[deep]
            kept = x if same else sketch.conv(x, channels, 1, stride, activated=False)
            x = sketch.activated(sketch.add("Add", (kept, deep), sketch.shapes[deep], 0))
    return sketch.classified(x)


def squeezenet(side: int = 227) -> Graph:
    """F. Iandola et al., 2016, version 1.1: 0.35 G multiply-adds."""
    sketch = _Sketch(side)
    x = sketch.pool(sketch.conv("image", 64, 3, 2, padded=False))
    sizes = [
        (16, 64),
        (16, 64),
        None,
        (32, 128),
        (32, 128),
        None,
        (48, 192),
        (48, 192),
        (64, 256),
        (64, 256),
    ]
    for size in sizes:
        if size is None:
            x = sketch.pool(x)
            continue
        squeezed = sketch.conv(x, size[0], 1)
        sides = tuple(sketch.conv(squeezed, size[1], kernel) for kernel in (1, 3))
        _, height, width = sketch.shapes[squeezed]
        x = sketch.add("Concat", sides, (2 * size[1], height, width), 0)
    x = sketch.conv(x, 1000, 1)
    sketch.add("GlobalAveragePool", (x,), (1000, 1, 1), 0)
    return sketch.graph()
