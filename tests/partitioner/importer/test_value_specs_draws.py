"""Inputs that a model is tried on: such that its outputs are numbers, and that its batch can be told free."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto

from partitioner.bundle.bundle import Bundle
from partitioner.importer.importer import import_model
from partitioner.runtime.sessions import random_feeds
from tests.kit import models
from tests.kit.imports import refuse


def _import(model: onnx.ModelProto, folder: Path) -> Bundle:
    return import_model(models.save(model, folder / "odd.onnx"), folder / "odd")


@pytest.mark.parametrize("op", ["Log", "Sqrt"])
def test_batch_is_free_where_normal_values_give_no_number(op: str, tmp_path: Path) -> None:
    b = models.Builder()
    x = b.op(op, b.input("x", ["n", 16]))
    bundle = _import(b.model(b.linear(b.op("Relu", b.linear(x, 16, 16)), 16, 4)), tmp_path)
    assert bundle.inputs[0].shape == (-1, 16)
    drawn = random_feeds(bundle.inputs, np.random.default_rng(0))["x"]
    assert (drawn > 0).all()


def test_output_that_is_never_a_number_proves_no_batch(tmp_path: Path) -> None:
    b = models.Builder()
    x = b.op("Log", b.op("Neg", b.op("Abs", b.input("x", ["n", 16]))))
    bundle = _import(b.model(b.linear(b.op("Relu", b.linear(x, 16, 16)), 16, 4)), tmp_path)
    assert bundle.inputs[0].shape == (1, 16)


def test_numbers_of_tokens_are_drawn_from_the_whole_table(tmp_path: Path) -> None:
    """Number 0 is padding here, and a row of nothing else has no mean."""
    b = models.Builder()
    ids = b.input("ids", ["n", 6], TensorProto.INT64)
    rows = b.op("Gather", b.weight(500, 8), ids)
    kept = b.op("Cast", b.op("Greater", ids, b.constant(1)), to=TensorProto.FLOAT)
    kept = b.op("Unsqueeze", kept, b.constant([-1]))
    total = b.op("ReduceSum", b.op("Mul", rows, kept), b.constant([1]), keepdims=0)
    count = b.op("ReduceSum", kept, b.constant([1]), keepdims=0)
    mean = b.op("Div", total, count)
    bundle = _import(b.model(b.linear(b.op("Relu", b.linear(mean, 8, 8)), 8, 4)), tmp_path)
    (spec,) = bundle.inputs
    assert spec.shape == (-1, 6)
    assert spec.drawn == (0, 500)
    assert random_feeds(bundle.inputs, np.random.default_rng(0))["ids"].max() > 100


def test_mask_of_ones_is_tried_where_zeros_leave_nothing(tmp_path: Path) -> None:
    b = models.Builder()
    x, mask = b.input("x", ["n", 4]), b.input("mask", ["n", 1], TensorProto.INT64)
    shares = b.op("Div", x, b.op("Cast", mask, to=TensorProto.FLOAT))
    bundle = _import(b.model(b.linear(b.op("Relu", b.linear(shares, 4, 8)), 8, 4)), tmp_path)
    assert [spec.shape[0] for spec in bundle.inputs] == [-1, -1]
    assert random_feeds(bundle.inputs, np.random.default_rng(0))["mask"] == 1


def test_inputs_that_no_draw_suits_are_asked_for(tmp_path: Path) -> None:
    b = models.Builder()
    place = b.op("Cast", b.input("x", ["n", 4]), to=TensorProto.INT64)
    far = b.op("Add", place, b.constant(100))
    rows = b.op("Gather", b.weight(8, 8), far)
    path = models.save(b.model(b.linear(b.op("Relu", rows), 8, 4)), tmp_path / "far.onnx")
    refuse(path, tmp_path / "out", "fails on random inputs: Gather.*out of.*bounds.*`samples`")
