"""Which values the data size, told from the graph alone."""

from collections.abc import Callable

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from partitioner.importer.values.data_sizes import data_sized
from tests.kit.models import Builder

Make = Callable[[Builder, str], str]


def _loop(b: Builder, x: str, trips: str) -> str:
    """As many copies of x, one after the other, as `trips` says."""
    going = helper.make_tensor_value_info("going", TensorProto.BOOL, [])
    turn = helper.make_tensor_value_info("turn", TensorProto.INT64, [])
    copy = helper.make_tensor_value_info("copy", TensorProto.FLOAT, None)
    nodes = [
        helper.make_node("Identity", ["going"], ["still"]),
        helper.make_node("Identity", [x], ["copy"]),
    ]
    still = helper.make_tensor_value_info("still", TensorProto.BOOL, [])
    body = helper.make_graph(nodes, "body", [turn, going], [still, copy])
    return b.op("Loop", trips, "", body=body)


SETTLED: dict[str, Make] = {
    "relu": lambda b, x: b.op("Relu", x),
    "reshaped by a constant": lambda b, x: b.op("Reshape", x, b.constant([-1])),
    "reshaped by its own shape": lambda b, x: b.op("Reshape", x, b.op("Shape", b.op("Neg", x))),
    "a range of its length": lambda b, x: b.op(
        "Range", b.constant(0), b.op("Size", x), b.constant(1)
    ),
    "a loop of constant length": lambda b, x: _loop(b, x, b.constant(3)),
    "the ones of a constant": lambda b, x: b.op("Mul", x, b.op("NonZero", b.weight(4))),
}
UNSETTLED: dict[str, Make] = {
    "its ones": lambda b, x: b.op("NonZero", x),
    "chosen by its ones": lambda b, x: b.op("GatherND", x, b.op("NonZero", x)),
    "unique": lambda b, x: b.op("Unique", x),
    "compressed": lambda b, x: b.op("Compress", x, b.op("Cast", x, to=TensorProto.BOOL)),
    "reshaped by its content": lambda b, x: b.op(
        "Reshape", x, b.op("Cast", x, to=TensorProto.INT64)
    ),
    "a loop as long as it says": lambda b, x: _loop(b, x, b.op("Cast", x, to=TensorProto.INT64)),
    "what comes after": lambda b, x: b.op("Relu", b.op("Neg", b.op("Unique", x))),
}


def _model(make: Make) -> tuple[onnx.ModelProto, str]:
    b = Builder()
    made = make(b, b.input("x", [1, 4]))
    return b.model(made), made


@pytest.mark.parametrize("name", SETTLED)
def test_shape_that_follows_from_shapes_is_settled(name: str) -> None:
    model, made = _model(SETTLED[name])
    assert made not in data_sized(model)


@pytest.mark.parametrize("name", UNSETTLED)
def test_shape_that_follows_from_content_is_not_settled(name: str) -> None:
    model, made = _model(UNSETTLED[name])
    assert made in data_sized(model)


def test_what_is_called_by_the_name_of_a_function_is_looked_through() -> None:
    b = Builder()
    made = b.op("Found", b.input("x", [1, 4]), domain="mine")
    model = b.model(made)
    body = [helper.make_node("NonZero", ["a"], ["b"])]
    opsets = [helper.make_opsetid("", 18)]
    model.functions.append(helper.make_function("mine", "Found", ["a"], ["b"], body, opsets))
    assert made in data_sized(model)


def test_branch_that_the_data_choose_leaves_the_shape_open() -> None:
    b = Builder()
    x = b.input("x", [1, 4])
    sides = [
        helper.make_graph(
            [helper.make_node("Identity", [x], [name])],
            name,
            [],
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, None)],
        )
        for name in ("then", "else")
    ]
    known, asked = b.constant(np.array(True)), b.op("Cast", x, to=TensorProto.BOOL)
    settled = b.op("If", known, then_branch=sides[0], else_branch=sides[1])
    open_ = b.op("If", asked, then_branch=sides[0], else_branch=sides[1])
    found = data_sized(b.model(settled, open_))
    assert open_ in found
    assert settled not in found
