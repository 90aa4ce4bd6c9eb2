"""Head and tail against the whole model."""

from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto

from partitioner.bundle.bundle import Bundle
from partitioner.bundle.manifest import Segment
from partitioner.bundle.verification import largest_difference, verify_bundle
from partitioner.importer.importer import import_model
from partitioner.profiles.samples import natural_feeds
from partitioner.reports.bundle import checks_json
from partitioner.runtime.sessions import Stage
from protos.errors import BundleError
from tests.kit import models


@pytest.mark.parametrize(
    ("one", "two", "gap"),
    [
        ([1.0, 2.0], [1.0, 2.5], 0.5),
        ([np.nan, np.inf], [np.nan, np.inf], 0.0),
        ([np.nan, 1.0], [0.0, 1.0], np.inf),
        ([np.inf, 1.0], [-np.inf, 1.0], np.inf),
        ([1.0], [1.0, 2.0], np.inf),
    ],
)
def test_largest_difference(one: list[float], two: list[float], gap: float) -> None:
    assert largest_difference(np.array(one), np.array(two)) == gap


def test_whole_numbers_differ_however_large_they_are() -> None:
    assert largest_difference(np.array([2**53]), np.array([2**53 + 1])) == 1
    assert largest_difference(np.array([True, False]), np.array([True, True])) == 1


def test_number_of_a_class_or_a_token_has_to_be_the_very_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    b = models.Builder()
    x = b.conv_bn_relu(b.input("x", [1, 3, 8, 8]), 3, 4)
    scores = b.classify(b.conv_bn_relu(x, 4, 4), 4)
    strongest = b.op("ArgMax", scores, axis=1)
    token = b.op("Add", strongest, b.constant(np.array([30_000])))
    model = b.model(token)
    model.graph.output[0].type.tensor_type.elem_type = TensorProto.INT64
    path = models.save(model, tmp_path / "tokens.onnx")
    bundle = import_model(path, tmp_path / "net")
    feeds = natural_feeds(bundle.inputs, np.random.default_rng(0))
    assert all(check.ok for check in verify_bundle(bundle, [feeds]))
    opened = Bundle.open_tail

    class Shifted:
        def __init__(self, stage: Stage) -> None:
            self.stage = stage

        def run(self, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
            return {key: array + 2 for key, array in self.stage.run(feeds).items()}

    def open_tail(bundle: Bundle, cut: str, options: object = None) -> object:
        stage = opened(bundle, cut, None)
        return Shifted(stage) if cut == "cut-01" else stage

    monkeypatch.setattr(Bundle, "open_tail", open_tail)
    wrong = [check.cut for check in verify_bundle(bundle, [feeds]) if not check.ok]
    assert wrong == ["cut-01"]
    loose = verify_bundle(bundle, [feeds], tolerance=1e-3)
    assert all(check.ok for check in loose)


def test_wrong_tail_is_found(residual_bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tail whose answer is a hundredth off, in a bundle that is otherwise right."""
    opened = Bundle.open_tail

    class Shifted:
        def __init__(self, stage: object) -> None:
            self.stage = stage

        def run(self, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
            return {key: array + 0.01 for key, array in self.stage.run(feeds).items()}  # type: ignore[attr-defined]

    def open_tail(bundle: Bundle, cut: str, options: object = None) -> object:
        stage = opened(bundle, cut, None)
        return Shifted(stage) if cut == "cut-03" else stage

    monkeypatch.setattr(Bundle, "open_tail", open_tail)
    feeds = natural_feeds(residual_bundle.inputs, np.random.default_rng(0))
    checks = verify_bundle(residual_bundle, [feeds])
    assert [check.cut for check in checks if not check.ok] == ["cut-03"]


def test_tail_that_answers_nothing_is_found_however_small_the_outputs(
    residual_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = Bundle.open_tail

    class Tiny:
        def __init__(self, stage: Stage, factor: float) -> None:
            self.stage, self.factor = stage, factor

        def run(self, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
            return {
                key: array * np.float32(self.factor) for key, array in self.stage.run(feeds).items()
            }

    def open_tail(bundle: Bundle, cut: str, options: object = None) -> object:
        return Tiny(opened(bundle, cut, None), 0 if cut == "cut-03" else 1e-5)

    monkeypatch.setattr(Bundle, "open_tail", open_tail)
    monkeypatch.setattr(Bundle, "open_chain", lambda *_: None)
    feeds = natural_feeds(residual_bundle.inputs, np.random.default_rng(0))
    wrong = [check.cut for check in verify_bundle(residual_bundle, [feeds]) if not check.ok]
    assert "cut-03" in wrong
    assert "cut-02" not in wrong


def test_cut_that_does_not_run_is_told_and_the_others_are_checked(
    residual_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = Bundle.open_tail

    def open_tail(bundle: Bundle, cut: str, options: object = None) -> object:
        if cut == "cut-03":
            raise BundleError("its tail cannot be loaded.")
        return opened(bundle, cut, None)

    monkeypatch.setattr(Bundle, "open_tail", open_tail)
    feeds = natural_feeds(residual_bundle.inputs, np.random.default_rng(0))
    checks = verify_bundle(residual_bundle, [feeds])
    assert [check.cut for check in checks] == [*residual_bundle.cuts]
    assert [check.cut for check in checks if not check.ok] == ["cut-03"]
    assert {check.failure for check in checks} == {"", "its tail cannot be loaded."}
    document = checks_json(checks)
    assert not document["ok"]
    assert document["cuts"][3]["failure"] == "its tail cannot be loaded."
    assert document["cuts"][3]["max_abs_diff"] is None


def test_worst_of_several_inputs_is_told(
    residual_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A tail that is wrong for the second input alone."""
    opened = Bundle.open_tail

    class Wrong:
        def __init__(self, stage: Stage) -> None:
            self.stage, self.runs = stage, 0

        def run(self, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
            self.runs += 1
            values = self.stage.run(feeds)
            return {k: np.asarray(v) + np.float32(self.runs == 2) for k, v in values.items()}

    def open_tail(bundle: Bundle, cut: str, options: object = None) -> object:
        stage = opened(bundle, cut, None)
        return Wrong(stage) if cut == "cut-03" else stage

    monkeypatch.setattr(Bundle, "open_tail", open_tail)
    rng = np.random.default_rng(0)
    inputs = [natural_feeds(residual_bundle.inputs, rng) for _ in range(3)]
    wrong = [check for check in verify_bundle(residual_bundle, inputs) if not check.ok]
    assert [check.cut for check in wrong] == ["cut-03"]
    assert wrong[0].max_abs_diff == pytest.approx(1.0, abs=1e-3)


def test_segment_that_computes_something_else_is_found(
    residual_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = Bundle.open_segment

    class Shifted:
        def __init__(self, stage: Stage) -> None:
            self.stage = stage

        def run(self, feeds: dict[str, np.ndarray], _: object) -> dict[str, np.ndarray]:
            return {key: array + 1 for key, array in self.stage.run(feeds).items()}

    def open_segment(bundle: Bundle, segment: Segment, options: object = None) -> object:
        stage = opened(bundle, segment, None)
        return Shifted(stage) if segment.cut == "cut-02" else stage

    monkeypatch.setattr(Bundle, "open_segment", open_segment)
    feeds = natural_feeds(residual_bundle.inputs, np.random.default_rng(0))
    wrong = {check.cut for check in verify_bundle(residual_bundle, [feeds]) if not check.ok}
    through = {
        cut
        for cut in residual_bundle.cuts
        if "cut-02" in {one.cut for one in residual_bundle.manifest.segments_from(cut)}
    }
    assert wrong == through != set()
