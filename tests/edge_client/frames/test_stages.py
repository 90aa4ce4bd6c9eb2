"""The stages on the device: few of them stay in memory, and those are the ones that are used."""

from collections.abc import Callable
from pathlib import Path

import pytest

from edge_client.control.controller import Controller
from edge_client.control.offer import Limits
from edge_client.frames.stages import KEPT, Stages
from partitioner.bundle.bundle import Bundle
from partitioner.estimators.circuit_breaker import Breaker
from partitioner.network.link import Link
from partitioner.planning.plan import plan
from partitioner.policy.settings import PolicySettings
from partitioner.runtime import sessions
from partitioner.runtime.sessions import RuntimeOptions, Stage
from protos.errors import BundleError, UsageError
from tests.kit.exit_models import best_exit
from tests.kit.frames import crossing_cuts, frames
from tests.kit.profiles import profile_of, profile_of_heads
from tests.kit.resident import Resident


class Loads(Bundle):
    """Notes which heads and tails are loaded."""

    def __init__(self, path: Path, bundle: Bundle) -> None:
        super().__init__(path, bundle.manifest, contents=bundle.contents)
        self.heads: list[str] = []
        self.tails: list[str] = []

    def open_head(self, cut_id: str, options: RuntimeOptions | None = None) -> Stage:
        self.heads.append(cut_id)
        return super().open_head(cut_id, options)

    def open_tail(self, cut_id: str, options: RuntimeOptions | None = None) -> Stage:
        self.tails.append(cut_id)
        return super().open_tail(cut_id, options)


@pytest.fixture
def loads(residual_bundle: Bundle) -> Loads:
    return Loads(residual_bundle.path, residual_bundle)


def run_both(stages: Stages, cuts: list[str], bundle: Bundle) -> None:
    (inputs,) = frames(bundle, 1)
    for cut in cuts:
        values, _ = stages.run_head(cut, inputs)
        stages.run_tail(cut, values)


def test_cut_that_moves_back_and_forth_loads_nothing_twice(loads: Loads) -> None:
    cuts = crossing_cuts(loads)[:KEPT]
    run_both(Stages(loads, RuntimeOptions()), cuts * 3, loads)
    assert loads.heads == loads.tails == cuts


def test_cut_that_wanders_lets_go_of_the_one_that_was_used_longest_ago(loads: Loads) -> None:
    first, *others = crossing_cuts(loads)[: KEPT + 2]
    stages = Stages(loads, RuntimeOptions())
    run_both(stages, [first, *others[: KEPT - 1]], loads)
    run_both(stages, [first, others[KEPT - 1], first], loads)  # the first is in use all the time
    assert loads.heads.count(first) == loads.tails.count(first) == 1
    run_both(stages, others[:1], loads)
    assert loads.heads.count(others[0]) == loads.tails.count(others[0]) == 2


def test_no_more_stages_are_alive_than_are_kept(
    loads: Loads, monkeypatch: pytest.MonkeyPatch
) -> None:
    import weakref

    alive: weakref.WeakSet[Stage] = weakref.WeakSet()

    def noting(load: Callable[..., Stage]) -> Callable[..., Stage]:
        def open_stage(*arguments: object) -> Stage:
            alive.add(stage := load(*arguments))
            return stage

        return open_stage

    for name in ("open_head", "open_tail"):
        monkeypatch.setattr(loads, name, noting(getattr(loads, name)))
    cuts = crossing_cuts(loads)
    assert len(cuts) > KEPT
    stages = Stages(loads, RuntimeOptions())
    run_both(stages, cuts * 2, loads)
    assert len(alive) == 2 * KEPT


def test_memory_of_a_head_is_known_after_frames_that_left_freed_pages(
    loads: Loads, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = Resident(used_bytes=1000, freed_bytes=600)
    monkeypatch.setattr(sessions.psutil, "Process", lambda: process)
    monkeypatch.setattr(sessions, "release_freed_pages", process.release)
    monkeypatch.setattr(loads, "open_head", lambda *_: process.load(100))
    stages = Stages(loads, RuntimeOptions(), memory_bytes=99)
    cut = crossing_cuts(loads)[0]
    with pytest.raises(UsageError, match=f"the head of {cut} takes about 100 B"):
        stages.warm(cut)


def test_stage_that_cannot_be_loaded_ahead_is_told_once_and_left_alone(
    loads: Loads, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tried: list[str] = []

    def broken(cut_id: str, _options: RuntimeOptions) -> Stage:
        tried.append(cut_id)
        raise BundleError("damaged.")

    monkeypatch.setattr(loads, "open_head", broken)
    stages = Stages(loads, RuntimeOptions())
    cut = crossing_cuts(loads)[0]
    for _ in range(3):
        stages.prefetch("head", cut)
        assert stages._opener is not None
        stages._opener.submit(lambda: None).result()  # by now it has been tried
    assert tried == [cut]
    assert [record.getMessage() for record in caplog.records] == [
        f"the head of {cut} cannot be loaded, and is not tried again"
    ]


def test_stages_stay_within_their_memory_and_the_one_in_use_stays(
    residual_bundle: Bundle,
) -> None:
    stages = Stages(residual_bundle, RuntimeOptions(), memory_bytes=2_500_000)
    stages.know(profile_of(residual_bundle, 0.01))  # a million bytes each
    for cut in ("cut-01", "cut-02", "cut-03"):
        stages.warm(cut)
    assert [stages.is_open("head", f"cut-0{n}") for n in (1, 2, 3)] == [False, True, True]
    tight = Stages(residual_bundle, RuntimeOptions(), memory_bytes=900_000)
    tight.know(profile_of(residual_bundle, 0.01))
    tight.prefetch("head", "cut-01")
    with pytest.raises(UsageError, match="the head of cut-02 takes about 1.00 MB"):
        tight.warm("cut-02")
    assert not tight.is_open("head", "cut-01")


def test_head_of_the_best_exit_is_loaded_ahead(exiting: Bundle, held: Bundle) -> None:
    edge, cloud = profile_of_heads(profile_of(exiting, 0.02), held), profile_of(exiting, 0.001)
    made = plan(held, Link(1e9, 1e9, 0.001), edge, cloud)
    stages = Stages(held, RuntimeOptions())
    asked: list[tuple[str, str]] = []
    stages.prefetch = lambda side, cut: asked.append((side, cut))  # type: ignore[method-assign]
    Controller(held, stages, Breaker(), PolicySettings()).follow(made, made.best, "test", Limits())
    assert ("head", best_exit(held)) in asked


def test_frame_in_flight_on_stages_that_were_closed_still_runs_and_loads_nothing_ahead(
    loads: Loads,
) -> None:
    """A version that is left is closed while its last frames are on their way."""
    stages, (first, second) = Stages(loads, RuntimeOptions()), crossing_cuts(loads)[:2]
    stages.prefetch("head", first)
    stages.close()
    stages.prefetch("head", second)
    run_both(stages, [second], loads)
    assert loads.heads.count(second) == 1
