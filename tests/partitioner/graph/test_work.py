"""The work of nodes: operations and bytes by hand, for every kind of operator."""

from partitioner.graph.graph import Graph, Node
from partitioner.graph.work import NodeWork, WorkKind, work_of
from protos.tensors import TensorSpec


def graph_of(*nodes: Node, **shapes: tuple[int, ...]) -> Graph:
    values = {name: TensorSpec(name, "float32", (-1, *shape)) for name, shape in shapes.items()}
    return Graph(nodes, ("x",), (nodes[-1].outputs[0],), values)


def only(op: str, flops: int, made: tuple[int, ...], *read: tuple[int, ...]) -> NodeWork:
    names = [f"x{place}" if place else "x" for place in range(len(read))]
    shapes = {**dict(zip(names, read, strict=True)), "y": made}
    (work,) = work_of(graph_of(Node("n", op, tuple(names), ("y",), flops), **shapes))
    return work


def test_dense_convolution_moves_its_values_and_weights() -> None:
    # 3 x 3 over 16 channels to 8 on 10 x 10: 8·100·16·9 multiply-adds; 1,600 and 800 values, 1,152 weights.
    work = only("Conv", 2 * 8 * 100 * 16 * 9, (8, 10, 10), (16, 10, 10))
    assert work == NodeWork(WorkKind.DENSE, 230_400, 4 * (1_600 + 800 + 1_152))


def test_depthwise_and_grouped_convolutions_are_of_one_kind() -> None:
    # Each channel by itself: 16·100·9 multiply-adds, 144 weights.
    depthwise = only("Conv", 2 * 16 * 100 * 9, (16, 10, 10), (16, 10, 10))
    assert depthwise == NodeWork(WorkKind.DEPTHWISE, 28_800, 4 * (1_600 + 1_600 + 144))
    # 128 channels in 32 groups of 4: 36 multiply-adds a value are fewer than the channels.
    grouped = only("Conv", 2 * 128 * 100 * 4 * 9, (128, 10, 10), (128, 10, 10))
    assert grouped.kind is WorkKind.DEPTHWISE
    # In two groups they are more than half of what a dense one would do.
    halved = only("Conv", 2 * 128 * 100 * 64 * 9, (128, 10, 10), (128, 10, 10))
    assert halved.kind is WorkKind.DENSE
    # A transposed one counts by what it reads.
    turned = only("ConvTranspose", 2 * 16 * 25 * 8 * 4, (8, 10, 10), (16, 5, 5))
    assert turned == NodeWork(WorkKind.DENSE, 25_600, 4 * (400 + 800 + 512))


def test_product_with_weights_reads_them_and_one_of_two_values_has_none() -> None:
    # 64 x 1,000 weights.
    assert only("Gemm", 2 * 64 * 1000, (1000,), (64,)) == NodeWork(
        WorkKind.DENSE, 128_000, 4 * (64 + 1000 + 64_000)
    )
    # 10 rows: the weights are still 64 x 32.
    assert only("MatMul", 2 * 10 * 64 * 32, (10, 32), (10, 64)).moved_bytes == 4 * (
        640 + 320 + 2048
    )
    # Attention: 4 heads, 10 queries by 10 keys of 16 values.
    scores = only("MatMul", 2 * 4 * 10 * 10 * 16, (4, 10, 10), (4, 10, 16), (4, 16, 10))
    assert scores == NodeWork(WorkKind.DENSE, 12_800, 4 * (640 + 640 + 400))


def test_small_weights_take_as_many_bytes_as_they_are_stored_in() -> None:
    # 64 x 1,000 weights of 4 bits, and of 8 where sums are made in 32.
    packed = only("MatMulNBits", 2 * 64 * 1000, (1000,), (64,))
    assert packed.moved_bytes == 4 * (64 + 1000) + 32_000
    summed = only("MatMulInteger", 2 * 64 * 1000, (1000,), (64,))
    assert summed.moved_bytes == 4 * (64 + 1000) + 64_000


def test_other_operators_move_bytes() -> None:
    assert only("Add", 100, (100,), (100,), (100,)) == NodeWork(WorkKind.MEMORY, 100, 1200)
    assert only("MaxPool", 50, (50,), (200,)) == NodeWork(WorkKind.MEMORY, 50, 1000)
    assert only("Reshape", 100, (100,), (10, 10)) == NodeWork(WorkKind.MEMORY, 0, 0)


def test_activation_is_free_where_a_runtime_fuses_it() -> None:
    conv = Node("c", "Conv", ("x",), ("a",), 2 * 8 * 100 * 16 * 9)
    relu = Node("r", "Relu", ("a",), ("b",), 800)
    shapes = {"x": (16, 10, 10), "a": (8, 10, 10), "b": (8, 10, 10), "y": (8, 10, 10)}
    alone = work_of(graph_of(conv, relu, **shapes))
    assert alone[1].moved_bytes == 0
    add = Node("s", "Add", ("a", "b"), ("y",), 800)
    read_twice = work_of(graph_of(conv, relu, add, **shapes))
    assert read_twice[1].moved_bytes == 4 * 1600
    after_sum = work_of(graph_of(conv, add, Node("r", "Relu", ("y",), ("b",), 800), **shapes))
    assert after_sum[2].moved_bytes == 4 * 1600
