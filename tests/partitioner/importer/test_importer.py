"""Importing: whatever goes in, head + tail equals the original at every cut, and bad input is named."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper
from PIL import Image

from partitioner.bundle.bundle import Bundle
from partitioner.bundle.verification import verify_bundle
from partitioner.importer.importer import ImportOptions, import_model
from partitioner.runtime.sessions import random_feeds
from protos.errors import BundleError, ModelError, SourceError, UsageError
from protos.tensors import Array
from tests.kit import models


def run_onnx(path: Path, feeds: dict[str, Array]) -> dict[str, Array]:
    """The oracle: the original file, run by the runtime alone."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, feeds), strict=True))


def run_split(bundle: Bundle, cut: str, feeds: dict[str, Array]) -> dict[str, Array]:
    head = bundle.open_head(cut).run(feeds)
    frontier = {spec.name: head[spec.name] for spec in bundle.cut(cut).frontier}
    tail = bundle.open_tail(cut).run(frontier)
    return {**{name: head[name] for name in bundle.cut(cut).head_outputs}, **tail}


@pytest.mark.parametrize("name", models.ZOO)
@pytest.mark.parametrize("batch", [1, 3])
def test_head_and_tail_equal_the_original_at_every_cut(
    name: str, batch: int, bundles: Callable[[str], Bundle], onnx_files: Callable[[str], Path]
) -> None:
    bundle = bundles(name)
    feeds = random_feeds(bundle.inputs, np.random.default_rng(7), batch)
    singles = [{key: array[at : at + 1] for key, array in feeds.items()} for at in range(batch)]
    wanted = [run_onnx(onnx_files(name), single) for single in singles]
    assert len(bundle.manifest.cuts) >= 5
    for cut in bundle.cuts:
        found = run_split(bundle, cut, feeds)
        for output in wanted[0]:
            whole = np.concatenate([single[output] for single in wanted])
            np.testing.assert_allclose(found[output], whole, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", models.ZOO)
def test_shapes_in_the_manifest_are_those_that_cross(
    name: str, bundles: Callable[[str], Bundle]
) -> None:
    bundle = bundles(name)
    feeds = random_feeds(bundle.inputs, np.random.default_rng(0), 2)
    for cut in bundle.manifest.cuts:
        values = bundle.open_head(cut.id).run(feeds)
        for spec in cut.frontier:
            spec.check(values[spec.name].dtype.name, values[spec.name].shape)
            assert values[spec.name].shape == spec.sized(2)


def test_output_that_the_head_computes_does_not_cross(bundles: Callable[[str], Bundle]) -> None:
    bundle = bundles("two_towers")
    early = bundle.outputs[0].name
    later = [cut for cut in bundle.manifest.cuts if early in cut.head_outputs]
    assert later
    for cut in later:
        assert early not in cut.tail_outputs
        assert early not in {spec.name for spec in cut.frontier}


def test_fixed_batch_becomes_free_where_the_model_allows(bundles: Callable[[str], Bundle]) -> None:
    assert bundles("gated").inputs[0].shape == (-1, 3, 32, 32)


def test_batch_stays_fixed_where_the_model_has_it_built_in(tmp_path: Path) -> None:
    b = models.Builder()
    x = b.conv_bn_relu(b.input("x", [1, 3, 16, 16]), 3, 8)
    x = b.conv_bn_relu(x, 8, 8)
    flat = b.op("Reshape", x, b.constant(np.array([1, 8 * 16 * 16])))
    hidden = b.op("Relu", b.linear(flat, 8 * 16 * 16, 32))
    path = models.save(b.model(b.linear(hidden, 32, 4)), tmp_path / "fixed.onnx")
    bundle = import_model(path, tmp_path / "fixed")
    assert bundle.inputs[0].shape == (1, 3, 16, 16)
    assert all(
        c.ok for c in verify_bundle(bundle, random_feeds(bundle.inputs, np.random.default_rng(0)))
    )


def test_weights_are_on_the_disk_once(
    residual_bundle: Bundle, onnx_files: Callable[[str], Path]
) -> None:
    original = onnx_files("residual").stat().st_size
    assert len(residual_bundle.cuts) > 8
    # Fourteen cuts have 27 graphs; with their own weights they would take 14 times the original.
    assert residual_bundle.size_bytes < 1.5 * original


def test_import_is_the_same_twice(tmp_path: Path, onnx_files: Callable[[str], Path]) -> None:
    one = import_model(onnx_files("inception"), tmp_path / "a" / "model")
    two = import_model(onnx_files("inception"), tmp_path / "b" / "model")
    assert one.digest == two.digest


def test_external_data_is_taken_over(tmp_path: Path) -> None:
    model = models.residual()
    path = tmp_path / "big.onnx"
    onnx.save(
        model, str(path), save_as_external_data=True, location="big.weights", size_threshold=0
    )
    bundle = import_model(path, tmp_path / "big")
    feeds = random_feeds(bundle.inputs, np.random.default_rng(1))
    wanted = run_onnx(path, feeds)
    for cut in bundle.cuts:
        for output, array in run_split(bundle, cut, feeds).items():
            np.testing.assert_allclose(array, wanted[output], atol=1e-5)


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


@pytest.mark.parametrize("frame", [None, "48x64"])
def test_preprocessing_in_the_graph_equals_numpy(
    frame: str | None, tmp_path: Path, onnx_files: Callable[[str], Path]
) -> None:
    options = ImportOptions(preprocess="imagenet", frame=frame)
    bundle = import_model(onnx_files("residual"), tmp_path / "image", options)
    height, width = map(int, (frame or "32x32").split("x"))
    assert bundle.inputs[0].shape == (-1, height, width, 3)
    # A smooth picture: antialiased resizing then agrees between libraries.
    ramp = np.linspace(0, 255, width)[None, :, None] * np.ones((height, 1, 3))
    picture = ramp.astype(np.uint8)
    small = np.asarray(Image.fromarray(picture).resize((32, 32), Image.Resampling.BILINEAR))
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    floats = ((small / 255 - mean) / std).transpose(2, 0, 1)[None].astype(np.float32)
    wanted = run_onnx(onnx_files("residual"), {"x": floats})
    found = run_split(bundle, "cloud", {bundle.inputs[0].name: picture[None]})
    for output, array in wanted.items():
        np.testing.assert_allclose(found[output], array, atol=0.02)
    feeds = random_feeds(bundle.inputs, np.random.default_rng(0), 2)
    assert all(check.ok for check in verify_bundle(bundle, feeds))


def test_torch_factory_with_example_inputs_becomes_a_bundle(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    factory = tmp_path / "nets.py"
    factory.write_text(
        "from __future__ import annotations\n"
        "from dataclasses import dataclass\n"
        "import torch\n"
        "from torch import nn\n"
        "@dataclass\n"
        "class Settings:\n"
        "    depth: int = 4\n"
        "def build():\n"
        "    print('hello from user code')\n"
        "    torch.manual_seed(0)\n"
        "    net = nn.Sequential(*[m for i in range(4) for m in\n"
        "        (nn.Conv2d(3 if i == 0 else 8, 8, 3, padding=1), nn.BatchNorm2d(8), nn.SiLU())],\n"
        "        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5))\n"
        "    return net, torch.rand(1, 3, 16, 16)\n"
    )
    bundle = import_model(f"{factory}:build", tmp_path / "net")
    assert capsys.readouterr().out == ""
    import torch

    namespace: dict[str, object] = {"__name__": "builtins"}
    exec(factory.read_text(), namespace)
    module, _ = namespace["build"]()  # type: ignore[operator]
    feeds = random_feeds(bundle.inputs, np.random.default_rng(0), 2)
    assert bundle.inputs[0].shape == (-1, 3, 16, 16)
    with torch.no_grad():
        wanted = module.eval()(torch.from_numpy(feeds[bundle.inputs[0].name])).numpy()
    for cut in bundle.cuts:
        (found,) = run_split(bundle, cut, feeds).values()
        np.testing.assert_allclose(found, wanted, atol=1e-5)


# --- bad input ---------------------------------------------------------------------------------------


def refuse(source: object, out: Path, match: str, options: ImportOptions | None = None) -> None:
    """Importing must raise a sentence with `match`, and leave nothing behind."""
    before = sorted(out.parent.iterdir())
    with pytest.raises((ModelError, UsageError, SourceError), match=match):
        import_model(str(source), out, options)
    assert sorted(out.parent.iterdir()) == before


def test_file_that_is_no_model_is_refused(tmp_path: Path) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("hello, world\n" * 100)
    refuse(text, tmp_path / "out", "is not an ONNX file")
    empty = tmp_path / "empty.onnx"
    empty.write_bytes(b"")
    refuse(empty, tmp_path / "out", "is not an ONNX file")
    refuse(tmp_path / "missing.onnx", tmp_path / "out", "there is no file")


def test_unknown_operator_is_named(tmp_path: Path) -> None:
    b = models.Builder()
    x = b.conv_bn_relu(b.input("x", ["n", 3, 16, 16]), 3, 8)
    path = models.save(b.model(b.op("Frobnicate", x)), tmp_path / "odd.onnx")
    refuse(path, tmp_path / "out", "Frobnicate.*does not know")


def test_open_sizes_are_asked_for(tmp_path: Path) -> None:
    b = models.Builder()
    x = b.conv_bn_relu(b.input("x", ["n", 3, "height", "width"]), 3, 8)
    path = models.save(b.model(b.classify(b.conv_bn_relu(x, 8, 8), 8)), tmp_path / "open.onnx")
    refuse(path, tmp_path / "out", "--input x=1x3x224x224")
    wrong = ImportOptions(input_shapes={"y": (1, 3, 16, 16)})
    refuse(path, tmp_path / "out", "no input y", wrong)
    wrong = ImportOptions(input_shapes={"x": (1, 4, 16, 16)})
    refuse(path, tmp_path / "out", "1x4x16x16.*wants", wrong)
    bundle = import_model(path, tmp_path / "out", ImportOptions(input_shapes={"x": (1, 3, 16, 24)}))
    assert bundle.inputs[0].shape == (-1, 3, 16, 24)


def test_missing_weights_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "big.onnx"
    onnx.save(models.residual(), str(path), save_as_external_data=True, location="big.weights")
    (tmp_path / "big.weights").unlink()
    refuse(path, tmp_path / "out", "big.weights.*does not lie beside it")


def test_truncated_weights_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "big.onnx"
    onnx.save(models.residual(), str(path), save_as_external_data=True, location="big.weights")
    weights = tmp_path / "big.weights"
    weights.write_bytes(weights.read_bytes()[:-1000])
    refuse(path, tmp_path / "out", "big.weights is cut short: it has .* wants .* Copy it again")


def test_model_newer_than_the_runtime_says_what_to_do(tmp_path: Path) -> None:
    model = models.residual()
    model.opset_import[0].version = 999
    path = models.save(model, tmp_path / "new.onnx")
    refuse(path, tmp_path / "out", "Export the model again, for an opset that this runtime knows")


def test_what_is_said_of_inputs_has_to_be_true_of_them(
    tmp_path: Path, onnx_files: Callable[[str], Path]
) -> None:
    file, out = onnx_files("residual"), tmp_path / "out"
    refuse(
        file, out, "given as int64, .* takes float32", ImportOptions(input_dtypes={"x": "int64"})
    )
    refuse(file, out, "--frame .* need --preprocess", ImportOptions(frame="48x64"))
    huge = ImportOptions(preprocess="unit", frame="99999999x999999")
    refuse(file, out, "99999899000001 pixels, and at most", huge)
    import_model(file, out, ImportOptions(input_dtypes={"x": "float32"}))


def test_model_without_a_cut_is_refused(tmp_path: Path) -> None:
    b = models.Builder()
    path = models.save(b.model(b.linear(b.input("x", ["n", 8]), 8, 4)), tmp_path / "one.onnx")
    refuse(path, tmp_path / "out", "no cut")


def test_output_whose_shape_depends_on_the_data_is_refused(tmp_path: Path) -> None:
    b = models.Builder()
    x = b.conv_bn_relu(b.conv_bn_relu(b.input("x", ["n", 3, 8, 8]), 3, 8), 8, 8)
    model = b.model(b.op("NonZero", b.op("Relu", x)))
    model.graph.output[0].type.tensor_type.elem_type = TensorProto.INT64
    path = models.save(model, tmp_path / "odd.onnx")
    refuse(path, tmp_path / "out", "depends on the data")


def test_constant_output_is_refused(tmp_path: Path) -> None:
    b = models.Builder()
    x = b.conv_bn_relu(b.conv_bn_relu(b.input("x", ["n", 3, 8, 8]), 3, 8), 8, 8)
    weight = b.op("Mul", b.weight(4), b.weight(4))
    path = models.save(b.model(b.classify(x, 8), weight), tmp_path / "odd.onnx")
    refuse(path, tmp_path / "out", "is a constant")


@pytest.mark.parametrize("mixing", ["CumSum", "ReduceMax"])
def test_batch_whose_samples_mix_is_not_freed(mixing: str, tmp_path: Path) -> None:
    b = models.Builder()
    x = b.op("Relu", b.linear(b.op("Relu", b.linear(b.input("x", [1, 16]), 16, 32)), 32, 8))
    axis = b.constant(np.array(0) if mixing == "CumSum" else np.array([0]))
    kept = {} if mixing == "CumSum" else {"keepdims": 1}
    mixed = b.op(mixing, x, axis, **kept)
    x = b.linear(b.op("Add", x, mixed), 8, 4)
    bundle = import_model(models.save(b.model(x), tmp_path / "mix.onnx"), tmp_path / "mix")
    assert bundle.inputs[0].shape == (1, 16)


def test_input_that_is_an_output_too_passes_through(tmp_path: Path) -> None:
    b = models.Builder()
    image = b.input("x", ["n", 3, 16, 16])
    x = b.conv_bn_relu(b.conv_bn_relu(image, 3, 8), 8, 8)
    path = models.save(b.model(b.classify(x, 8), image), tmp_path / "through.onnx")
    bundle = import_model(path, tmp_path / "through")
    feeds = random_feeds(bundle.inputs, np.random.default_rng(1), 2)
    for cut in bundle.cuts:
        np.testing.assert_array_equal(run_split(bundle, cut, feeds)["x"], feeds["x"])


def test_sparse_weights_are_taken_over(tmp_path: Path) -> None:
    b = models.Builder()
    x = b.op("Relu", b.linear(b.input("x", ["n", 16]), 16, 32))
    model = b.model(b.linear(b.op("Relu", b.op("MatMul", x, "sparse")), 8, 4))
    values = helper.make_tensor("sparse", TensorProto.FLOAT, [3], [1.0, -2.0, 3.0])
    places = helper.make_tensor("at", TensorProto.INT64, [3], [5, 77, 255])
    model.graph.sparse_initializer.append(helper.make_sparse_tensor(values, places, [32, 8]))
    path = models.save(model, tmp_path / "sparse.onnx")
    bundle = import_model(path, tmp_path / "sparse")
    feeds = random_feeds(bundle.inputs, np.random.default_rng(1))
    (wanted,) = run_onnx(path, feeds).values()
    for cut in bundle.cuts:
        (found,) = run_split(bundle, cut, feeds).values()
        np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_value_of_a_type_without_numpy_stays_on_one_side(tmp_path: Path) -> None:
    b = models.Builder()
    x = b.op("Relu", b.linear(b.input("x", ["n", 16]), 16, 32))
    narrow = b.op("Cast", x, to=TensorProto.BFLOAT16)
    x = b.op("Relu", b.linear(b.op("Cast", narrow, to=TensorProto.FLOAT), 32, 8))
    path = models.save(b.model(b.linear(x, 8, 4)), tmp_path / "bf16.onnx")
    bundle = import_model(path, tmp_path / "bf16")
    assert all(spec.dtype == "float32" for cut in bundle.manifest.cuts for spec in cut.frontier)


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


@pytest.mark.parametrize("opset", [11, 13, 18])
def test_frames_are_resized_with_every_opset(opset: int, tmp_path: Path) -> None:
    b = models.Builder()
    x = b.conv_bn_relu(b.conv_bn_relu(b.input("x", ["n", 3, 16, 16]), 3, 8), 8, 8)
    path = models.save(b.model(b.classify(x, 8), opset=opset), tmp_path / "net.onnx")
    bundle = import_model(path, tmp_path / "net", ImportOptions(preprocess="unit", frame="30x50"))
    assert bundle.inputs[0].shape == (-1, 30, 50, 3)


def test_samples_are_kept_and_come_back_one_by_one(
    tmp_path: Path, onnx_files: Callable[[str], Path]
) -> None:
    array = np.random.default_rng(0).standard_normal((3, 3, 32, 32)).astype(np.float32)
    np.save(tmp_path / "x.npy", array)
    options = ImportOptions(samples=tmp_path / "x.npy")
    bundle = import_model(onnx_files("residual"), tmp_path / "net", options)
    np.testing.assert_array_equal(np.concatenate([frame["x"] for frame in bundle.samples()]), array)


def test_name_that_no_server_could_offer_is_refused(
    tmp_path: Path, onnx_files: Callable[[str], Path]
) -> None:
    refuse(onnx_files("residual"), tmp_path / "my model", "Give --name")
    refuse(onnx_files("residual"), tmp_path / "out", "Give --name", ImportOptions(name="a/b"))


def test_interrupted_replacement_keeps_the_old_bundle(
    tmp_path: Path, onnx_files: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    old = import_model(onnx_files("residual"), tmp_path / "net")
    renamed = Path.rename

    def rename(path: Path, target: Path) -> Path:
        if target == tmp_path / "net" and not path.name.endswith(".old"):
            raise KeyboardInterrupt
        return renamed(path, target)

    monkeypatch.setattr(Path, "rename", rename)
    with pytest.raises(KeyboardInterrupt):
        import_model(onnx_files("inception"), tmp_path / "net", ImportOptions(replace=True))
    assert Bundle.load(tmp_path / "net").digest == old.digest
    assert [path.name for path in tmp_path.iterdir()] == ["net"]


def test_preprocessing_that_does_not_fit_is_refused(
    tmp_path: Path, onnx_files: Callable[[str], Path]
) -> None:
    cases = {
        "sepia": "not understood",
        "mean=1:2,std=1": "2 numbers for mean",
        "mean=x": "not understood",
        "std=0": "every std above 0",
        "scale=1e": "not understood",
    }
    for text, match in cases.items():
        refuse(onnx_files("residual"), tmp_path / "out", match, ImportOptions(preprocess=text))
    refuse(
        onnx_files("transformer"),
        tmp_path / "out",
        "one image input",
        ImportOptions(preprocess="unit"),
    )
    frame = ImportOptions(preprocess="unit", frame="1x2x3")
    refuse(onnx_files("residual"), tmp_path / "out", "480x640", frame)


def test_labels_that_do_not_fit_the_classes_are_refused(
    tmp_path: Path, onnx_files: Callable[[str], Path]
) -> None:
    refuse(
        onnx_files("residual"), tmp_path / "out", "3 labels", ImportOptions(labels=("a", "b", "c"))
    )


def test_existing_folder_is_not_overwritten(
    tmp_path: Path, onnx_files: Callable[[str], Path]
) -> None:
    bundle = import_model(onnx_files("residual"), tmp_path / "out")
    with pytest.raises(BundleError, match="exists.*--force"):
        import_model(onnx_files("inception"), tmp_path / "out")
    assert Bundle.load(tmp_path / "out").digest == bundle.digest
    replaced = import_model(onnx_files("inception"), tmp_path / "out", ImportOptions(replace=True))
    assert replaced.digest != bundle.digest
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    other = tmp_path / "precious"
    other.mkdir()
    with pytest.raises(BundleError, match="no bundle; it is left alone"):
        import_model(onnx_files("residual"), other, ImportOptions(replace=True))


def test_interrupted_import_leaves_nothing(
    tmp_path: Path, onnx_files: Callable[[str], Path]
) -> None:
    def interrupt(step: str) -> None:
        if step.startswith("writing"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        import_model(onnx_files("residual"), tmp_path / "out", on_step=interrupt)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("def build():\n    raise RuntimeError('no luck')\n", "RuntimeError: no luck"),
        ("def build():\n    return 3\n", "returned int"),
        ("import nowhere_to_be_found\n", "nowhere_to_be_found"),
        ("def build():\n    import neighbour_of_mine\n", "neighbour_of_mine"),
        ("def other():\n    pass\n", "no factory 'build'"),
        (
            "import torch\ndef build():\n    return torch.nn.Linear(3, 3)\n",
            "without example inputs",
        ),
    ],
)
def test_factory_that_fails_says_why(text: str, match: str, tmp_path: Path) -> None:
    factory = tmp_path / "broken.py"
    factory.write_text(text)
    refuse(f"{factory}:build", tmp_path / "out", match)


def test_manifest_is_json_that_names_every_file(residual_bundle: Bundle) -> None:
    document = json.loads((residual_bundle.path / "bundle.json").read_text())
    files = {
        p.relative_to(residual_bundle.path).as_posix()
        for p in residual_bundle.path.rglob("*")
        if p.is_file()
    }
    assert set(document["manifest"]["files"]) == files - {"bundle.json"}
