"""How calls are timed: in blocks, in turns, and in their time."""

from collections.abc import Callable
from types import SimpleNamespace

import pytest

from partitioner.profiles import timing
from partitioner.profiles.timing import Repeated, sample_in_turns, time_call


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
    # A turn is a warm-up, a trial and a block of two calls, 16 ms, and a pass over both 32 ms; the first
    # one prepares for 40 ms besides. As long as the last pass fits, there is another: after n passes
    # 40 + 32 n ms are gone, and the last one begins before 900 - 32: n = 26.
    assert [len(call.seconds) for call in calls] == [3 + 26] * 2
    assert machine.now_s <= end
    sample_in_turns(calls, end + 0.2)
    assert machine.prepared.startswith("ab" * 3)  # nothing is held any more
