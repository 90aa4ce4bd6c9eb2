"""Runs that are ended early, and what the session does afterwards."""

import threading
from time import perf_counter

import numpy as np
import pytest

from partitioner.bundle.bundle import Bundle
from partitioner.runtime.interruption import InterruptedRunError, Interruption
from partitioner.runtime.sessions import RuntimeOptions, random_feeds
from tests.kit.frames import assert_same


def test_run_that_is_to_end_does_not_begin_and_the_next_one_is_right(
    residual_bundle: Bundle,
) -> None:
    stage = residual_bundle.open_tail("cloud", RuntimeOptions())
    feeds = random_feeds(stage.inputs, np.random.default_rng(0))
    wanted = stage.run(feeds)
    interruption = Interruption()
    assert not interruption.is_asked
    assert_same(stage.run(feeds, interruption), wanted)  # none asked for it
    interruption.ask()
    for _ in range(2):
        with pytest.raises(InterruptedRunError):
            stage.run(feeds, interruption)
    assert_same(stage.run(feeds), wanted)
    assert_same(stage.run(feeds, Interruption()), wanted)


def test_run_that_is_ended_at_any_moment_changes_no_later_one(residual_bundle: Bundle) -> None:
    stage = residual_bundle.open_tail("cloud", RuntimeOptions())
    feeds = random_feeds(stage.inputs, np.random.default_rng(0), batch=8)
    wanted, begun = stage.run(feeds), perf_counter()
    stage.run(feeds)
    took_s, ended = perf_counter() - begun, 0
    for share in np.linspace(0, 1.2, 40):
        interruption = Interruption()
        timer = threading.Timer(share * took_s, interruption.ask)
        timer.start()
        try:
            assert_same(stage.run(feeds, interruption), wanted)
        except InterruptedRunError:
            ended += 1
        timer.join()
        assert_same(stage.run(feeds), wanted)
    assert ended > 0


def test_waiting_ends_at_once_when_it_is_asked_to() -> None:
    interruption = Interruption()
    interruption.sleep(0.0)
    interruption.ask()
    begun = perf_counter()
    with pytest.raises(InterruptedRunError):
        interruption.sleep(60.0)
    assert perf_counter() - begun < 30
