"""Weights: on disk once, wherever the model had them."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from partitioner.bundle.bundle import Bundle
from partitioner.importer.importer import import_model
from partitioner.runtime.sessions import random_feeds
from protos.errors import FileError
from tests.kit import models
from tests.kit.imports import refuse, run_onnx, run_split


def test_weights_are_on_the_disk_once(
    residual_bundle: Bundle, onnx_files: Callable[[str], Path]
) -> None:
    original = onnx_files("residual").stat().st_size
    assert len(residual_bundle.cuts) > 8
    # Fourteen cuts have 27 graphs; with their own weights they would take 14 times the original.
    assert residual_bundle.size_bytes < 1.5 * original


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


def test_weights_that_the_disk_has_no_room_for_are_not_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A few bytes can say that many tensors are each all of a large file."""
    path = tmp_path / "big.onnx"
    onnx.save(
        models.residual(), str(path), save_as_external_data=True, location="w", size_threshold=0
    )
    needed = (tmp_path / "w").stat().st_size
    for free, fits in ((needed - 1, False), (needed, True)):
        monkeypatch.setattr("shutil.disk_usage", lambda _, free=free: SimpleNamespace(free=free))
        if fits:
            import_model(path, tmp_path / "out")
        else:
            with pytest.raises(FileError, match="the weights take .* Make room, or give another"):
                import_model(path, tmp_path / "out")
            assert not (tmp_path / "out").exists()


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
