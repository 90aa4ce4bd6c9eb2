"""What an exit came to on inputs that it was not trained on."""

from dataclasses import replace

import numpy as np
import pytest

from partitioner.bundle.exit_outcomes import Outcomes, calibration_error, fewest_for
from partitioner.bundle.exits import BundleExits


def outcomes(confidence: list[float], agrees: list[int], **labelled: list[int]) -> Outcomes:
    right, whole = labelled.get("right"), labelled.get("whole")
    return Outcomes(
        np.array(confidence, np.float32),
        np.array(agrees, bool),
        None if right is None else np.array(right, bool),
        None if whole is None else np.array(whole, bool),
    )


def test_standing_by_hand() -> None:
    known = outcomes([0.9, 0.8, 0.7, 0.4], [1, 1, 0, 1], right=[1, 0, 0, 1], whole=[1, 0, 1, 0])
    standing = known.at(0.7)
    assert standing.exit_rate == 0.75
    assert standing.agreement == pytest.approx(2 / 3)
    # The first three as the exit says: 1 + 0 + 0; the last as the whole model says: 0.
    assert standing.accuracy == 0.25
    assert standing.whole_accuracy == 0.5
    # Three bins of one each: |1 - .9| + |1 - .8| + |0 - .7| over 3.
    assert standing.ece == pytest.approx((0.1 + 0.2 + 0.7) / 3, abs=1e-6)
    assert known.at(0.95).agreement is None


def test_calibration_error_by_hand() -> None:
    # 0.61 and 0.65 share the bin (0.6, 0.667], in which one of two agrees: |0.5 - 0.63| * 2 of 3 inputs,
    # and 0.1 is alone and wrong: 0.1 * 1 of 3.
    error = calibration_error(np.array([0.61, 0.65, 0.1], np.float32), np.array([1, 0, 0], bool))
    assert error == pytest.approx((0.26 + 0.1) / 3, abs=1e-6)


@pytest.mark.parametrize(
    ("agreement", "threshold"),
    [(1.0, 0.9), (0.97, None), (0.95, 0.9), (0.8, 0.6), (0.7, 0.5), (0.5, 0.5)],
)
def test_threshold_is_the_lowest_that_agrees_as_often_as_wanted_but_for_chance(
    agreement: float, threshold: float | None
) -> None:
    # From the top 100/100 at 0.9, 180/200 at 0.6 (all of one confidence), 230/300 at 0.5. The lower ends
    # of Wilson's 95 % intervals: 100 / (100 + 3.8415) = 0.9630; 0.8506; 0.7156.
    known = outcomes(
        [0.9] * 100 + [0.6] * 100 + [0.5] * 100, [1] * 180 + [0] * 20 + [1] * 50 + [0] * 50
    )
    assert known.threshold_for(agreement) == (
        None if threshold is None else pytest.approx(threshold)
    )
    assert known.at(0.6).agreement_95 == pytest.approx(0.8506, abs=1e-4)
    assert known.at(0.5).agreement_95 == pytest.approx(0.7156, abs=1e-4)


def test_few_inputs_promise_little() -> None:
    # n / (n + 3.8415) >= 0.99 from n = 381 on.
    assert fewest_for(0.99) == 381
    assert outcomes([0.9] * 380, [1] * 380).threshold_for(0.99) is None
    assert outcomes([0.9] * 381, [1] * 381).threshold_for(0.99) == pytest.approx(0.9)
    assert fewest_for(1.0) == 1
    assert outcomes([0.9, 0.5], [0, 1]).threshold_for(0.9) is None


def test_chosen_threshold_keeps_its_promise_on_inputs_drawn_like_the_held_out_ones() -> None:
    """An exit whose confidence is its chance to agree: those above t agree with a chance of (1 + t) / 2."""
    rng, kept = np.random.default_rng(6), 0
    for _ in range(200):
        confidence = rng.random(3000, np.float32)
        found = Outcomes(confidence, rng.random(3000) < confidence).threshold_for(0.9)
        assert found is not None
        kept += (1 + found) / 2 >= 0.9
    # One end of a 95 % interval would keep 97.5 %; the lowest of many thresholds is chosen, so a bit less.
    assert kept >= 180


def test_chance_to_exit_is_the_held_out_share_at_a_threshold(trained: BundleExits) -> None:
    cut, found = next(iter(trained.by_cut.items()))
    confidence = found.outcomes.confidence
    assert trained.costs(0.7)[cut].rate == np.mean(confidence >= 0.7)
    assert trained.costs()[cut].rate == np.mean(confidence >= found.meta.threshold)
    never = replace(found, meta=found.meta.model_copy(update={"threshold": None}))
    assert never.cost().rate == 0
