"""Branches and loops inside a model."""

from pathlib import Path

import numpy as np
from onnx import TensorProto, helper

from partitioner.importer.importer import import_model
from partitioner.runtime.sessions import random_feeds
from tests.kit import models
from tests.kit.imports import run_onnx, run_split


def test_constants_and_captured_values_of_subgraphs_are_carried(tmp_path: Path) -> None:
    """An If whose branches read a value from outside, and weights that are computed from weights."""
    b = models.Builder(8)
    x = b.conv_bn_relu(b.input("x", ["n", 3, 16, 16]), 3, 8, stride=2)
    y = b.conv_bn_relu(x, 8, 8)
    flag = b.op("Greater", b.op("ReduceMean", y, keepdims=0), b.constant(np.float32(1e9)))
    branch = [
        helper.make_graph(
            [helper.make_node("Add" if op else "Mul", [y, x], [f"out{op}"])], f"branch{op}", [],
            [helper.make_tensor_value_info(f"out{op}", TensorProto.FLOAT, None)],
        ) for op in (0, 1)
    ]  # fmt: skip
    z = b.op("If", flag, then_branch=branch[0], else_branch=branch[1])
    doubled = b.op("Mul", b.weight(16, 8, 3, 3), b.constant(np.float32(2)))
    z = b.op("Conv", z, doubled, kernel_shape=[3, 3], pads=[1, 1, 1, 1])
    path = models.save(b.model(b.classify(b.op("Relu", z), 16)), tmp_path / "if.onnx")
    bundle = import_model(path, tmp_path / "if")
    feeds = random_feeds(bundle.inputs, np.random.default_rng(1))
    wanted = run_onnx(path, feeds)
    for cut in bundle.cuts:
        for output, array in run_split(bundle, cut, feeds).items():
            np.testing.assert_allclose(array, wanted[output], atol=1e-5)


def test_weights_inside_branches_are_on_the_disk_once(tmp_path: Path) -> None:
    b = models.Builder()
    x = b.op("Relu", b.linear(b.input("x", ["n", 64]), 64, 64))
    flag = b.op("Greater", b.op("ReduceMean", x, keepdims=0), b.constant(np.float32(0)))
    branches = []
    for name in ("then", "else"):
        weight = helper.make_tensor(name, TensorProto.FLOAT, [64, 64], b.rng.standard_normal(4096))
        node = helper.make_node("MatMul", [x, name], [f"{name}_out"])
        out = helper.make_tensor_value_info(f"{name}_out", TensorProto.FLOAT, None)
        branches.append(helper.make_graph([node], name, [], [out], [weight]))
    y = b.op("If", flag, then_branch=branches[0], else_branch=branches[1])
    path = models.save(b.model(b.linear(b.op("Relu", y), 64, 4)), tmp_path / "if.onnx")
    bundle = import_model(path, tmp_path / "if")
    graphs = [p for p in (bundle.path / "graphs").iterdir() if p.suffix == ".onnx"]
    assert max(p.stat().st_size for p in graphs) < 8000
    feeds = random_feeds(bundle.inputs, np.random.default_rng(1))
    (wanted,) = run_onnx(path, feeds).values()
    for cut in bundle.cuts:
        (found,) = run_split(bundle, cut, feeds).values()
        np.testing.assert_allclose(found, wanted, atol=1e-4)
