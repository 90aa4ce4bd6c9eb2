"""Head and tail against the whole model."""

import numpy as np
import pytest

from partitioner.bundle.bundle import Bundle
from partitioner.bundle.verification import largest_difference, verify_bundle
from partitioner.profiles.samples import natural_feeds
from partitioner.reports.bundle import checks_json
from partitioner.runtime.sessions import Stage
from protos.errors import BundleError


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
