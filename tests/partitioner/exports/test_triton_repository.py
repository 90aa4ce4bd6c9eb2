"""A model repository for Triton: its models compute what the bundle computes, and Triton reads its words."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from partitioner.bundle.bundle import Bundle
from partitioner.exports.triton_repository import TritonExport, TritonOptions, export_triton
from partitioner.importer.importer import import_model
from partitioner.runtime.sessions import random_feeds
from protos.codecs.plain_tensors import encode_plain, plain_frontier
from protos.codecs.registry import RAW, get_codec
from protos.errors import FileError, ModelError, UnknownNameError, UsageError
from protos.tensors import Array
from tests.kit.mixed_rows import centred
from tests.kit.models import Builder, save
from tests.kit.triton_words import folders, read_config


@pytest.fixture(scope="module")
def cut(calibrated: Bundle) -> str:
    return calibrated.manifest.cuts[2].id


@pytest.fixture(scope="module")
def exported(
    calibrated: Bundle, cut: str, tmp_path_factory: pytest.TempPathFactory
) -> TritonExport:
    """The whole model and one tail, decoded in ensembles."""
    out = tmp_path_factory.mktemp("triton") / "models"
    return export_triton(calibrated, out, TritonOptions(cuts=("cloud", cut)))


def run(folder: Path, feeds: dict[str, Array]) -> dict[str, Any]:
    (graph,) = folder.glob("*/model.onnx")
    session = onnxruntime.InferenceSession(graph)
    names = [each.name for each in session.get_outputs()]
    return dict(zip(names, session.run(names, feeds), strict=True))


def plain(bundle: Bundle, cut: str, codec: str, rows: int = 1) -> tuple[Any, Any]:
    """Some frontier of a cut as plain tensors, and what the bundle's tail makes of it by our own codec."""
    found, by = bundle.cut(cut), get_codec(codec, bundle.ranges)
    drawn = [random_feeds(found.frontier, np.random.default_rng(seed)) for seed in range(rows)]
    values = {name: np.concatenate([each[name] for each in drawn]) for name in drawn[0]}
    _, parts = encode_plain(by, found.frontier, values)
    sent = plain_frontier(by, found.frontier)
    tail = bundle.open_tail(cut)
    answers = []
    for each in drawn:
        decoded = {}
        for spec in found.frontier:
            one = by if by.accepts(spec) else RAW
            data = one.encode(each[spec.name], spec.name)
            shape = each[spec.name].shape
            decoded[spec.name] = one.decode(data, spec.dtype, shape, spec.name)
        answers.append(tail.run(decoded))
    whole = {name: np.concatenate([each[name] for each in answers]) for name in answers[0]}
    return {spec.name: part for spec, part in zip(sent, parts, strict=True)}, whole


@pytest.mark.parametrize("codec", ["half", "int8", "q2", "q4"])
def test_decoder_and_tail_compute_what_the_bundle_computes_by_the_codec(
    calibrated: Bundle, exported: TritonExport, cut: str, codec: str
) -> None:
    name = f"{calibrated.name}.{cut}"
    config = read_config(exported.path / f"{name}.{codec}")
    first, second = config.ensemble_scheduling.step
    assert (first.model_name, second.model_name) == (f"{name}.{codec}.decoder", name)
    for step in (first, second):
        assert (exported.path / step.model_name / str(step.model_version)).is_dir()
    feeds, wanted = plain(calibrated, cut, codec)
    tensors = {first.input_map[key]: feeds[key] for key in first.input_map}
    decoded = run(exported.path / first.model_name, tensors)
    tensors |= feeds | {first.output_map[key]: decoded[key] for key in first.output_map}
    inputs = {key: tensors[second.input_map[key]] for key in second.input_map}
    found = run(exported.path / second.model_name, inputs)
    for key in wanted:
        np.testing.assert_array_equal(found[second.output_map[key]], wanted[key])


@pytest.mark.parametrize("codec", ["int8", "q4"])
def test_tail_decodes_by_itself_where_there_are_no_ensembles(
    calibrated: Bundle, cut: str, tmp_path: Path, codec: str
) -> None:
    options = TritonOptions(cuts=(cut,), codecs=(codec,), ensembles=False)
    export_triton(calibrated, tmp_path / "models", options)
    name = f"{calibrated.name}.{cut}"
    assert folders(tmp_path / "models") == [name, f"{name}.{codec}"]
    feeds, wanted = plain(calibrated, cut, codec, rows=3)
    found = run(tmp_path / "models" / f"{name}.{codec}", feeds)
    for key in wanted:
        np.testing.assert_allclose(found[key], wanted[key], rtol=1e-5, atol=1e-6)


def test_configurations_have_names_and_dims_as_triton_wants_them(
    calibrated: Bundle, exported: TritonExport, cut: str
) -> None:
    name = f"{calibrated.name}.{cut}"
    for model in exported.models:
        config = read_config(exported.path / model.name)
        assert config.name == model.name
        assert config.parameters["bundle_digest"].string_value == calibrated.digest
        assert config.max_batch_size == 8
        dims = [list(each.dims) for each in config.input]
        assert dims == [list(spec.shape[1:]) for spec in model.inputs]  # without the batch
    tail = read_config(exported.path / name)
    assert tail.backend == "onnxruntime"
    assert tail.HasField("dynamic_batching")
    decoder = read_config(exported.path / f"{name}.q4.decoder")
    assert not decoder.HasField("dynamic_batching")  # its requests wait in the tail alone
    ensemble = read_config(exported.path / f"{name}.q4")
    assert ensemble.parameters["calibration_digest"].string_value == calibrated.ranges.mark  # type: ignore[union-attr]
    assert "calibration_digest" not in tail.parameters


def test_batch_is_left_alone_where_rows_depend_on_one_another(tmp_path: Path) -> None:
    bundle = import_model(save(centred(), tmp_path / "m.onnx"), tmp_path / "m")
    made = export_triton(bundle, tmp_path / "models")
    whole = next(model for model in made.models if model.name == "m")
    assert whole.why_unbatched.startswith("rows of ")
    for model in made.models:
        config = read_config(tmp_path / "models" / model.name)
        batched = not model.why_unbatched
        assert (config.max_batch_size > 0) is batched
        assert config.HasField("dynamic_batching") is (batched and model.codec == "raw")
        if not batched:
            assert list(config.input[0].dims) == list(model.inputs[0].oip_shape)


def test_each_folder_has_the_weights_that_it_reads_and_no_link(
    bundles: Callable[[str], Bundle], tmp_path: Path
) -> None:
    bundle = bundles("inception")
    last = bundle.manifest.cuts[-1].id
    made = export_triton(bundle, tmp_path / "models", TritonOptions(("cloud", last), ("half",)))
    sizes = {}
    for model in made.models:
        moved = tmp_path / "elsewhere" / model.name
        shutil.copytree(made.path / model.name, moved, symlinks=True)
        assert not [path for path in moved.rglob("*") if path.is_symlink()]
        sizes[model.name] = sum(path.stat().st_size for path in moved.rglob("weights.bin"))
        if model.codec == "raw":
            run(moved, random_feeds(model.inputs, np.random.default_rng(0)))
    assert sizes[f"{bundle.name}.{last}"] < sizes[bundle.name]
    assert sizes[f"{bundle.name}.{last}.half"] == 0


def test_version_and_backend_are_as_asked_for(residual_bundle: Bundle, tmp_path: Path) -> None:
    options = TritonOptions(("cut-01",), ("half",), backend="python", model_version=7, threads=3)
    export_triton(residual_bundle, tmp_path / "models", options)
    for name in ("residual.cut-01", "residual.cut-01.half.decoder"):
        found = sorted(path.name for path in (tmp_path / "models" / name / "7").iterdir())
        assert {"model.onnx", "model.py"} <= set(found)
        config = read_config(tmp_path / "models" / name)
        assert (config.backend, config.platform) == ("python", "")
        assert config.parameters["intra_op_thread_count"].string_value == "3"


def test_folder_is_replaced_only_where_it_is_an_export_and_that_was_asked_for(
    residual_bundle: Bundle, tmp_path: Path
) -> None:
    out, one = tmp_path / "models", TritonOptions(("cut-01",), ("raw",))
    out.mkdir()
    export_triton(residual_bundle, out, one)  # into an empty folder
    with pytest.raises(FileError, match="holds an export already"):
        export_triton(residual_bundle, out, TritonOptions(("cut-02",), ("raw",)))
    assert folders(out) == ["residual.cut-01"]
    again = TritonOptions(("cut-02",), ("raw",), replace=True)
    export_triton(residual_bundle, out, again)
    assert folders(out) == ["residual.cut-02"]
    assert json.loads((out / "splitpoint.json").read_text())["bundle"] == "residual"
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("all of it")
    with pytest.raises(FileError, match="is left alone"):
        export_triton(residual_bundle, tmp_path / "mine", again)
    with pytest.raises(FileError, match="take the place of the bundle"):
        export_triton(residual_bundle, residual_bundle.path.parent, again)


def test_export_that_comes_to_the_same_place_meanwhile_stays(
    residual_bundle: Bundle, tmp_path: Path
) -> None:
    out = tmp_path / "models"

    def come(_step: str, done: int, total: int) -> None:
        if done == total:
            export_triton(residual_bundle, out, TritonOptions(("cut-02",), ("raw",)))

    with pytest.raises(FileError, match="holds an export already"):
        export_triton(residual_bundle, out, TritonOptions(("cut-01",), ("raw",)), come)
    assert folders(out) == ["residual.cut-02"]


def test_nothing_is_left_of_an_export_that_fails(
    residual_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(_step: str, done: int, _total: int) -> None:
        if done == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export_triton(residual_bundle, tmp_path / "models", None, stop)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "kind", "words"),
    [
        ({"codecs": ("jpeg",)}, UsageError, "jpeg-75 cannot be exported"),
        ({"codecs": ("q3",)}, UsageError, "q3 cannot be exported"),
        ({"codecs": ("q4",)}, UnknownNameError, "needs a calibrated bundle"),
        ({"cuts": ("edge",)}, UsageError, "nothing is left to serve"),
        ({"cuts": ("cut-99",)}, UnknownNameError, "has no cut 'cut-99'"),
    ],
)
def test_what_cannot_be_exported_is_refused_before_anything_is_written(
    residual_bundle: Bundle, tmp_path: Path, options: Any, kind: type, words: str
) -> None:
    with pytest.raises(kind, match=words):
        export_triton(residual_bundle, tmp_path / "models", TritonOptions(**options))
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_left_of_a_cut_that_cannot_be_served(tmp_path: Path) -> None:
    b = Builder(0)
    x, mask = b.input("x", ["n", 8]), b.input("mask", ["n", 8])
    whole = b.model(b.op("Add", b.op("Relu", b.linear(x, 8, 8)), mask), mask)
    bundle = import_model(save(whole, tmp_path / "m.onnx"), tmp_path / "m")
    made = export_triton(bundle, tmp_path / "models", TritonOptions(codecs=("raw",)))
    assert list(made.left_out) == ["cloud"]
    assert folders(made.path) == ["m.cut-01"]  # Triton ends where a folder has no model


def test_cuts_and_codecs_that_are_named_twice_are_exported_once(
    residual_bundle: Bundle, tmp_path: Path
) -> None:
    options = TritonOptions(("cut-01", "cut-01"), ("half", "half"))
    made = export_triton(residual_bundle, tmp_path / "models", options)
    assert [model.name for model in made.models] == ["residual.cut-01", "residual.cut-01.half"]


def test_old_opset_decodes_in_ensembles_alone(tmp_path: Path) -> None:
    b = Builder(0)
    old = b.model(b.op("Relu", b.linear(b.input("x", ["n", 8]), 8, 8)))
    old.opset_import[0].version = 12
    bundle = import_model(save(old, tmp_path / "old.onnx"), tmp_path / "old")
    with pytest.raises(ModelError, match="is of opset 12, and a decoder needs 13"):
        export_triton(bundle, tmp_path / "models", TritonOptions(ensembles=False))
    assert export_triton(bundle, tmp_path / "models").models
