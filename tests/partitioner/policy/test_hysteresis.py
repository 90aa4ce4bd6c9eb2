"""Hysteresis on scores by hand: seconds, of which 5 % and 1 ms do not count."""

import pytest

from partitioner.policy.hysteresis import Hysteresis


def moves(*best: float, hysteresis: Hysteresis | None = None, every_s: float = 0.1) -> list[bool]:
    """Weigh staying at 100 ms against the best scores of frame after frame."""
    hysteresis, owed, found = hysteresis or Hysteresis(), 0.0, []
    for place, score in enumerate(best, 1):
        owed, worth = hysteresis.weigh(0.1, score, second=1.0, owed=owed, settled_s=every_s * place)
        found.append(worth)
    return found


def test_large_gain_moves_at_once() -> None:
    assert moves(0.084) == [True]  # 16 ms, of which 5 do not count; 10 are a tenth of a frame


def test_small_gain_has_to_last() -> None:
    assert moves(0.092, 0.092, 0.092, 0.092) == [False, False, False, True]  # 3 ms a frame


def test_gain_within_the_threshold_never_moves() -> None:
    assert not any(moves(*[0.0951] * 1000))


def test_gain_that_comes_and_goes_moves_nothing() -> None:
    assert not any(moves(*[0.092, 0.1] * 500))


def test_nothing_moves_again_while_it_dwells() -> None:
    dwelling = Hysteresis(dwell_s=0.25)
    assert moves(0.05, 0.05, 0.05, hysteresis=dwelling) == [False, False, True]


@pytest.mark.parametrize(("staying", "worth"), [(0.0040, False), (0.0055, True)])
def test_gain_of_less_than_a_millisecond_does_not_count(staying: float, worth: bool) -> None:
    # 0.5 and 2 ms less than staying: beyond 1 ms nothing, and 1 ms, which is more than a tenth.
    best = staying - (0.002 if worth else 0.0005)
    assert Hysteresis().weigh(staying, best, second=1.0, owed=0.0, settled_s=1.0)[1] is worth


def frames_until_a_move(**lessons: float) -> int:
    """Weigh staying at 100 ms against 70 ms: 25 ms a frame beyond the threshold."""
    owed = 0.0
    for frame in range(1, 50):
        owed, worth = Hysteresis().weigh(0.1, 0.07, second=1.0, owed=owed, settled_s=1.0, **lessons)
        if worth:
            return frame
    return 0


def test_moves_that_brought_nothing_make_the_next_one_gain_more_and_for_longer() -> None:
    # Fourfold: 10 ms a frame beyond 20, until 40 ms; eightfold: 40 ms would be asked for.
    assert [frames_until_a_move(reluctance=each) for each in (1.0, 4.0, 8.0)] == [1, 5, 0]


def test_chance_has_to_be_outlasted_and_twice_while_an_option_settles() -> None:
    # 10 ms, and 4 times the 25 - 5 ms by chance, or 8 times: 90 and 170 ms.
    assert frames_until_a_move(chance=0.025) == 4
    assert frames_until_a_move(chance=0.025, settles=True) == 7
