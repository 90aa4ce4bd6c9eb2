"""Operations of ONNX nodes, by hand."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from partitioner.importer.onnx_graph import read_graph
from protos.tensors import TensorSpec

WEIGHTS = numpy_helper.from_array(np.zeros((8, 16, 3, 3), np.int8), "w")
MATRIX = numpy_helper.from_array(np.zeros((16, 8), np.int8), "m")
SCALE = numpy_helper.from_array(np.float32(0.1), "s")
ZERO = numpy_helper.from_array(np.int8(0), "z")
CONV = 2 * 8 * 10 * 10 * 16 * 9
"""8 x 10 x 10 values of 16 x 3 x 3 multiply-adds each, two operations for each of these."""


def flops_of(nodes: list[onnx.NodeProto], made: tuple[int, ...], **inputs: tuple[int, ...]) -> int:
    """The operations of the last node, which makes `y`."""
    given = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in inputs]
    out = [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)]
    graph = helper.make_graph(nodes, "g", given, out, [WEIGHTS, MATRIX, SCALE, ZERO])
    values = {
        name: TensorSpec(name, "float32", (-1, *shape))
        for name, shape in {**inputs, "y": made}.items()
    }
    found, _ = read_graph(helper.make_model(graph), values, {})
    return found.nodes[-1].flops


def test_quantised_convolution_counts_as_any_other() -> None:
    made = (8, 10, 10)
    linear = helper.make_node("QLinearConv", ["x", "s", "z", "w", "s", "z", "s", "z"], ["y"])
    assert flops_of([linear], made, x=(16, 10, 10)) == CONV
    integer = helper.make_node("ConvInteger", ["x", "w"], ["y"])
    assert flops_of([integer], made, x=(16, 10, 10)) == CONV


def test_convolution_with_weights_that_are_dequantised_counts_as_any_other() -> None:
    nodes = [
        helper.make_node("DequantizeLinear", ["w", "s", "z"], ["w2"]),
        helper.make_node("Cast", ["w2"], ["w3"], to=TensorProto.FLOAT),
        helper.make_node("Conv", ["x", "w3"], ["y"]),
    ]
    assert flops_of(nodes, (8, 10, 10), x=(16, 10, 10)) == CONV


def test_quantised_product_counts_as_any_other() -> None:
    linear = helper.make_node("QLinearMatMul", ["x", "s", "z", "m", "s", "z", "s", "z"], ["y"])
    assert flops_of([linear], (5, 8), x=(5, 16)) == 2 * 5 * 8 * 16


@pytest.mark.parametrize(
    ("equation", "made", "wanted"),
    [("bij,bjk->bik", (5, 8), 2 * 5 * 16 * 8), ("b...j,b...j->b", (), 0)],
)
def test_sum_over_indices_counts_all_their_combinations(
    equation: str, made: tuple[int, ...], wanted: int
) -> None:
    node = helper.make_node("Einsum", ["x", "k"], ["y"], equation=equation)
    assert flops_of([node], made, x=(5, 16), k=(16, 8)) == wanted


def test_packed_and_fused_products_count_as_those_that_they_are() -> None:
    # 5 x 32 by 32 x 8, whose weights are packed: in blocks of 16, two to a byte.
    packed = helper.make_node("MatMulNBits", ["x", "k"], ["y"], K=32, N=8, bits=4, block_size=16)
    assert flops_of([packed], (5, 8), x=(5, 32), k=(8, 2, 8)) == 2 * 5 * 8 * 32
    turned = helper.make_node("FusedMatMul", ["x", "k"], ["y"], transB=1)
    assert flops_of([turned], (5, 8), x=(5, 32), k=(8, 32)) == 2 * 5 * 8 * 32
    fused = helper.make_node("FusedConv", ["x", "k"], ["y"], activation="Relu")
    assert flops_of([fused], (8, 10, 10), x=(16, 10, 10), k=(16, 3, 3)) == 2 * 800 * 144


def test_attention_counts_both_of_its_products() -> None:
    # 4 heads, 10 queries, 12 keys of 16 values: 4·10·12·16 multiply-adds, twice.
    node = helper.make_node("Attention", ["x", "k", "v"], ["y"])
    shapes = {"x": (4, 10, 16), "k": (4, 12, 16), "v": (4, 12, 16)}
    assert flops_of([node], (4, 10, 16), **shapes) == 2 * 2 * 4 * 10 * 12 * 16
