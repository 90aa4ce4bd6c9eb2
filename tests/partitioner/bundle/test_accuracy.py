"""How much a codec loses, how sure that is, and what a plan may offer."""

from typing import Any

import pytest

from partitioner.bundle.accuracy import Accuracy, is_allowed, wilson


@pytest.mark.parametrize(
    ("hits", "trials", "low", "high"),
    [
        # z = 1.96: (0.8 + 0.19207 ± 0.31363) / 1.38415.
        (8, 10, 0.4902, 0.9433),
        # (1 + 0.0019207 ± 0.0019207) / 1.0038415.
        (1000, 1000, 0.99617, 1.0),
        (0, 5, 0.0, 0.43449),
    ],
)
def test_wilson_by_hand(hits: int, trials: int, low: float, high: float) -> None:
    assert wilson(hits, trials) == pytest.approx((low, high), abs=1e-4)


def measured(**more: Any) -> Accuracy:
    return Accuracy(cut="c", codec="q2", samples=200, payload_bytes=1, **more)


def test_points_are_of_accuracy_else_of_agreement_else_of_the_output() -> None:
    labelled = measured(agreeing=190, labelled=200, right=180, whole_right=183)
    assert (labelled.measure, labelled.drop_points) == ("accuracy", pytest.approx(1.5))
    low, high = wilson(180, 200)
    assert labelled.interval_points == pytest.approx((91.5 - 100 * high, 91.5 - 100 * low))
    unlabelled = measured(agreeing=190, error=0.2)
    assert (unlabelled.measure, unlabelled.drop_points) == ("agreement", pytest.approx(5.0))
    other = measured(error=0.02)
    assert (other.measure, other.drop_points) == ("error", pytest.approx(2.0))
    assert other.interval_points is None


@pytest.mark.parametrize(
    ("codec", "drop", "bound", "asked", "allowed"),
    [
        ("raw", None, 0.0, False, True),
        ("q2", 0.5, 0.5, False, True),
        ("q2", 0.6, 0.5, False, False),
        ("q2", 0.6, 0.5, True, False),
        ("q2", 40.0, None, True, True),
        ("q2", 0.9, None, False, True),
        ("q2", 1.1, None, False, False),
        ("half", None, None, False, False),
        ("half", None, None, True, True),
        ("jpeg-75", None, None, False, True),
        ("jpeg-75", None, 0.5, False, False),
        ("jpeg-75", 3.0, None, False, False),
    ],
)
def test_what_a_plan_may_offer(
    codec: str, drop: float | None, bound: float | None, asked: bool, allowed: bool
) -> None:
    found = None if drop is None else measured(error=drop / 100)
    assert is_allowed("cut-01", codec, found, bound, asked=asked) == allowed
