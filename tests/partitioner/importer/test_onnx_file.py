"""Files that are no model that this runtime could run."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import onnx
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


def external_model(folder: Path, location: str, offset: str = "0", length: str = "16") -> Path:
    """A model of a few bytes whose weights [4] lie somewhere else."""
    weights = onnx.TensorProto(name="w", data_type=onnx.TensorProto.FLOAT, dims=[4])
    weights.data_location = onnx.TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", offset), ("length", length)):
        weights.external_data.add(key=key, value=value)
    return _adding(folder, [weights])


def _adding(folder: Path, weights: list[onnx.TensorProto], **more: Any) -> Path:
    x, y = (
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [None, 4]) for name in "xy"
    )
    add = onnx.helper.make_node("Add", ["x", "w"], ["y"])
    graph = onnx.helper.make_graph([add], "g", [x], [y], weights, **more)
    opsets = [onnx.helper.make_opsetid("", 17)]
    folder.mkdir(exist_ok=True)
    (folder / "m.onnx").write_bytes(
        onnx.helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString()
    )
    return folder / "m.onnx"


@pytest.mark.parametrize(
    "location", ["../secret", "/etc/passwd", "a/../../secret", "..\\secret", "", "a\0b"]
)
def test_weights_outside_of_the_folder_are_not_read(location: str, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(bytes(16))
    path = external_model(tmp_path / "model", location)
    refuse(path, tmp_path / "out", "which does not lie beside it. Copy that file .*ask first why")


def test_links_out_of_the_folder_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(bytes(16))
    path = external_model(tmp_path / "model", "w.bin")
    (tmp_path / "model" / "second").symlink_to(tmp_path / "secret")
    (tmp_path / "model" / "w.bin").symlink_to("second")
    refuse(path, tmp_path / "out", "which is a link out of its folder")
    (tmp_path / "model" / "w.bin").unlink()
    (tmp_path / "model" / "w.bin").mkdir()
    refuse(path, tmp_path / "out", "which does not lie beside it")
    (tmp_path / "model" / "w.bin").rmdir()
    os.mkfifo(tmp_path / "model" / "w.bin")
    refuse(path, tmp_path / "out", "which does not lie beside it")


@pytest.mark.parametrize(
    ("offset", "length"), [("x", "16"), ("-8", "16"), ("0", "-16"), ("0", "1e3")]
)
def test_weights_without_a_place_in_numbers_are_refused(
    offset: str, length: str, tmp_path: Path
) -> None:
    path = external_model(tmp_path / "model", "w.bin", offset, length)
    (tmp_path / "model" / "w.bin").write_bytes(bytes(64))
    refuse(path, tmp_path / "out", "says of 'w' where it lies, but not in numbers")


@pytest.mark.parametrize(
    ("offset", "length"), [("0", str(1 << 62)), (str(1 << 62), "16"), ("56", "16")]
)
def test_weights_beyond_their_file_are_refused(offset: str, length: str, tmp_path: Path) -> None:
    path = external_model(tmp_path / "model", "w.bin", offset, length)
    (tmp_path / "model" / "w.bin").write_bytes(bytes(64))
    refuse(path, tmp_path / "out", "is cut short: it has 64 bytes")


def test_sparse_weights_elsewhere_are_refused_before_they_are_looked_for(tmp_path: Path) -> None:
    """The package onnx would look for them where the command was started."""
    values = onnx.TensorProto(name="w", data_type=onnx.TensorProto.FLOAT, dims=[4])
    values.data_location = onnx.TensorProto.EXTERNAL
    values.external_data.add(key="location", value="w.bin")
    indices = onnx.numpy_helper.from_array(np.arange(4))
    sparse = onnx.SparseTensorProto(values=values, indices=indices, dims=[4])
    path = _adding(tmp_path / "model", [], sparse_initializer=[sparse])
    (tmp_path / "model" / "w.bin").write_bytes(bytes(16))
    refuse(path, tmp_path / "out", "keeps 'w', which is sparse, in another file")


def test_sparse_weights_that_unfold_without_end_are_refused(tmp_path: Path) -> None:
    values = onnx.numpy_helper.from_array(np.ones(1, np.float32), "w")
    indices = onnx.numpy_helper.from_array(np.zeros(1, np.int64))
    sparse = onnx.SparseTensorProto(values=values, indices=indices, dims=[1 << 36, 4])
    path = _adding(tmp_path / "model", [], sparse_initializer=[sparse])
    refuse(path, tmp_path / "out", "ONNX Runtime cannot load")


def test_weights_that_claim_more_than_they_hold_are_refused(tmp_path: Path) -> None:
    for dims in ([1 << 36, 4], [1 << 62, 1 << 62], [-4]):
        weights = onnx.TensorProto(
            name="w", data_type=onnx.TensorProto.FLOAT, dims=dims, raw_data=bytes(16)
        )
        path = _adding(tmp_path / "model", [weights])
        refuse(path, tmp_path / "out", "ONNX Runtime cannot load")
