"""Files that are no model that this runtime could run."""

from pathlib import Path

import pytest

from tests.kit import models
from tests.kit.imports import refuse


def test_file_that_is_no_model_is_refused(tmp_path: Path) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("hello, world\n" * 100)
    refuse(text, tmp_path / "out", "is not an ONNX file")
    empty = tmp_path / "empty.onnx"
    empty.write_bytes(b"")
    refuse(empty, tmp_path / "out", "is not an ONNX file")
    refuse(tmp_path / "missing.onnx", tmp_path / "out", "there is no file")


@pytest.mark.parametrize("share", [0.001, 0.3, 0.999])
def test_model_that_is_cut_short_says_so(share: float, tmp_path: Path) -> None:
    content = models.residual().SerializeToString()
    path = tmp_path / "half.onnx"
    kept = max(3, int(share * len(content)))
    path.write_bytes(content[:kept])
    refuse(path, tmp_path / "out", "cut short: it begins as an ONNX file.*Copy it again")


def test_unknown_operator_is_named(tmp_path: Path) -> None:
    b = models.Builder()
    x = b.conv_bn_relu(b.input("x", ["n", 3, 16, 16]), 3, 8)
    path = models.save(b.model(b.op("Frobnicate", x)), tmp_path / "odd.onnx")
    refuse(path, tmp_path / "out", "Frobnicate.*does not know")


def test_model_newer_than_the_runtime_says_what_to_do(tmp_path: Path) -> None:
    model = models.residual()
    model.opset_import[0].version = 999
    path = models.save(model, tmp_path / "new.onnx")
    refuse(path, tmp_path / "out", "Export the model again, for an opset that this runtime knows")
