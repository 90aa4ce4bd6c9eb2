"""Every head and tail is opened at import: opened up where it has to be, left out where nothing helps."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from partitioner.bundle.bundle import Bundle
from partitioner.bundle.verification import verify_bundle
from partitioner.importer import pieces
from partitioner.importer.importer import ImportOptions, import_model
from partitioner.runtime.sessions import RuntimeOptions, open_session, random_feeds
from tests.kit import models
from tests.kit.imports import refuse, run_onnx, run_split


def _two_rates() -> onnx.ModelProto:
    """Like detectors of speech: a rate chooses between branches, and the other wants another width."""
    b = models.Builder(20)
    x, rate = b.input("x", ["n", "width"]), b.input("rate", [], TensorProto.INT64)
    h = b.op("Relu", b.op("Mul", x, b.constant(np.float32(0.5))))
    branches = []
    for name, width in (("then", 16), ("else", 8)):
        weight = b.weight(width, 16)
        out = helper.make_tensor_value_info(f"{name}_y", TensorProto.FLOAT, None)
        node = helper.make_node("MatMul", [h, weight], [f"{name}_y"])
        branches.append(helper.make_graph([node], name, [], [out]))
    asked = b.op("Equal", rate, b.constant(16000))
    y = b.op("If", asked, then_branch=branches[0], else_branch=branches[1])
    return b.model(b.linear(b.op("Relu", b.linear(y, 16, 16)), 16, 4))


def test_branch_that_is_never_taken_may_want_another_size(tmp_path: Path) -> None:
    path = models.save(_two_rates(), tmp_path / "rates.onnx")
    options = ImportOptions(input_shapes={"x": (1, 16)})
    bundle = import_model(path, tmp_path / "rates", options)
    feeds = random_feeds(bundle.inputs, np.random.default_rng(0))
    assert feeds["rate"] == 16000
    assert bundle.manifest.cuts
    wanted = run_onnx(path, feeds)
    for cut in bundle.cuts:
        found = run_split(bundle, cut, feeds)
        for name, array in wanted.items():
            np.testing.assert_allclose(found[name], array, atol=1e-5)  # type: ignore[arg-type]


class _Refusing:
    """A runtime that refuses some graphs: where `refuses` says so of its name and of being optimised."""

    def __init__(self, refuses: Callable[[str, bool], bool]) -> None:
        self.refuses = refuses

    def __call__(self, path: Path, options: RuntimeOptions, *, optimize: bool = True) -> Any:
        if self.refuses(path.name, optimize):
            raise RuntimeError("[ONNXRuntimeError] : 1 : FAIL : This is an invalid model.")
        return open_session(path, options, optimize=optimize)


def test_graph_that_opens_only_as_it_is_stays_so_on_both_sides(
    tmp_path: Path, onnx_files: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    odd = "cut-02.tail.onnx"
    runtime = _Refusing(lambda name, optimize: name == odd and optimize)
    monkeypatch.setattr(pieces, "open_session", runtime)
    said: list[str] = []
    made = import_model(onnx_files("residual"), tmp_path / "net", on_remark=said.append)
    assert [odd in remark for remark in said] == [True]
    bundle = Bundle.load(tmp_path / "net")
    assert bundle.digest == made.digest
    assert bundle.manifest.unoptimized == (f"graphs/{odd}",)
    feeds = random_feeds(bundle.inputs, np.random.default_rng(0))
    assert all(check.ok for check in verify_bundle(bundle, [feeds]))


def test_cut_that_does_not_open_is_left_out_and_said(
    tmp_path: Path, onnx_files: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = import_model(onnx_files("residual"), tmp_path / "whole")
    asked: list[str] = []

    def refuses(name: str, _: bool) -> bool:
        asked.append(name)
        return name == "cut-02.tail.onnx" and asked.count(name) <= 3  # each way, of the first

    monkeypatch.setattr(pieces, "open_session", _Refusing(refuses))
    said: list[str] = []
    bundle = import_model(onnx_files("residual"), tmp_path / "net", on_remark=said.append)
    places = [cut.after for cut in whole.manifest.cuts]
    assert [cut.after for cut in bundle.manifest.cuts] == [*places[:1], *places[2:]]
    (remark,) = said
    assert remark.startswith("1 cut left out")
    assert "invalid model" in remark
    feeds = random_feeds(bundle.inputs, np.random.default_rng(0))
    assert all(check.ok for check in verify_bundle(bundle, [feeds]))


def test_model_that_does_not_open_as_a_whole_is_refused(
    tmp_path: Path, onnx_files: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pieces, "open_session", _Refusing(lambda name, _: name == "model.onnx"))
    refuse(onnx_files("residual"), tmp_path / "net", "does not work as a whole.*invalid model")


def test_piece_is_opened_once_and_one_at_a_time(
    tmp_path: Path, onnx_files: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []

    def note(name: str, _: bool) -> bool:
        opened.append(name)
        return False

    monkeypatch.setattr(pieces, "open_session", _Refusing(note))
    bundle = import_model(onnx_files("residual"), tmp_path / "net")
    sides = [f"{cut.id}.{side}.onnx" for cut in bundle.manifest.cuts for side in ("head", "tail")]
    segments = [Path(segment.graph).name for segment in bundle.manifest.segments]
    assert opened == ["model.onnx", *sides, *segments]
