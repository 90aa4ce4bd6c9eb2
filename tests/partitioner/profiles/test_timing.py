"""How calls are timed: in blocks, in turns, and in their time."""

from collections.abc import Callable, Sequence
from types import SimpleNamespace

import numpy as np
import pytest

from partitioner.profiles import timing
from partitioner.profiles.timing import (
    Repeat,
    Repeated,
    sample_in_turns,
    time_call,
    undisturbed,
)


def test_short_calls_are_timed_in_blocks_and_at_least_three_times() -> None:
    calls: list[int] = []
    assert time_call(lambda: calls.append(1)).repeats == 3
    assert (len(calls) - 2) % 3 == 0
    assert len(calls) > 1000


class Played:
    """A machine on which preparing takes 20 ms and each call 4 ms, and nothing else takes any time."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_s = 0.0
        self.prepared = ""
        monkeypatch.setattr(timing, "time", SimpleNamespace(perf_counter=lambda: self.now_s))

    def sampled(self, name: str) -> Repeated:
        """Return a call that has had its first turn."""

        def call() -> None:
            self.now_s += 0.004

        def prepare() -> Callable[[], object]:
            self.prepared += name
            self.now_s += 0.02
            return call

        repeated = Repeated(prepare)
        repeated.sample(0.0)
        return repeated


def test_calls_take_turns_until_the_time_is_up(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Played(monkeypatch)
    calls = [machine.sampled("a"), machine.sampled("b")]
    sample_in_turns(calls, machine.now_s + 0.9)
    assert machine.prepared == "ab" + 3 * "ab"
    before = len(calls[1].seconds)
    sample_in_turns(calls, machine.now_s + calls[0].slot_s)  # too short for both
    assert len(calls[1].seconds) == before


def test_calls_that_are_held_take_short_turns_and_many(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Played(monkeypatch)
    calls = [machine.sampled("a"), machine.sampled("b")]
    end = machine.now_s + 0.9
    sample_in_turns(calls, end, hold=True)
    assert machine.prepared == "ab" + "ab"
    # A turn is a warm-up and a call of 4 ms, which fills a block of 5 ms, and a pass over both takes 16 ms;
    # the first one prepares for 40 ms besides. As long as the last pass fits, there is another: after n
    # passes 40 + 16 n ms are gone, and the last one begins before 900 - 16: n = 53.
    assert [len(call.seconds) for call in calls] == [3 + 53] * 2
    assert machine.now_s <= end
    sample_in_turns(calls, end + 0.2)
    assert machine.prepared.startswith("ab" * 3)  # nothing is held any more


@pytest.mark.parametrize("hold", [True, False])
def test_calls_that_were_repeated_once_are_repeated_thrice_though_the_time_is_up(
    hold: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = Played(monkeypatch)
    calls = [machine.sampled("a"), machine.sampled("b")]
    for call in calls:
        call.repeats.clear()
        call.begin(call.prepare(), 0.02, hold=True)
    if not hold:
        for call in calls:
            call.release()
    assert [len(call.repeats) for call in calls] == [1, 1]
    sample_in_turns(calls, machine.now_s, hold=hold)
    assert all(len(call.repeats) >= 3 for call in calls)


@pytest.mark.parametrize(("overtime_s", "repeats"), [(0.0, 3), (0.05, 4), (1.0, 5)])
def test_calls_have_five_turns_if_all_of_them_take_no_more_than_the_overtime(
    overtime_s: float, repeats: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = Played(monkeypatch)
    calls = [machine.sampled("a"), machine.sampled("b")]
    for call in calls:
        call.repeats.clear()
        call.begin(call.prepare(), 0.02, hold=True)
    # A pass over both takes 16 ms; two of them come anyway, and are over 32 ms after the end.
    end = machine.now_s
    sample_in_turns(calls, end, hold=True, overtime_s=overtime_s)
    assert [len(call.repeats) for call in calls] == [repeats] * 2
    assert machine.now_s <= max(end + overtime_s, end + 0.032 + 1e-9)


def test_calls_that_are_chosen_have_three_turns_of_four(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Played(monkeypatch)
    calls = [machine.sampled("a"), machine.sampled("b")]
    sample_in_turns(calls, machine.now_s + 2.0, hold=True, choose=lambda: calls[:1])
    taken = [len(call.seconds) - 3 for call in calls]
    # Four turns of all, and later one in four: of 4 + n turns the second has 4 + n / 4.
    assert taken[0] > 20
    assert taken[1] == 4 + (taken[0] - 4) // 4


def series(stages: Sequence[float], paces: Sequence[Sequence[float]]) -> list[list[Repeat]]:
    """Repeats in turns: `paces[turn][stage]` is what the machine's pace makes each longer by."""
    found: list[list[Repeat]] = [[] for _ in stages]
    now_s = 0.0
    for turn in paces:
        for place, (seconds, pace) in enumerate(zip(stages, turn, strict=True)):
            found[place].append(Repeat(now_s, seconds * pace))
            now_s += seconds * pace
    return found


STAGES = [0.001 * (1 + place) for place in range(12)]


def test_repeats_of_a_slow_spell_are_left_out() -> None:
    paces = np.ones((10, 12))
    paces[3:6] = 1.5
    kept = undisturbed(series(STAGES, paces.tolist()))
    assert [max(found) for found in kept] == pytest.approx(STAGES)
    assert all(len(found) >= 6 for found in kept)


def test_call_that_met_slow_spells_more_often_than_not_is_no_longer_for_it() -> None:
    """Of every 20 calls nine are slow, so that some calls are slow in most of six turns."""
    paces = np.where(np.arange(72) % 20 < 9, 1.4, 1.0).reshape(6, 12)
    measured = series(STAGES, paces.tolist())
    raw = [float(np.median([repeat.seconds for repeat in call])) for call in measured]
    alone = [float(np.median(found)) for found in undisturbed(measured)]
    assert max(np.array(raw) / STAGES) == pytest.approx(1.4)
    assert np.mean(np.array(alone) / STAGES) == pytest.approx(1.0, abs=0.02)
    assert max(np.array(alone) / STAGES) < 1.15


def test_machine_that_is_throttled_keeps_the_median_that_it_has() -> None:
    """Its pace changes from repeat to repeat, and no repeat is chosen by what it took itself."""
    rng = np.random.default_rng(0)
    paces = rng.uniform(0.75, 1.25, (40, 12))
    kept = [float(np.median(found)) for found in undisturbed(series(STAGES, paces.tolist()))]
    usual = np.median(paces, axis=0)
    assert np.mean(np.array(kept) / STAGES / usual) == pytest.approx(1.0, abs=0.02)


def test_no_repeats_have_nothing_to_leave_out() -> None:
    assert undisturbed([]) == []
    assert undisturbed([[], []]) == [[], []]
    assert undisturbed([[Repeat(0.0, 0.5)], []]) == [[pytest.approx(0.5)], []]
