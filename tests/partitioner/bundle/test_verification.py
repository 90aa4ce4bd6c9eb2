"""Head and tail against the whole model."""

import numpy as np
import pytest

from partitioner.bundle.bundle import Bundle
from partitioner.bundle.verification import largest_difference, verify_bundle
from partitioner.profiles.samples import natural_feeds
from partitioner.runtime.sessions import Stage


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
    checks = verify_bundle(residual_bundle, feeds)
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
    wrong = [check.cut for check in verify_bundle(residual_bundle, feeds) if not check.ok]
    assert "cut-03" in wrong
    assert "cut-02" not in wrong
