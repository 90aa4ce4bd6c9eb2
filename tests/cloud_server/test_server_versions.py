"""Versions that come and go while a server serves: everybody gets the version that he began with."""

import asyncio
import gc
import os
import shutil
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cloud_server.models.version import Version
from cloud_server.server import CloudServer
from edge_client.cloud.download import fetch_bundle
from partitioner.bundle.bundle import Bundle
from protos import splitpoint_pb2 as sp
from protos.errors import UnknownNameError
from protos.inference_pb2 import (
    ModelInferRequest,
    ModelMetadataRequest,
    RepositoryIndexRequest,
    RepositoryModelLoadRequest,
    RepositoryModelUnloadRequest,
)
from tests.kit.cloud_calls import (
    TIMEOUT_S,
    Gate,
    connected,
    crossing,
    oip_stub,
    outputs_of,
    refused,
    request_for,
    splitpoint_stub,
)
from tests.kit.waiting import until


@pytest.fixture
def root(net_versions: list[Bundle], tmp_path: Path) -> Path:
    """A folder with the versions 0 and 1, of which 1 was written last."""
    for position, bundle in enumerate(net_versions[:2]):
        put(bundle, tmp_path / f"net-{position}", position)
    return tmp_path


@pytest.fixture
def server(root: Path) -> Iterator[CloudServer]:
    with CloudServer(root) as server:
        yield server


def put(bundle: Bundle, folder: Path, position: int) -> None:
    shutil.copytree(bundle.path, folder)
    os.utime(folder / "bundle.json", ns=(position, position))


def reload(server: CloudServer) -> None:
    assert server._thread is not None
    server._thread.run(server.reload())


def asked(bundle: Bundle, cut: str = "cloud", *, digest: bool = True) -> ModelInferRequest:
    request = request_for(bundle, cut, crossing(bundle, cut))
    if not digest:
        del request.parameters["bundle_digest"]
    return request


def answered(server: CloudServer, request: ModelInferRequest) -> Any:
    with connected(server.address) as channel:
        return oip_stub(channel).ModelInfer(request, timeout=TIMEOUT_S)


def wanted(bundle: Bundle) -> np.ndarray:
    (found,) = bundle.open_tail("cloud").run(crossing(bundle, "cloud")).values()
    return found


def assert_is_of(answer: Any, bundle: Bundle) -> None:
    """The numbers are those of this version, and the answer says which it is."""
    (found,) = outputs_of(answer).values()
    np.testing.assert_allclose(found, wanted(bundle), rtol=1e-4, atol=1e-4)
    assert answer.model_version == Version(bundle).number


def test_versions_are_served_side_by_side(server: CloudServer, net_versions: list[Bundle]) -> None:
    old, new, unknown = net_versions
    for cut in ("cloud", "cut-01", "cut-03"):
        for bundle in (old, new):
            assert_is_of(answered(server, asked(bundle, cut)), bundle)
    assert_is_of(answered(server, asked(old, digest=False)), new)
    by_number = asked(old, digest=False)
    by_number.model_version = Version(old).number
    assert_is_of(answered(server, by_number), old)
    code, sentence = refused(lambda: answered(server, asked(unknown)))
    assert code == "FAILED_PRECONDITION"
    for digest in (unknown.digest, new.digest, old.digest):
        assert f"{digest[:12]}…" in sentence


def test_versions_are_listed_the_default_first(
    server: CloudServer, net_versions: list[Bundle]
) -> None:
    with connected(server.address) as channel:
        listed = splitpoint_stub(channel).ListBundles(sp.ListBundlesRequest()).bundles
        metadata = oip_stub(channel).ModelMetadata(ModelMetadataRequest(name="net.cut-01"))
    new, old = (Version(bundle) for bundle in net_versions[1::-1])
    assert [
        (one.name, one.digest, one.version, one.version_digest, one.is_default) for one in listed
    ] == [
        ("net", new.bundle.digest, new.number, new.digest, True),
        ("net", old.bundle.digest, old.number, old.digest, False),
    ]
    assert list(metadata.versions) == [new.number, old.number]


def test_each_version_can_be_fetched(
    server: CloudServer, net_versions: list[Bundle], tmp_path: Path
) -> None:
    old, new, unknown = net_versions
    address = server.address
    copies = tmp_path / "copies"
    assert fetch_bundle(address, "net", copies / "default").digest == new.digest
    for number, called in enumerate((Version(old).number, old.digest, old.version_digest)):
        assert (
            fetch_bundle(address, "net", copies / str(number), version=called).digest == old.digest
        )
    with pytest.raises(
        UnknownNameError, match=f"no version '{unknown.digest}'.*{old.digest[:12]}…"
    ):
        fetch_bundle(address, "net", copies / "no", version=unknown.digest)
    assert not (copies / "no").exists()


def test_profile_is_measured_of_the_version_that_the_edge_holds(
    server: CloudServer, net_versions: list[Bundle]
) -> None:
    with connected(server.address) as channel:
        stub = splitpoint_stub(channel)

        def measure(bundle: Bundle) -> list[Any]:
            request = sp.MeasureProfileRequest(
                name="net", bundle_digest=bundle.digest, budget_s=0.001
            )
            return list(stub.MeasureProfile(request, timeout=TIMEOUT_S))

        assert net_versions[0].digest in measure(net_versions[0])[-1].profile_json
        assert refused(lambda: measure(net_versions[2]))[0] == "FAILED_PRECONDITION"


def test_request_in_flight_ends_on_the_version_on_which_it_began(
    server: CloudServer, root: Path, net_versions: list[Bundle], monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = net_versions[:2]
    answered(server, asked(new))  # loaded
    gate = Gate(monkeypatch)
    with ThreadPoolExecutor(3) as callers:
        default, by_digest = (
            callers.submit(answered, server, request)
            for request in (asked(old, digest=False), asked(new, "cut-02"))
        )
        assert gate.entered.acquire(timeout=TIMEOUT_S)
        # The other one waits for its tail, or for a worker.
        until(lambda: len(server.store.sizes()) == 2)
        shutil.rmtree(root / "net-1")
        reload(server)
        assert refused(lambda: answered(server, asked(new)))[0] == "FAILED_PRECONDITION"
        gate.opened.set()
        assert_is_of(default.result(), new)
        assert_is_of(by_digest.result(), new)
    assert_is_of(answered(server, asked(old, digest=False)), old)


def test_request_whose_version_goes_while_its_tail_is_loaded_gets_its_answer(
    server: CloudServer, root: Path, net_versions: list[Bundle], monkeypatch: pytest.MonkeyPatch
) -> None:
    new, open_tail = net_versions[1], Bundle.open_tail

    def removed_meanwhile(bundle: Bundle, *arguments: Any) -> Any:
        if (root / "net-1").exists():
            shutil.rmtree(root / "net-1")
            assert server._thread is not None
            asyncio.run_coroutine_threadsafe(server.reload(), server._thread.loop).result()
        return open_tail(bundle, *arguments)

    monkeypatch.setattr(Bundle, "open_tail", removed_meanwhile)
    assert_is_of(answered(server, asked(new, "cut-01")), new)
    assert not server.store.sizes()
    assert refused(lambda: answered(server, asked(new)))[0] == "FAILED_PRECONDITION"


def test_sessions_and_files_of_a_version_go_with_it(
    server: CloudServer, root: Path, net_versions: list[Bundle]
) -> None:
    new = net_versions[1]
    for cut in ("cloud", "cut-01"):
        answered(server, asked(new, cut))
    store = server.store
    gone = [weakref.ref(store.loaded(store.find(name))) for name in ("net", "net.cut-01")]
    gone += [weakref.ref(store.versions["net"][0]), weakref.ref(store.find_bundle("net").contents)]
    assert all(one() is not None for one in gone)
    shutil.rmtree(root / "net-1")
    reload(server)
    until(lambda: gc.collect() >= 0 and not any(one() is not None for one in gone))


def test_unload_hides_and_load_brings_back(server: CloudServer, net_versions: list[Bundle]) -> None:
    with connected(server.address) as channel:
        stub = oip_stub(channel)
        stub.RepositoryModelUnload(RepositoryModelUnloadRequest(model_name="net"))
        code, sentence = refused(lambda: stub.ModelInfer(asked(net_versions[0])))
        assert (code, "net was unloaded" in sentence) == ("NOT_FOUND", True)
        index = stub.RepositoryIndex(RepositoryIndexRequest()).models
        assert {(one.name, one.state, one.reason) for one in index} == {
            ("net", "UNAVAILABLE", "unloaded")
        }
        assert not stub.RepositoryIndex(RepositoryIndexRequest(ready=True)).models
        stub.RepositoryModelLoad(RepositoryModelLoadRequest(model_name="net"))
        assert_is_of(stub.ModelInfer(asked(net_versions[0])), net_versions[0])


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (
            lambda stub: stub.RepositoryModelLoad(overriding("config")),
            "load with 'config' is refused",
        ),
        (lambda stub: stub.RepositoryModelLoad(overriding("file:1/m")), "'file:1/m' is refused"),
        (
            lambda stub: stub.RepositoryModelUnload(
                RepositoryModelUnloadRequest(model_name="net", repository_name="x")
            ),
            "one repository, and no 'x'",
        ),
        (
            lambda stub: stub.RepositoryModelUnload(
                RepositoryModelUnloadRequest(model_name="net.cut-01")
            ),
            "'net.cut-01' is a cut",
        ),
    ],
)
def test_what_the_repository_does_not_do_is_refused_in_clear_words(
    server: CloudServer, call: Callable[[Any], Any], sentence: str
) -> None:
    with connected(server.address) as channel:
        code, said = refused(lambda: call(oip_stub(channel)))
    assert code == "INVALID_ARGUMENT"
    assert sentence in said


def overriding(parameter: str) -> RepositoryModelLoadRequest:
    request = RepositoryModelLoadRequest(model_name="net")
    request.parameters[parameter].string_param = "{}"
    return request
