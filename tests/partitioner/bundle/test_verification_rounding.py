"""What rounding explains is right, and what it does not is found: float16 and int4 models."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from partitioner.bundle.bundle import Bundle
from partitioner.bundle.manifest import Cut
from partitioner.bundle.verification import verify_bundle
from partitioner.graph.roundings import LEAST_TOLERANCE
from partitioner.importer.importer import import_model
from partitioner.profiles.samples import natural_feeds
from partitioner.runtime.sessions import Stage
from tests.kit.models import Builder, save


def half_precision(model: onnx.ModelProto, spoilt: str = "") -> onnx.ModelProto:
    """The same net in float16; with one value of the weight `spoilt` wrong."""
    for weight in model.graph.initializer:
        array = numpy_helper.to_array(weight)
        if array.dtype == np.float32:
            array = array.astype(np.float16)
            if weight.name == spoilt:
                place = array.argmax()  # a bias that the activation lets through
                array.flat[place] = array.flat[place] + 1 if array.ndim == 1 else -array.flat[place]
            weight.CopyFrom(numpy_helper.from_array(array, weight.name))
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.elem_type = TensorProto.FLOAT16
    return model


def half_net(layers: int, spoilt: str = "") -> onnx.ModelProto:
    b = Builder()
    x = b.conv_bn_relu(b.input("x", [1, 3, 32, 32]), 3, 16)
    for _ in range(layers):
        x = b.op("Add", x, b.conv_bn_relu(x, 16, 16))
    return half_precision(b.model(b.classify(x, 16)), spoilt)


@pytest.mark.parametrize("layers", [4, 12])
def test_parts_of_a_float16_model_may_differ_by_what_rounding_explains(
    layers: int, tmp_path: Path
) -> None:
    bundle = import_model(save(half_net(layers), tmp_path / "m.onnx"), tmp_path / "b")
    assert {spec.dtype for cut in bundle.manifest.cuts for spec in cut.frontier} == {"float16"}
    worst = 0.0
    for seed in range(5):
        feeds = natural_feeds(bundle.inputs, np.random.default_rng(seed))
        assert all(check.ok for check in verify_bundle(bundle, [feeds]))
        strict = verify_bundle(bundle, [feeds], tolerance=LEAST_TOLERANCE)
        worst += sum(not check.ok for check in strict)
    assert worst > 0  # what is right for float32 is too strict


@pytest.mark.parametrize("spoilt", ["weight", "bias"])
def test_one_wrong_value_of_a_float16_tail_is_found(
    spoilt: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tails are those of the same net, of which one weight is flipped or one bias is one too large."""
    right = half_net(4)
    last = [node for node in right.graph.node if node.op_type == "Conv"][-1]
    wrong = half_net(4, last.input[1 if spoilt == "weight" else 2])
    bundle = import_model(save(right, tmp_path / "m.onnx"), tmp_path / "b")
    other = import_model(save(wrong, tmp_path / "w.onnx"), tmp_path / "w")
    assert bundle.manifest.cuts == other.manifest.cuts
    open_tail = Bundle.open_tail

    def open_wrong(asked: Bundle, cut: str, options: object = None) -> Stage:
        return open_tail(asked if cut in ("cloud", "edge") else other, cut, None)

    monkeypatch.setattr(Bundle, "open_tail", open_wrong)
    holds_it = {cut.id for cut in bundle.manifest.cuts if before_last_convolution(bundle, cut)}
    assert len(holds_it) >= 3
    feeds = natural_feeds(bundle.inputs, np.random.default_rng(0))
    assert {check.cut for check in verify_bundle(bundle, [feeds]) if not check.ok} == holds_it


def before_last_convolution(bundle: Bundle, cut: Cut) -> bool:
    assert bundle.graph is not None
    head = bundle.graph.head_before(spec.name for spec in cut.frontier)
    return max(at for at, node in enumerate(bundle.graph.nodes) if node.op == "Conv") not in head


def test_parts_of_an_int4_model_compute_the_numbers_of_the_whole(tmp_path: Path) -> None:
    """The runtime fuses DequantizeLinear + MatMul in some pieces and not in others."""
    b = Builder()
    x = b.input("x", [1, 64])
    for _ in range(3):
        values = b.rng.integers(-8, 8, 64 * 64)
        weight = helper.make_tensor(f"q{len(b.weights)}", TensorProto.INT4, [64, 64], values)
        b.weights.append(weight)
        scale = b.constant(np.full((4, 64), 0.05, np.float32))
        plain = b.op("DequantizeLinear", weight.name, scale, axis=0, block_size=16)
        x = b.op("Relu", b.op("MatMul", x, plain))
    path = save(b.model(x, opset=21), tmp_path / "m.onnx")
    bundle = import_model(path, tmp_path / "b")
    feeds = natural_feeds(bundle.inputs, np.random.default_rng(0))
    assert len(bundle.manifest.cuts) >= 2
    assert all(check.ok for check in verify_bundle(bundle, [feeds]))
