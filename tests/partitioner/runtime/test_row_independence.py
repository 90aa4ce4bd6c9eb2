"""Whether rows are independent: tails that mix them are told from those that do not."""

import onnx
import pytest

from partitioner.bundle.bundle import Bundle
from partitioner.runtime.row_independence import dependence
from partitioner.runtime.sessions import ModelFile, RuntimeOptions, Stage, open_stage
from protos.tensors import TensorSpec
from tests.kit.mixed_rows import MIXED, apart
from tests.kit.models import Builder


def stage_of(
    model: onnx.ModelProto, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...]
) -> Stage:
    return open_stage(ModelFile("m", model.SerializeToString()), inputs, outputs, RuntimeOptions())


def specs(model: onnx.ModelProto) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
    """What an importer would say that believed the rows to be independent."""
    types = {onnx.TensorProto.FLOAT: "float32", onnx.TensorProto.INT64: "int64"}
    inputs = tuple(
        TensorSpec(
            value.name,
            types[value.type.tensor_type.elem_type],
            tuple(dim.dim_value or -1 for dim in value.type.tensor_type.shape.dim),
            drawn=(0, 1) if value.name == "rows" else (),
        )
        for value in model.graph.input
    )
    width = 4 if model.graph.node[0].op_type == "DynamicQuantizeLinear" else 8
    return inputs, (TensorSpec(model.graph.output[0].name, "float32", (-1, width)),)


@pytest.mark.parametrize("name", MIXED)
def test_tail_that_mixes_rows_is_found_out(name: str) -> None:
    model = MIXED[name]()
    assert dependence(stage_of(model, *specs(model))).startswith("rows of ")


def test_axis_of_the_batch_may_be_any() -> None:
    model = apart()
    assert dependence(stage_of(model, *specs(model))) == ""


@pytest.mark.parametrize("name", ["residual", "inception", "unet", "transformer"])
def test_every_tail_of_networks_that_do_not_mix_rows_may_share_runs(
    bundles: object, name: str
) -> None:
    bundle: Bundle = bundles(name)  # type: ignore[operator]
    found = {cut: dependence(bundle.open_tail(cut)) for cut in bundle.cuts if cut != "edge"}
    assert set(found.values()) == {""}


def test_tail_with_a_fixed_batch_or_without_an_axis_for_it_is_computed_alone() -> None:
    model = MIXED["numbered"]()
    inputs, outputs = specs(model)
    fixed = (inputs[0], TensorSpec("rows", "int64", (1,)))
    assert "which has no batch axis of its own" in dependence(stage_of(model, fixed, outputs))
    sized = (TensorSpec(outputs[0].name, "float32", (-1, -2)),)
    assert "which has no batch axis of its own" in dependence(stage_of(model, inputs, sized))


def test_tail_that_random_rows_do_not_suit_is_computed_alone() -> None:
    model = MIXED["numbered"]()
    inputs, outputs = specs(model)
    wild = (inputs[0], TensorSpec("rows", "int64", (-1,), drawn=(5, 9)))
    assert dependence(stage_of(model, wild, outputs)).startswith("it cannot be tried")


def test_tail_that_makes_no_numbers_of_random_rows_is_computed_alone() -> None:
    """Nothing differs where nothing is a number."""
    b = Builder(0)
    model = b.model(b.op("Log", b.op("Neg", b.op("Abs", b.input("x", ["n", 8])))))
    assert "is no number for random rows" in dependence(stage_of(model, *specs(model)))
