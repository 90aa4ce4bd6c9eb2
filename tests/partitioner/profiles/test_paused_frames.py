"""Frames that come after a pause, on a clock that is played."""

import asyncio
import itertools
import time
from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest

from partitioner.profiles import paused_frames, timing
from partitioner.profiles.paused_frames import PausedFrames, most_resume_s
from partitioner.profiles.timing import Call, Repeat, Repeated, sample_in_turns


def test_paused_frames_come_after_a_pause_and_take_what_the_call_does() -> None:
    called_at: list[float] = []

    def call() -> None:
        called_at.append(time.perf_counter())
        while time.perf_counter() < called_at[-1] + 0.01:
            pass

    with PausedFrames([of(call)], lambda: None, 0.5, time.perf_counter()) as frames:
        frames.complete(lambda: None)
        frames.complete(lambda: None)
    assert len(frames.frames) == 5
    assert min(frame.frame_s for frame in frames.frames) >= 0.01
    # The first call loads and warms up, and is none of them; behind each frame two come in a row.
    gaps = [later - before for before, later in itertools.pairwise(called_at)]
    assert len(gaps) == 5 * 3
    assert min(gaps[::3]) >= 0.1
    assert max(min(gaps[place::3]) for place in (1, 2)) < 0.1


def of(call: Call) -> Repeated:
    """Return a stage that is prepared already."""
    return Repeated(lambda: call)


def test_frames_that_nobody_waits_for_any_more_are_not_timed() -> None:
    def stop() -> None:
        raise InterruptedError

    with (
        PausedFrames([of(lambda: None)], lambda: None, 0.5, 0.0) as frames,
        pytest.raises(InterruptedError),
    ):
        frames.complete(stop)
    assert frames.frames == []


class Machine:
    """A machine on which handing over takes 1 ms, and all becomes slower by 5 ms with every frame."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_s, self.pace_s, self.asleep = 0.0, 0.0, False
        clock = SimpleNamespace(perf_counter=lambda: self.now_s)
        loop = SimpleNamespace(sleep=self.sleep, get_running_loop=asyncio.get_running_loop)
        for module, name, played in (
            (timing, "time", clock),
            (paused_frames, "time", clock),
            (paused_frames, "asyncio", loop),
        ):
            monkeypatch.setattr(module, name, played)

    async def sleep(self, pause_s: float) -> None:
        self.now_s += pause_s
        self.pace_s += 0.005 if pause_s >= 0.1 else 0.0
        self.asleep = True

    def hand(self) -> None:
        self.now_s += 0.001

    def stage(self, usual_s: float, resume_s: float) -> Repeated:
        """Return a stage that takes so long in a row, and longer after a pause."""

        def call() -> None:
            self.now_s += self.pace_s + usual_s
            self.now_s += (resume_s + 0.001) if self.asleep else 0.0
            self.asleep = False

        stage = of(call)
        stage.repeats.append(Repeat(0.0, usual_s))
        return stage


def test_resuming_is_what_a_frame_takes_beyond_calls_in_a_row_whatever_the_machines_pace(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    machine = Machine(monkeypatch)
    stage = machine.stage(0.01, resume_s=0.02)
    with PausedFrames([stage], machine.hand, 0.5, 0.0) as frames:
        frames.complete(lambda: None)
    assert [frame.frame_s for frame in frames.frames] == pytest.approx(
        [0.061, 0.066, 0.071, 0.076, 0.081]  # five pauses for handing over came before
    )
    assert frames.resume_s == pytest.approx(0.001)
    assert frames.stage_resume_s(0.01) == pytest.approx(0.02)


def test_no_accident_of_a_few_frames_makes_a_longer_stage_resume_in_less(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    machine = Machine(monkeypatch)
    usual_s = [0.001 * (1 + each) for each in range(8)]
    # Truly the longest resume in 2 ms, a stage of 1 ms in half of it; two stages met a busy machine.
    true_s = [0.002 * each / (each + 0.001) for each in usual_s]
    met_s = [0.0 if each == 2 else 0.009 if each == 5 else true_s[each] for each in range(8)]
    stages = [machine.stage(*each) for each in zip(usual_s, met_s, strict=True)]
    with PausedFrames(stages, machine.hand, 1e9, -1.0) as frames:
        for stage in stages * 2:
            frames.keep_up(stage, stage.prepare())
    assert len(frames.frames) == 16
    found = [frames.stage_resume_s(seconds) for seconds in usual_s]
    assert found == pytest.approx(true_s)
    assert found == sorted(found)


@pytest.mark.parametrize("count", [5, 12, 100])
def test_frames_that_vary_by_more_than_they_resume_in_tell_it_together(count: int) -> None:
    rng, found = np.random.default_rng(count), []
    for _ in range(40):
        usual_s = rng.uniform(0.0005, 0.02, count)
        extra_s = 0.0015 * usual_s / (usual_s + 0.001) + rng.standard_t(2, count) * 0.002
        found.append(most_resume_s(usual_s.tolist(), extra_s.tolist()))
    # A median of n values of density f at their middle is off by 1 / (2 f sqrt(n)): f is 0.354 / 2 ms.
    wanted_s = 0.002 / (2 * 0.354 * np.sqrt(count)) / 0.75
    assert np.median(np.abs(np.array(found) - 0.0015)) < 1.5 * wanted_s


def test_stages_that_take_no_time_and_no_frames_resume_in_none() -> None:
    assert most_resume_s([0.0, 0.0], [0.001, 0.002]) == 0.0
    assert most_resume_s([], []) == 0.0
    assert most_resume_s([0.01], [-0.005]) == 0.0


def test_stages_with_the_fewest_frames_are_timed_first() -> None:
    first, second = of(lambda: None), of(lambda: None)
    with PausedFrames([first, second], lambda: None, 1e9, 0.0) as frames:
        for stage in (first, first, first, second, first):
            frames.keep_up(stage, stage.prepare())
    assert [frame.stage for frame in frames.frames] == [first, second, first]


@pytest.mark.parametrize("hold", [True, False])
def test_all_stages_have_as_many_frames_between_their_turns_whether_they_are_held_or_not(
    hold: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = Machine(monkeypatch)
    stages = [machine.stage(0.01, resume_s=0.02) for _ in range(3)]
    for stage in stages:
        stage.sample(0.0)
    with PausedFrames(stages, machine.hand, 0.4, machine.now_s) as frames:
        sample_in_turns(stages, machine.now_s + 30, frames.keep_up, hold=hold)
    counts = Counter(frame.stage for frame in frames.frames)
    assert set(counts) == set(stages)
    assert max(counts.values()) - min(counts.values()) <= 1


def test_paused_frames_keep_to_their_share_of_the_time() -> None:
    now_s, stage = time.perf_counter(), of(lambda: None)
    with PausedFrames([stage], lambda: None, 0.5, now_s) as behind:
        behind.keep_up(stage, lambda: None)
    with PausedFrames([stage], lambda: None, 0.5, now_s + 60) as ahead:
        ahead.keep_up(stage, lambda: None)
    assert (len(behind.frames), len(ahead.frames)) == (1, 0)
