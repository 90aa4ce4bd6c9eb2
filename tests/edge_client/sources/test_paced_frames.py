"""The moments at which frames are taken, by clocks of the tests."""

from collections.abc import AsyncIterator
from itertools import count

import pytest

from edge_client.frames.compute_thread import ComputeThread
from edge_client.sources import paced_frames
from edge_client.sources.paced_frames import Asked, Limited, WhenFree
from tests.kit.clocks import FakeClock


@pytest.mark.parametrize(("beat_s", "held"), [(0.0, True), (0.066, False)])
async def test_frame_is_held_only_by_a_device_that_the_source_has_not_to_be_waited_for_after(
    beat_s: float, *, held: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A steady camera's next frame comes when it does, though the device is busy for most of the time."""
    now = 0.0

    class Busy(ComputeThread):
        """Each frame takes 40 ms of it, by a clock of the test's."""

        @property
        def is_free(self) -> bool:
            return False

        async def until_free(self) -> None:
            nonlocal now
            now += 0.04

    async def source() -> AsyncIterator[float]:
        nonlocal now
        for index in count(1):
            now = max(now, beat_s * index)
            yield now

    monkeypatch.setattr(paced_frames, "perf_counter", lambda: now)
    taken = WhenFree(source(), Busy())
    found = []
    for _ in range(4):
        await anext(taken)
        found.append(taken.asked_at == pytest.approx(now))
    assert found == 4 * [held]


async def test_frame_is_asked_for_when_there_is_room_and_not_when_it_comes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    time = FakeClock()

    async def source() -> AsyncIterator[int]:
        for number in range(3):
            time.now_s += 0.004
            yield number

    monkeypatch.setattr(paced_frames, "perf_counter", time)
    frames = Asked(source())
    for number in range(3):
        begun = time.now_s
        assert await anext(frames) == number
        assert frames.asked_at == begun
        time.now_s += 0.03  # the window is full


async def counted() -> AsyncIterator[int]:
    for number in range(100):
        yield number


async def test_limited_frames_keep_a_beat_that_may_change() -> None:
    time = FakeClock()
    waits: list[float] = []
    rate: list[float | None] = [None]

    async def wait(seconds: float) -> None:
        waits.append(seconds)
        time.now_s += seconds
        if time.now_s >= 109:
            rate[0] = None

    taken = Limited(counted(), lambda: rate[0], time, wait)
    assert [await anext(taken) for _ in range(3)] == [0, 1, 2]  # as they come
    assert waits == []
    rate[0] = 4.0
    time.now_s += 0.1  # the frame before came at 100.0
    moments = []
    for _ in range(3):
        await anext(taken)
        moments.append(time.now_s)
        time.now_s += 0.05  # what the frame takes
    assert moments == pytest.approx([100.25, 100.5, 100.75])
    time.now_s = 101.3  # late by more than a beat: the beat starts anew
    await anext(taken)
    await anext(taken)
    assert time.now_s == pytest.approx(101.55)
    rate[0] = 0.1  # the next is due at 111.55, but at 109 the rule is over
    assert await anext(taken) == 8
    assert 109 <= time.now_s < 109.5
