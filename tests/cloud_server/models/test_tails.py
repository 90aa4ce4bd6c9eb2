"""Tails in memory: who waits for a load, which goes first, and what a removed version gives back."""

import asyncio
import gc
import shutil
import threading
from pathlib import Path
from typing import Any

import pytest

from cloud_server.models import tails
from cloud_server.models.model_store import ModelStore
from cloud_server.models.version import Version
from partitioner.bundle.bundle import Bundle
from partitioner.runtime import sessions
from partitioner.runtime.sessions import RuntimeOptions, Stage
from protos.errors import BundleError
from tests.kit.resident import Resident


def make_store(bundle: Bundle, max_sessions: int = 32) -> ModelStore:
    return ModelStore([Version.of(bundle)], RuntimeOptions(), max_sessions)


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
    store = ModelStore([Version.of(residual_bundle)], RuntimeOptions(), 32, 250)
    sizes = {
        "residual": 100,
        "residual.cut-01": 100,
        "residual.cut-02": 100,
        "residual.cut-03": 900,
    }
    monkeypatch.setattr(
        tails,
        "_open",
        lambda model, options: (model.bundle.open_tail(model.cut, options), sizes[model.name]),
    )
    first, second, third, large = (store.find(name) for name in sizes)
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

    monkeypatch.setattr(tails, "_open", fail)
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
    begun, go_on, load = threading.Event(), threading.Event(), tails._open

    def slowly(*args: Any) -> Any:
        begun.set()
        assert go_on.wait(30)
        return load(*args)

    monkeypatch.setattr(tails, "_open", slowly)
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
    store = ModelStore([Version.of(residual_bundle)], wanted, 32)
    asyncio.run(store.load(store.find("residual")))
    assert told == [wanted]
