"""The repository: its index, what loading and unloading do, and what a folder that fails changes."""

import asyncio
import os
import shutil
import threading
from pathlib import Path

import pytest

from cloud_server.models.bundle_folder import BundleFolder
from cloud_server.models.model_store import ModelStore
from cloud_server.models.repository import READY, UNAVAILABLE, Repository
from partitioner.bundle.bundle import Bundle
from partitioner.runtime.sessions import RuntimeOptions
from protos.errors import BundleError, UnknownNameError, UsageError
from tests.kit.versions import make_version


class Served:
    """A folder of bundles, and the store that a repository keeps as it is."""

    def __init__(self, root: Path, preload: tuple[str, ...] = ()) -> None:
        self.root = root
        self.store = ModelStore((), RuntimeOptions())
        self.repository = Repository(BundleFolder(root), self.store, preload)

    def put(self, bundle: Bundle, name: str) -> Path:
        return shutil.copytree(bundle.path, self.root / name)

    def states(self, *, ready: bool = False) -> list[tuple[str, str]]:
        return [(entry.name, entry.state) for entry in self.repository.index(ready=ready)]

    def numbers(self) -> set[str]:
        return {entry.version for entry in self.repository.index(ready=True)}


@pytest.fixture
def served(net_versions: list[Bundle], tmp_path: Path) -> Served:
    """One version, in the folder `a`."""
    served = Served(tmp_path)
    served.put(net_versions[0], "a")
    return served


async def test_start_with_nothing_to_serve_says_why(
    net_versions: list[Bundle], tmp_path: Path
) -> None:
    served = Served(tmp_path)
    with pytest.raises(BundleError, match="holds no bundle"):
        await served.repository.start()
    (served.put(net_versions[0], "a") / "graphs" / "model.onnx").unlink()
    with pytest.raises(BundleError, match=r"lacks graphs/model\.onnx"):
        await served.repository.start()


async def test_start_serves_what_is_good_beside_what_is_damaged(
    served: Served, net_versions: list[Bundle]
) -> None:
    (served.put(net_versions[1], "b") / "graphs" / "model.onnx").unlink()
    await served.repository.start()
    assert served.store.find("net").bundle.digest == net_versions[0].digest
    assert served.states() == [("net", READY), ("net", UNAVAILABLE)]
    (refused,) = [entry for entry in served.repository.index() if entry.state != READY]
    assert "lacks graphs/model.onnx" in refused.reason
    assert refused.version == ""
    assert served.states(ready=True) == [("net", READY)]


async def test_reload_offers_what_has_come_and_drops_what_has_gone(
    served: Served, net_versions: list[Bundle]
) -> None:
    await served.repository.start()
    old = served.numbers()
    served.put(net_versions[1], "b")
    assert await served.repository.reload()
    assert len(served.numbers()) == 2
    shutil.rmtree(served.root / "a")
    await served.repository.reload()
    assert served.numbers().isdisjoint(old)
    shutil.rmtree(served.root / "b")
    await served.repository.reload()
    assert served.states() == []
    with pytest.raises(UnknownNameError):
        served.store.find("net")


async def test_version_found_by_a_load_that_its_caller_gave_up_is_served(
    served: Served, net_versions: list[Bundle], monkeypatch: pytest.MonkeyPatch
) -> None:
    await served.repository.start()
    served.put(net_versions[1], "b")
    begun, go_on, done = threading.Event(), threading.Event(), threading.Event()
    look = BundleFolder.look

    def slowly(folder: BundleFolder, *, settled: bool = False) -> bool:
        begun.set()
        assert go_on.wait(30)
        found = look(folder, settled=settled)
        done.set()
        return found

    monkeypatch.setattr(BundleFolder, "look", slowly)
    asked = asyncio.create_task(served.repository.load("net"))
    await asyncio.to_thread(begun.wait)
    asked.cancel()
    await asyncio.wait([asked])
    go_on.set()
    await asyncio.to_thread(done.wait)
    await served.repository.reload()
    assert asked.cancelled()
    assert len(served.numbers()) == 2


async def test_folder_that_cannot_be_read_is_told_once_and_everything_goes_on(
    net_versions: list[Bundle], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    root = tmp_path / "moved"
    served = Served(tmp_path / "root")
    served.put(net_versions[0], "a")
    await served.repository.start()
    served.root.rename(root)
    for _ in range(2):
        with pytest.raises(BundleError):
            await served.repository.reload()
    assert served.states() == [("net", READY)]
    (said,) = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert said.endswith("What was served goes on.")


async def test_unloaded_bundle_stays_unloaded_until_it_is_loaded(
    served: Served, net_versions: list[Bundle]
) -> None:
    await served.repository.start()
    await served.store.load(served.store.find("net"))
    served.repository.unload("net")
    (entry,) = served.repository.index()
    assert (entry.state, entry.reason) == (UNAVAILABLE, "unloaded")
    assert served.states(ready=True) == []
    assert not served.store.sizes()
    served.put(net_versions[1], "b")
    await served.repository.reload()
    assert served.states() == [("net", UNAVAILABLE)] * 2
    with pytest.raises(UnknownNameError, match="net was unloaded"):
        served.store.find("net.cut-01")
    await served.repository.load("net")
    assert served.states() == [("net", READY)] * 2


async def test_load_finds_what_has_come_since(served: Served, net_versions: list[Bundle]) -> None:
    await served.repository.start()
    served.put(net_versions[1], "b")
    await served.repository.load("net")
    assert len(served.numbers()) == 2


async def test_load_of_what_is_refused_says_why(served: Served, net_versions: list[Bundle]) -> None:
    await served.repository.start()
    shutil.rmtree(served.root / "a")
    await served.repository.reload()
    (served.put(net_versions[1], "b") / "graphs" / "model.onnx").unlink()
    with pytest.raises(UnknownNameError, match=r"lacks graphs/model\.onnx"):
        await served.repository.load("net")
    with pytest.raises(UnknownNameError, match="no bundle 'nowhere'"):
        await served.repository.load("nowhere")


async def test_cuts_come_and_go_with_their_bundle(served: Served) -> None:
    await served.repository.start()
    with pytest.raises(UsageError, match="'net.cut-01' is a cut.*Name 'net'"):
        served.repository.unload("net.cut-01")
    with pytest.raises(UsageError, match="is a cut"):
        await served.repository.load("net.cut-01")
    with pytest.raises(UnknownNameError, match="no bundle 'nowhere'"):
        served.repository.unload("nowhere")


async def test_bundle_that_clashes_with_a_cut_is_in_the_index_with_the_reason(
    served: Served, net_versions: list[Bundle], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    await served.repository.start()
    clashing = make_version(tmp_path / "b", 1, name="net.cut-01")
    await served.repository.reload()
    (said,) = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert said.startswith(f"net.cut-01: {clashing.path} is not served: it and ")
    assert served.states() == [("net", READY), ("net.cut-01", UNAVAILABLE)]
    assert "both offer a model" in served.repository.index()[1].reason


async def test_what_is_to_be_loaded_ahead_is_loaded_of_every_new_default(
    net_versions: list[Bundle], tmp_path: Path
) -> None:
    served = Served(tmp_path, preload=("cloud", "cut-02"))
    served.put(net_versions[0], "a")
    await served.repository.start()
    served.put(net_versions[1], "b")
    later_ns = (served.root / "a" / "bundle.json").stat().st_mtime_ns + 1
    os.utime(served.root / "b" / "bundle.json", ns=(later_ns, later_ns))
    await served.repository.reload()
    assert served.store.find("net").bundle.digest == net_versions[1].digest
    for model in ("net", "net.cut-02"):
        assert served.store.loaded(served.store.find(model)) is not None
    assert served.store.loaded(served.store.find("net.cut-01")) is None
