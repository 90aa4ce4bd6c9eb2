"""Tails in memory: who waits for a load, which goes first, and what a removed version gives back."""

import asyncio
import gc
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cloud_server.models import tails
from cloud_server.models.model_store import ModelStore
from cloud_server.models.tails import TailLimits
from cloud_server.models.version import Version
from partitioner.bundle.bundle import Bundle
from partitioner.bundle.manifest import write_manifest
from partitioner.runtime import sessions
from partitioner.runtime.chain import Chain
from partitioner.runtime.sessions import RuntimeOptions, Stage, random_feeds
from protos.errors import BundleError
from tests.kit.clocks import FakeClock
from tests.kit.resident import Resident


def make_store(bundle: Bundle, max_sessions: int = 32) -> ModelStore:
    return ModelStore([Version.of(bundle)], RuntimeOptions(), TailLimits(max_sessions))


async def test_tail_is_loaded_once_for_all_who_ask_at_the_same_time(
    residual_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    loads = []
    open_tail = Bundle.open_tail

    def counted(bundle: Bundle, cut: str, options: RuntimeOptions | None = None) -> object:
        loads.append(cut)
        return open_tail(bundle, cut, options)

    monkeypatch.setattr(Bundle, "open_tail", counted)
    store = make_store(residual_bundle)
    model = store.find("residual")
    assert store.loaded(model) is None
    stages = await asyncio.gather(*(store.load(model) for _ in range(8)))
    assert loads == ["cloud"]
    assert all(stage is store.loaded(model) for stage in stages)


async def test_one_who_gives_up_waiting_does_not_take_the_load_from_others(
    residual_bundle: Bundle,
) -> None:
    store = make_store(residual_bundle)
    model = store.find("residual")
    impatient, patient = (asyncio.create_task(store.load(model)) for _ in range(2))
    await asyncio.sleep(0)
    impatient.cancel()
    assert (await patient).inputs == residual_bundle.inputs
    assert impatient.cancelled()


async def test_tail_not_used_for_longest_is_evicted(residual_bundle: Bundle) -> None:
    store = make_store(residual_bundle, max_sessions=2)
    first, second, third = list(store.models.values())[:3]
    await store.load(first)
    await store.load(second)
    store.loaded(first)
    await store.load(third)
    assert store.loaded(second) is None
    assert store.loaded(first) is not None
    assert store.loaded(third) is not None


async def test_memory_of_a_tail_is_known_after_traffic_that_left_freed_pages(
    residual_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = Resident(used_bytes=1000, freed_bytes=600)
    monkeypatch.setattr(sessions.psutil, "Process", lambda: process)
    monkeypatch.setattr(sessions, "release_freed_pages", process.release)
    monkeypatch.setattr(Bundle, "open_tail", lambda *_: process.load(100))
    store = make_store(residual_bundle)
    await store.load(store.find("residual"))
    assert store._tails._sizes == {(residual_bundle.digest, "cloud"): 100}


async def test_tails_stay_within_the_memory_and_the_latest_stays_at_any_size(
    residual_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = ModelStore(
        [Version.of(residual_bundle)], RuntimeOptions(), TailLimits(memory_bytes=250)
    )
    sizes = {"cloud": 100, "cut-01": 100, "cut-02": 100, "cut-03": 900}
    monkeypatch.setattr(tails, "open_weighed", lambda opening: (opening(), sizes[opening.args[0]]))
    first, second, third, large = (store.find(f"residual.{cut}") for cut in sizes)
    for model in (first, second, third):  # 100 + 100 + 100 are more than 250
        await store.load(model)
    assert [store.loaded(model) is not None for model in (first, second, third)] == [
        False,
        True,
        True,
    ]
    await store.load(large)
    assert [store.loaded(model) is not None for model in (second, third, large)] == [
        False,
        False,
        True,
    ]


async def test_tail_that_the_runtime_refuses_is_an_error_for_all_and_is_tried_again(
    residual_bundle: Bundle, tmp_path: Path
) -> None:
    copy = Bundle.load(shutil.copytree(residual_bundle.path, tmp_path / "copy"))
    graph = copy.path / "graphs" / "model.onnx"
    content = graph.read_bytes()
    graph.write_bytes(b"no onnx")
    store = make_store(copy)
    model = store.find(copy.name)
    for result in await asyncio.gather(*(store.load(model) for _ in "ab"), return_exceptions=True):
        assert isinstance(result, BundleError)
    graph.write_bytes(content)
    assert await store.load(model)


async def test_load_that_fails_after_its_caller_gave_up_is_no_accident(
    residual_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[dict[str, object]] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: heard.append(context))

    def fail(*_: object) -> None:
        raise BundleError("damaged.")

    monkeypatch.setattr(tails, "open_weighed", fail)
    store = make_store(residual_bundle)
    asked = asyncio.create_task(store.load(store.find("residual")))
    await asyncio.sleep(0)
    loading = list(store._tails._loading.values())
    asked.cancel()
    await asyncio.wait([asked, *loading])
    assert asked.cancelled()
    assert not store._tails._loading
    del asked, loading
    gc.collect()  # what nobody has looked at is reported now
    assert not heard


async def test_closing_drops_the_loads_that_wait(
    residual_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on, load = threading.Event(), threading.Event(), tails.open_weighed

    def slowly(*args: Any) -> Any:
        begun.set()
        assert go_on.wait(30)
        return load(*args)

    monkeypatch.setattr(tails, "open_weighed", slowly)
    store = make_store(residual_bundle)
    models = [store.find(name) for name in ("residual", "residual.cut-01")]
    loads = [asyncio.create_task(store.load(model)) for model in models]
    await asyncio.to_thread(begun.wait)
    store.close()
    go_on.set()
    found = await asyncio.gather(*loads, return_exceptions=True)
    assert found[0] is store.loaded(models[0])
    assert isinstance(found[1], asyncio.CancelledError)


def test_tails_run_as_the_server_was_told_to(
    residual_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[RuntimeOptions | None] = []
    opened = Bundle.open_tail

    def open_tail(self: Bundle, cut_id: str, options: RuntimeOptions | None = None) -> Stage:
        told.append(options)
        return opened(self, cut_id, options)

    monkeypatch.setattr(Bundle, "open_tail", open_tail)
    wanted = RuntimeOptions(threads=3)
    store = ModelStore([Version.of(residual_bundle)], wanted)
    asyncio.run(store.load(store.find("residual")))
    assert told == [wanted]


async def used_until(holds: Callable[[], bool]) -> None:
    """Go on using tails, with the loop free in between, until something holds."""
    for _ in range(1_000_000):
        if holds():
            return
        await asyncio.sleep(0)
    raise AssertionError("it never came to hold")


def shared_store(bundle: Bundle, own_sessions: int) -> ModelStore:
    limits = TailLimits(own_sessions=own_sessions)
    return ModelStore([Version.of(bundle)], RuntimeOptions(), limits)


def named(bundle: Bundle, name: str, folder: Path) -> Bundle:
    """Return a copy of a bundle under another name."""
    shutil.copytree(bundle.path, folder / name)
    write_manifest(folder / name, bundle.manifest.model_copy(update={"name": name}))
    return Bundle.load(folder / name)


async def test_tails_beyond_those_with_sessions_of_their_own_share_segments(
    residual_bundle: Bundle,
) -> None:
    store = shared_store(residual_bundle, 2)
    stages = [await store.load(model) for model in store.models.values()]
    assert [isinstance(stage, Chain) for stage in stages] == [False] * 2 + [True] * (
        len(stages) - 2
    )
    chains = [stage for stage in stages if isinstance(stage, Chain)]
    last = {id(chain.segments[-1]) for chain in chains}
    assert len(last) == 1
    assert [store.loaded(model) for model in store.models.values()] == stages


async def test_every_tail_gives_the_same_answer_in_either_form(residual_bundle: Bundle) -> None:
    own, shared = (shared_store(residual_bundle, count) for count in (99, 0))
    for name, model in own.models.items():
        values = random_feeds(model.inputs, np.random.default_rng(0), 2)
        one = (await own.load(model)).run(values)
        two = (await shared.load(shared.find(name))).run(values)
        for output, array in one.items():
            np.testing.assert_allclose(two[output], array, rtol=1e-4, atol=1e-5)


async def test_tail_that_is_asked_for_most_gets_a_session_of_its_own(
    residual_bundle: Bundle,
) -> None:
    store = shared_store(residual_bundle, 1)
    first, second = list(store.models.values())[:2]
    await store.load(first)
    await store.load(second)
    assert isinstance(store.loaded(second), Chain)
    await used_until(lambda: not isinstance(store.loaded(second), Chain))
    # Its place was that of the first, which goes on by segments that were loaded before.
    await used_until(lambda: isinstance(store.loaded(first), Chain))
    assert not isinstance(store.loaded(second), Chain)


async def test_segments_are_evicted_together_and_come_back(
    residual_bundle: Bundle, tmp_path: Path
) -> None:
    limits = TailLimits(max_sessions=2, own_sessions=1)
    store = ModelStore([Version.of(residual_bundle)], RuntimeOptions(), limits)
    a, b, c = list(store.models.values())[:3]
    for model in (a, b, c):
        await store.load(model)
    assert set(store.sizes()) == {(one.name, one.version) for one in (a, b, c)}
    assert store.loaded(a) is not None  # so that the segments are what was not used for longest
    store.offer([a.owner, Version.of(named(residual_bundle, "other", tmp_path))])
    await store.load(store.find("other"))
    assert [store.loaded(model) is not None for model in (a, b, c)] == [True, False, False]
    assert isinstance(await store.load(c), Chain)


async def test_bundle_without_segments_has_a_session_for_every_tail(
    residual_bundle: Bundle, tmp_path: Path
) -> None:
    """As those have that were imported before there were any."""
    shutil.copytree(residual_bundle.path, tmp_path / "old")
    write_manifest(tmp_path / "old", residual_bundle.manifest.model_copy(update={"segments": ()}))
    store = shared_store(Bundle.load(tmp_path / "old"), 1)
    stages = [await store.load(model) for model in store.models.values()]
    assert not any(isinstance(stage, Chain) for stage in stages)


async def test_tails_asked_for_at_once_share_segments_that_are_loaded_once(
    residual_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    open_segment = Bundle.open_segment

    def counted(bundle: Bundle, segment: Any, options: RuntimeOptions | None = None) -> Stage:
        opened.append(segment.cut)
        return open_segment(bundle, segment, options)

    monkeypatch.setattr(Bundle, "open_segment", counted)
    store = shared_store(residual_bundle, 0)
    models = list(store.models.values())
    stages = await asyncio.gather(*map(store.load, models))
    assert len(opened) == len(set(opened))
    assert [store.loaded(model) for model in models] == stages


async def test_size_of_segments_is_that_of_those_in_memory(
    residual_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tails, "open_weighed", lambda opening: (opening(), 100))
    bundles = [residual_bundle, named(residual_bundle, "other", tmp_path)]
    limits = TailLimits(max_sessions=1, own_sessions=0)
    store = ModelStore(map(Version.of, bundles), RuntimeOptions(), limits)
    for _ in range(2):  # those of one bundle are evicted for the other's
        for bundle in bundles:
            for count, cut in enumerate(("cut-01", "cut-02"), 1):
                await store.load(store.find(f"{bundle.name}.{cut}"))
                assert sum(store.sizes().values()) == 100 * count


async def test_segments_of_a_tail_that_makes_way_count(
    residual_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tails, "open_weighed", lambda opening: (opening(), 100))
    store = shared_store(residual_bundle, 1)
    first, second = list(store.models.values())[:2]
    await store.load(first)
    await store.load(second)
    await used_until(lambda: not isinstance(store.loaded(second), Chain))
    await used_until(lambda: isinstance(store.loaded(first), Chain))
    # The own session of the second, its segments, and those that the first needs beside them.
    assert sum(store.sizes().values()) == 300


async def test_memory_that_has_no_room_for_own_sessions_is_left_to_segments(
    residual_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    def weighed(opening: Callable[[], Stage]) -> tuple[Stage, int]:
        stage = opening()
        return stage, 10 if isinstance(stage, Chain) else 100

    monkeypatch.setattr(tails, "open_weighed", weighed)
    limits = TailLimits(memory_bytes=150, own_sessions=2)
    store = ModelStore([Version.of(residual_bundle)], RuntimeOptions(), limits)
    models = list(store.models.values())[:3]
    for _ in range(5):
        for model in models:
            await store.load(model)
    for _ in range(200):  # nor does a look at who is asked for most change that
        assert all(store.loaded(model) is not None for model in models)
        await asyncio.sleep(0)
    # Each had a session of its own, until that was known to be too large; two share segments since.
    assert store.counts.loads == 5
    assert sum(store.sizes().values()) == 120


async def test_promotion_that_fails_changes_nothing_and_is_not_tried_at_every_look(
    residual_bundle: Bundle, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    store = shared_store(residual_bundle, 1)
    first, second = list(store.models.values())[:2]
    own, chain = await store.load(first), await store.load(second)

    def fail(*_: object) -> Stage:
        raise MemoryError("no room")

    monkeypatch.setattr(Bundle, "open_tail", fail)
    await used_until(lambda: store.loaded(second) is chain and "no room" in caplog.text)
    for _ in range(1000):
        store.loaded(second)
        await asyncio.sleep(0)
    assert caplog.text.count("stays in segments") == 1
    assert store.counts.failed_loads == 1
    assert store.loaded(first) is own


async def test_memory_of_what_is_evicted_goes_back_once_nobody_holds_it(
    residual_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    trims: list[str] = []
    monkeypatch.setattr(tails, "release_freed_pages", lambda: trims.append("trim"))
    limits = TailLimits(max_sessions=1, own_sessions=1)
    store = ModelStore([Version.of(residual_bundle)], RuntimeOptions(), limits)
    own, shared = list(store.models.values())[:2]
    running = await store.load(own)
    chain = await store.load(shared)
    gc.collect()
    assert not await trimmed(store, trims)
    del running
    gc.collect()
    assert len(await trimmed(store, trims)) == 1
    trims.clear()
    await store.load(own)
    gc.collect()
    assert not await trimmed(store, trims)  # the chain still has its segments
    del chain
    gc.collect()
    assert await trimmed(store, trims)


async def test_time_of_loads_has_none_of_the_waiting_for_the_loads_before(
    residual_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = FakeClock()
    monkeypatch.setattr(tails.time, "perf_counter", clock)

    def load(opening: Callable[[], Stage]) -> tuple[Stage, int]:
        clock.now_s += 1.0
        return opening(), 100

    monkeypatch.setattr(tails, "open_weighed", load)
    store = make_store(residual_bundle)
    await asyncio.gather(*map(store.load, list(store.models.values())[:4]))
    assert store.counts.load_s == 4.0


async def trimmed(store: ModelStore, trims: list[str]) -> list[str]:
    """Return what was given back, once the loader has done what it was told."""
    await asyncio.get_running_loop().run_in_executor(store._tails._loader, int)
    return trims
