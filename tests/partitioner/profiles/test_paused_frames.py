"""Frames that come after a pause, on a clock that is played."""

import asyncio
import itertools
import time
from types import SimpleNamespace

import pytest

from partitioner.profiles import paused_frames, timing
from partitioner.profiles.paused_frames import PausedFrames


def test_paused_frames_come_after_a_pause_and_take_what_the_call_does() -> None:
    called_at: list[float] = []

    def call() -> None:
        called_at.append(time.perf_counter())
        while time.perf_counter() < called_at[-1] + 0.01:
            pass

    with PausedFrames(call, 0.5, time.perf_counter()) as frames:
        frames.complete(0.0, lambda: None)
        frames.complete(0.0, lambda: None)
    assert len(frames.seconds) == 5
    assert min(frames.seconds) >= 0.01
    # The first call loads and warms up, and is none of them; behind each frame two come in a row.
    gaps = [later - before for before, later in itertools.pairwise(called_at)]
    assert len(gaps) == 5 * 3
    assert min(gaps[::3]) >= 0.1
    assert max(min(gaps[place::3]) for place in (1, 2)) < 0.1


def test_frames_that_nobody_waits_for_any_more_are_not_timed() -> None:
    def stop() -> None:
        raise InterruptedError

    with PausedFrames(lambda: None, 0.5, 0.0) as frames, pytest.raises(InterruptedError):
        frames.complete(0.0, stop)
    assert frames.seconds == []


def test_resuming_is_what_a_frame_takes_beyond_calls_in_a_row_whatever_the_machines_pace(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now_s, pace_s, asleep = 0.0, 0.0, False

    async def sleep(pause_s: float) -> None:
        nonlocal now_s, pace_s, asleep
        now_s += pause_s
        pace_s += 0.005  # slower with every frame
        asleep = True

    def call() -> None:
        nonlocal now_s, asleep
        now_s += pace_s + (0.02 if asleep else 0.0)
        asleep = False

    clock = SimpleNamespace(perf_counter=lambda: now_s)
    loop = SimpleNamespace(sleep=sleep, get_running_loop=asyncio.get_running_loop)
    for module, name, played in (
        (timing, "time", clock),
        (paused_frames, "time", clock),
        (paused_frames, "asyncio", loop),
    ):
        monkeypatch.setattr(module, name, played)
    with PausedFrames(call, 0.5, 0.0) as frames:
        frames.complete(0.0, lambda: None)
    assert frames.seconds == pytest.approx([0.03, 0.035, 0.04, 0.045, 0.05])
    assert frames.resume_s == pytest.approx(0.02)


def test_paused_frames_keep_to_their_share_of_the_time() -> None:
    now_s = time.perf_counter()
    with PausedFrames(lambda: None, 0.5, now_s) as behind:
        behind.keep_up()
    with PausedFrames(lambda: None, 0.5, now_s + 60) as ahead:
        ahead.keep_up()
    assert (len(behind.seconds), len(ahead.seconds)) == (1, 0)
