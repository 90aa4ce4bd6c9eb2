"""Importing: whatever goes in, head + tail equals the original at every cut, and bad input is named."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto
from PIL import Image

from partitioner.bundle.bundle import Bundle
from partitioner.bundle.verification import verify_bundle
from partitioner.importer.importer import ImportOptions, import_model
from partitioner.inputs.files import load_inputs
from partitioner.runtime.sessions import random_feeds
from protos.errors import BundleError, UsageError
from tests.kit import models, odd_models
from tests.kit.imports import refuse, run_onnx, run_split


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
        c.ok for c in verify_bundle(bundle, [random_feeds(bundle.inputs, np.random.default_rng(0))])
    )


def test_import_is_the_same_twice(tmp_path: Path, onnx_files: Callable[[str], Path]) -> None:
    one = import_model(onnx_files("inception"), tmp_path / "a" / "model")
    two = import_model(onnx_files("inception"), tmp_path / "b" / "model")
    assert one.digest == two.digest


def test_open_sizes_are_asked_for(tmp_path: Path) -> None:
    b = models.Builder()
    x = b.conv_bn_relu(b.input("x", ["n", 3, "height", "width"]), 3, 8)
    path = models.save(b.model(b.classify(b.conv_bn_relu(x, 8, 8), 8)), tmp_path / "open.onnx")
    refuse(path, tmp_path / "out", "x is float32.n, 3, height, width.*`input_shapes` x=1x3x224x224")
    wrong = ImportOptions(input_shapes={"y": (1, 3, 16, 16)})
    refuse(path, tmp_path / "out", "no input y", wrong)
    wrong = ImportOptions(input_shapes={"x": (1, 4, 16, 16)})
    refuse(path, tmp_path / "out", "1x4x16x16.*wants", wrong)
    bundle = import_model(path, tmp_path / "out", ImportOptions(input_shapes={"x": (1, 3, 16, 24)}))
    assert bundle.inputs[0].shape == (-1, 3, 16, 24)


def test_all_inputs_that_leave_sizes_open_are_asked_for_at_once(tmp_path: Path) -> None:
    path = models.save(odd_models.decoder(), tmp_path / "decoder.onnx")
    asked = r"ids is int64\[b, s\]; past is float32\[b, 4, p, 8\]"
    refuse(path, tmp_path / "out", f"{asked}.*`input_shapes` ids=1x16 `input_shapes` past=1x4x16x8")


def test_model_that_could_take_nothing_over_a_network_is_refused(tmp_path: Path) -> None:
    b = models.Builder()
    alone = models.save(b.model(b.op("Add", b.weight(4), b.weight(4))), tmp_path / "alone.onnx")
    refuse(alone, tmp_path / "out", "has no input")
    b = models.Builder()
    words = b.op("StringNormalizer", b.input("words", [4], TensorProto.STRING))
    text = b.model(b.op("Equal", words, words), opset=19)
    text.graph.output[0].type.tensor_type.elem_type = TensorProto.BOOL
    path = models.save(text, tmp_path / "text.onnx")
    refuse(path, tmp_path / "out", "'words' is of type text, which cannot cross")


def test_axes_of_one_name_are_said_once(tmp_path: Path) -> None:
    """The batch of a state lies on its second axis, and all caches are as long as the first."""
    b = models.Builder()
    x, state = b.input("x", ["b", "s"]), b.input("state", [2, "b", 4])
    one, two = b.input("one", ["b", "p", 4]), b.input("two", ["b", "p", 4])
    y = b.op("Add", b.op("Concat", one, two, axis=1), state)
    y = b.op("Add", b.op("Relu", b.linear(y, 4, 4)), b.op("ReduceSum", x))
    path = models.save(b.model(b.linear(y, 4, 4)), tmp_path / "named.onnx")
    refuse(path, tmp_path / "out", "open: x is .*; one is .*; two is")
    said = ImportOptions(input_shapes={"x": (1, 6), "one": (1, 1, 4)})
    bundle = import_model(path, tmp_path / "out", said)
    assert [spec.sized() for spec in bundle.inputs] == [(1, 6), (2, 1, 4), (1, 1, 4), (1, 1, 4)]


def test_what_is_said_of_inputs_has_to_be_true_of_them(
    tmp_path: Path, onnx_files: Callable[[str], Path]
) -> None:
    file, out = onnx_files("residual"), tmp_path / "out"
    refuse(
        file, out, "given as int64, .* takes float32", ImportOptions(input_dtypes={"x": "int64"})
    )
    refuse(file, out, "`frame` .* need `preprocess`", ImportOptions(frame="48x64"))
    huge = ImportOptions(preprocess="unit", frame="99999999x999999")
    refuse(file, out, "99,999,899,000,001 pixels, and at most", huge)
    import_model(file, out, ImportOptions(input_dtypes={"x": "float32"}))


def test_model_without_a_cut_runs_whole_on_either_side(tmp_path: Path) -> None:
    b = models.Builder()
    path = models.save(b.model(b.linear(b.input("x", ["n", 8]), 8, 4)), tmp_path / "one.onnx")
    said: list[str] = []
    bundle = import_model(path, tmp_path / "out", on_remark=said.append)
    assert [*bundle.cuts] == ["cloud", "edge"]
    assert ["no place to cut" in remark for remark in said] == [True]
    feeds = random_feeds(bundle.inputs, np.random.default_rng(0))
    assert all(check.ok for check in verify_bundle(bundle, [feeds]))


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


def test_two_samples_that_are_alike_prove_nothing_of_a_batch(tmp_path: Path) -> None:
    """The mean over the batch of two that are the same is each of them."""
    b = models.Builder()
    x = b.op("Relu", b.linear(b.op("Relu", b.linear(b.input("x", [1, 16]), 16, 32)), 32, 8))
    mixed = b.op("ReduceMean", x, b.constant(np.array([0])), keepdims=1)
    model = models.save(b.model(b.linear(b.op("Add", x, mixed), 8, 4)), tmp_path / "mix.onnx")
    np.save(tmp_path / "same.npy", np.ones((2, 16), np.float32))
    options = ImportOptions(samples=tmp_path / "same.npy")
    assert import_model(model, tmp_path / "mix", options).inputs[0].shape == (1, 16)


def test_input_that_is_an_output_too_passes_through(tmp_path: Path) -> None:
    b = models.Builder()
    image = b.input("x", ["n", 3, 16, 16])
    x = b.conv_bn_relu(b.conv_bn_relu(image, 3, 8), 8, 8)
    path = models.save(b.model(b.classify(x, 8), image), tmp_path / "through.onnx")
    bundle = import_model(path, tmp_path / "through")
    feeds = random_feeds(bundle.inputs, np.random.default_rng(1), 2)
    for cut in bundle.cuts:
        np.testing.assert_array_equal(run_split(bundle, cut, feeds)["x"], feeds["x"])


def test_value_of_a_type_without_numpy_stays_on_one_side(tmp_path: Path) -> None:
    b = models.Builder()
    x = b.op("Relu", b.linear(b.input("x", ["n", 16]), 16, 32))
    narrow = b.op("Cast", x, to=TensorProto.BFLOAT16)
    x = b.op("Relu", b.linear(b.op("Cast", narrow, to=TensorProto.FLOAT), 32, 8))
    path = models.save(b.model(b.linear(x, 8, 4)), tmp_path / "bf16.onnx")
    bundle = import_model(path, tmp_path / "bf16")
    assert all(spec.dtype == "float32" for cut in bundle.manifest.cuts for spec in cut.frontier)


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
    refuse(onnx_files("residual"), tmp_path / "my model", "Give a `name`")
    refuse(onnx_files("residual"), tmp_path / "out", "Give a `name`", ImportOptions(name="a/b"))


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
    with pytest.raises(BundleError, match="exists.*`replace`"):
        import_model(onnx_files("inception"), tmp_path / "out")
    assert Bundle.load(tmp_path / "out").digest == bundle.digest
    (tmp_path / "out" / "profiles").mkdir()
    for name in ("calibration.npz", "profiles/edge.json"):
        (tmp_path / "out" / name).write_bytes(b"")
    said: list[str] = []
    replaced = import_model(
        onnx_files("inception"),
        tmp_path / "out",
        ImportOptions(replace=True),
        on_remark=said.append,
    )
    assert said[-1].endswith("is gone with it: calibration.npz, profiles/edge.json")
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


def test_manifest_is_json_that_names_every_file(residual_bundle: Bundle) -> None:
    document = json.loads((residual_bundle.path / "bundle.json").read_text())
    files = {
        p.relative_to(residual_bundle.path).as_posix()
        for p in residual_bundle.path.rglob("*")
        if p.is_file()
    }
    assert set(document["manifest"]["files"]) == files - {"bundle.json"}


def test_white_that_is_said_at_import_holds_for_every_reader(tmp_path: Path) -> None:
    b = models.Builder()
    x = b.conv_bn_relu(b.input("x", [1, 1, 8, 8]), 1, 4)
    model = b.model(b.classify(b.conv_bn_relu(x, 4, 4), 4))
    path = models.save(model, tmp_path / "grey.onnx")
    values = np.arange(64, dtype=np.uint16).reshape(8, 8) * 65
    folder = tmp_path / "frames"
    folder.mkdir()
    Image.fromarray(values).save(folder / "thermal.png")
    (folder / "notes.txt").write_text("left out")
    said: list[str] = []
    options = ImportOptions(preprocess="unit", white=4095, samples=folder)
    bundle = import_model(path, tmp_path / "net", options, on_remark=said.append)
    wanted = np.rint(values.astype(float) * 255 / 4095).reshape(1, 8, 8, 1)
    np.testing.assert_array_equal(bundle.samples()[0]["image"], wanted)
    assert any("1 .txt" in text for text in said)
    inputs = Bundle.load(tmp_path / "net").inputs
    np.testing.assert_array_equal(load_inputs(folder, inputs)[0]["image"], wanted)
    plain = import_model(path, tmp_path / "plain", ImportOptions(preprocess="unit"))
    assert "white" not in (tmp_path / "plain" / "bundle.json").read_text()
    assert plain.digest != bundle.digest


def test_white_without_images_is_refused(tmp_path: Path, onnx_files: Callable[[str], Path]) -> None:
    with pytest.raises(UsageError, match="`white` is of images, and images cannot be fed"):
        import_model(onnx_files("residual"), tmp_path / "net", ImportOptions(white=4095))
