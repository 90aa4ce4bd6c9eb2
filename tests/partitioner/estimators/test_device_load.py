"""Load that own frames cause, told from load that others cause, on heads of 10 ms by a clock of the test."""

import pytest

from partitioner.estimators.device_load import DeviceLoad

HEAD_S = 0.01


def after(*spells: tuple[bool, float, int], every_s: float = 0.1) -> tuple[DeviceLoad, float]:
    """Follow spells of heads (beside others or not, their load, how many); return the moment of the last."""
    load, now_s = DeviceLoad(), 0.0
    for beside, factor, heads in spells:
        for _ in range(heads):
            now_s += every_s
            load.add(factor * HEAD_S, HEAD_S, now_s, beside=beside)
    return load, now_s


def others(load: DeviceLoad, now_s: float) -> float:
    return load.factors(now_s)[0]


def own(load: DeviceLoad, now_s: float) -> float:
    return load.factors(now_s)[1]


def test_nothing_is_loaded_at_first() -> None:
    load = DeviceLoad()
    assert load.factors(0.0) == (1.0, 1.0)


def test_load_that_heads_have_alone_is_that_of_others() -> None:
    load, now_s = after((False, 3.0, 20))
    assert others(load, now_s) == pytest.approx(3.0, rel=0.05)
    assert own(load, now_s) == pytest.approx(1.0, rel=0.05)


def test_load_that_comes_with_own_frames_is_not_believed_of_heads_alone() -> None:
    load, now_s = after((False, 1.0, 20), (True, 3.0, 20))
    assert others(load, now_s) == pytest.approx(1.0, abs=0.1)
    assert own(load, now_s) == pytest.approx(3.0, rel=0.1)


def test_load_of_others_is_still_known_after_long_beside_own_frames() -> None:
    """Own frames cost threefold all the time; after two minutes others double the load."""
    load, now_s = after((False, 1.0, 20), (True, 3.0, 1200), (True, 6.0, 50))
    assert others(load, now_s) * own(load, now_s) == pytest.approx(6.0, rel=0.05)
    assert 1.5 < others(load, now_s) < 3.0


def test_load_seen_only_beside_own_frames_is_mostly_put_down_to_them() -> None:
    load, now_s = after((True, 4.0, 40))
    assert others(load, now_s) == pytest.approx(4.0**0.25, rel=0.05)
    assert others(load, now_s) * own(load, now_s) == pytest.approx(4.0, rel=0.05)


def test_own_frames_make_nothing_faster() -> None:
    load, now_s = after((False, 4.0, 20), (True, 1.5, 20))  # others have gone meanwhile
    assert others(load, now_s) == pytest.approx(1.5, rel=0.05)
    assert own(load, now_s) == pytest.approx(1.0, rel=0.05)


def test_what_own_frames_cause_is_forgotten_in_minutes() -> None:
    load, now_s = after((False, 1.0, 20), (True, 3.0, 20), (False, 1.0, 20))
    assert own(load, now_s) == pytest.approx(3.0, rel=0.15)
    assert own(load, now_s + 1800) == pytest.approx(1.0, abs=0.05)


def test_heads_too_short_to_tell_change_nothing() -> None:
    load, now_s = after((False, 2.0, 20))
    for _ in range(20):
        now_s += 0.1
        load.add(
            0.0001, 0.0001, now_s, beside=True
        )  # of hardly any time, as that of the cut `cloud`
    assert others(load, now_s) == pytest.approx(2.0, rel=0.1)
    assert own(load, now_s) == pytest.approx(1.0, rel=0.1)
