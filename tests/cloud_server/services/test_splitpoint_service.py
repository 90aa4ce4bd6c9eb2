"""The service splitpoint.v1: bundles, profiles and probing."""

import asyncio
import itertools
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

import partitioner.profiles.profiler
from cloud_server.engine_options import available_cores
from cloud_server.security.guarded_models import OpenAccess
from cloud_server.server import CloudServer
from cloud_server.services.splitpoint_service import SERVICE, probe_handlers
from edge_client.cloud.greeting import greet
from partitioner.bundle.bundle import Bundle
from partitioner.profiles.profile import Profile
from partitioner.profiles.remote import measure_remote_profile
from protos import splitpoint_pb2 as sp
from protos.errors import MeasuringError, MismatchError, UnknownNameError
from protos.rpc.endpoints import Endpoint
from protos.rpc.status import error_from
from tests.kit.cloud_calls import TIMEOUT_S, connected, refused, splitpoint_stub
from tests.kit.observations import families
from tests.kit.rest_calls import rest_client


@pytest.fixture(scope="module")
def stub(residual_bundle: Bundle) -> Iterator[Any]:
    server = CloudServer(residual_bundle.path, max_message_bytes=1 << 20, workers=3)
    with server, connected(server.address) as channel:
        yield splitpoint_stub(channel)


def write_chunks(folder: Path, chunks: Any) -> list[str]:
    """Write a fetched bundle; return its files in the order of their arrival."""
    order: list[str] = []
    for chunk in chunks:
        path = folder / chunk.path
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as file:
            file.write(chunk.chunk)
        if chunk.path not in order:
            order.append(chunk.path)
        assert len(chunk.chunk) <= 1 << 20
        assert path.stat().st_size <= chunk.size_bytes
    return order


def test_server_tells_its_limits(stub: Any) -> None:
    info = stub.GetServerInfo(sp.GetServerInfoRequest(), timeout=TIMEOUT_S)
    assert (info.max_message_bytes, info.workers) == (1 << 20, 3)
    assert info.version


def test_bundles_are_listed_with_their_digest_and_cuts(residual_bundle: Bundle, stub: Any) -> None:
    (entry,) = stub.ListBundles(sp.ListBundlesRequest(), timeout=TIMEOUT_S).bundles
    assert (entry.name, entry.digest) == (residual_bundle.name, residual_bundle.digest)
    assert entry.size_bytes == residual_bundle.size_bytes
    assert list(entry.cuts) == list(residual_bundle.cuts)


def test_fetched_bundle_is_the_same_bundle_and_its_manifest_comes_last(
    residual_bundle: Bundle, stub: Any, tmp_path: Path
) -> None:
    order = write_chunks(tmp_path, stub.FetchBundle(sp.FetchBundleRequest(name="residual")))
    assert order == [*residual_bundle.manifest.files, "bundle.json"]
    assert Bundle.load(tmp_path).digest == residual_bundle.digest


def test_files_that_the_manifest_does_not_name_stay_on_the_server(
    bundles: Callable[[str], Bundle], stub: Any, tmp_path: Path, residual_bundle: Bundle
) -> None:
    private = residual_bundle.path / "private.txt"
    private.write_text("not yours")
    try:
        order = write_chunks(tmp_path, stub.FetchBundle(sp.FetchBundleRequest(name="residual")))
    finally:
        private.unlink()
    assert "private.txt" not in order


def test_file_that_is_written_to_under_the_server_ends_the_download_before_its_manifest(
    residual_bundle: Bundle, tmp_path: Path
) -> None:
    copy = shutil.copytree(residual_bundle.path, tmp_path / "copy")
    with CloudServer(copy) as server, connected(server.address) as channel:
        (copy / "graphs" / "weights.bin").write_bytes(b"")
        call = splitpoint_stub(channel).FetchBundle(sp.FetchBundleRequest(name="residual"))
        code, sentence = refused(lambda: write_chunks(tmp_path / "fetched", call))
    assert code == "DATA_LOSS"
    assert "weights.bin of copy was written to since the bundle was loaded" in sentence
    assert not (tmp_path / "fetched" / "bundle.json").exists()


def test_bundle_that_is_gone_from_the_disk_is_sent_as_it_was(
    residual_bundle: Bundle, tmp_path: Path
) -> None:
    copy = shutil.copytree(residual_bundle.path, tmp_path / "copy")
    with CloudServer(copy) as server, connected(server.address) as channel:
        shutil.rmtree(copy)
        call = splitpoint_stub(channel).FetchBundle(sp.FetchBundleRequest(name="residual"))
        write_chunks(tmp_path / "fetched", call)
    assert Bundle.load(tmp_path / "fetched").digest == residual_bundle.digest


@pytest.mark.parametrize("name", ["resnet", "../residual", ""])
def test_unknown_bundle_is_not_found(stub: Any, name: str) -> None:
    code, sentence = refused(lambda: list(stub.FetchBundle(sp.FetchBundleRequest(name=name))))
    assert code == "NOT_FOUND"
    assert "It has: residual" in sentence


@pytest.mark.parametrize(("asked", "given"), [(0, 0), (1000, 1000), (1 << 31, (1 << 20) - 64)])
def test_probe_answers_with_as_many_bytes_as_asked_up_to_the_limit(
    stub: Any, asked: int, given: int
) -> None:
    answer = stub.Probe(sp.ProbeRequest(payload=b"x" * 5000, reply_bytes=asked), timeout=TIMEOUT_S)
    assert len(answer.payload) == given
    assert 0 < answer.server_ns < TIMEOUT_S * 1e9


@pytest.mark.slow
def test_server_measures_a_profile_and_tells_how_far_it_is(
    residual_bundle: Bundle, stub: Any
) -> None:
    request = sp.MeasureProfileRequest(
        name="residual", bundle_digest=residual_bundle.digest, budget_s=0.05
    )
    *steps, last = stub.MeasureProfile(request, timeout=TIMEOUT_S)
    assert all(step.stage and step.done <= step.total for step in steps)
    profile = Profile.model_validate_json(last.profile_json)
    assert profile.bundle_digest == residual_bundle.digest
    assert set(profile.cuts) == set(residual_bundle.cuts)


@pytest.mark.slow
def test_server_is_measured_with_the_threads_that_it_serves_with(residual_bundle: Bundle) -> None:
    threads = available_cores() + 1
    with CloudServer(residual_bundle.path, threads=threads) as server:
        profile = measure_remote_profile(server.address, residual_bundle, 0.05)
    assert profile.machine.threads == threads


@pytest.mark.parametrize(
    ("fields", "code", "sentence"),
    [
        ({"bundle_digest": "ab" * 32}, "FAILED_PRECONDITION", "Give both the same bundle"),
        ({"budget_s": -1.0}, "INVALID_ARGUMENT", "a budget of -1 s"),
        ({"budget_s": float("nan")}, "INVALID_ARGUMENT", "a budget of nan s"),
        ({"threads": 100_000}, "INVALID_ARGUMENT", "100,000 threads would need more"),
    ],
)
def test_wrong_measurement_is_refused(
    stub: Any, fields: dict[str, Any], code: str, sentence: str
) -> None:
    request = sp.MeasureProfileRequest(name="residual", **fields)
    found, text = refused(lambda: list(stub.MeasureProfile(request, timeout=TIMEOUT_S)))
    assert found == code
    assert sentence in text


class HeldMeasurement:
    """Stands in for `measure_profile`: reports one step each time it is let on, without end."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.let_on, self.ended = threading.Semaphore(0), threading.Event()
        monkeypatch.setattr(partitioner.profiles.profiler, "measure_profile", self)

    def __call__(
        self, *_: object, on_progress: Callable[[str, int, int], None], **__: object
    ) -> None:
        try:
            for step in itertools.count():
                on_progress("head", step, step + 1)
                if not self.let_on.acquire(timeout=TIMEOUT_S):
                    raise TimeoutError("never let on")
        finally:
            self.ended.set()

    def ends_when_let_on(self) -> bool:
        """It takes further steps until it hears that nobody waits."""
        for _ in range(1000 * TIMEOUT_S):
            self.let_on.release()
            if self.ended.wait(0.001):
                return True
        return False


def test_second_measurement_is_refused_and_a_cancelled_one_ends(
    stub: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = HeldMeasurement(monkeypatch)
    request = sp.MeasureProfileRequest(name="residual")
    first = stub.MeasureProfile(request, timeout=TIMEOUT_S)
    assert next(first).stage == "head"
    code, sentence = refused(lambda: list(stub.MeasureProfile(request, timeout=TIMEOUT_S)))
    assert (code, "measuring another profile" in sentence) == ("RESOURCE_EXHAUSTED", True)
    assert type(error_from(code, sentence)) is MeasuringError
    first.cancel()
    assert held.ends_when_let_on()


async def test_drain_ends_a_measurement(
    residual_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = HeldMeasurement(monkeypatch)
    server = CloudServer(residual_bundle.path)
    await server.start()
    async with grpc.aio.insecure_channel(server.address) as channel:
        call = splitpoint_stub(channel).MeasureProfile(sp.MeasureProfileRequest(name="residual"))
        assert (await call.read()).stage == "head"
        stopping = asyncio.create_task(server.stop(TIMEOUT_S))
        with pytest.raises(grpc.RpcError) as caught:
            await call.read()
        await stopping
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    assert held.ends_when_let_on()


def test_every_byte_of_a_download_is_paced(stub: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    paced = []

    async def pace(_access: OpenAccess, size_bytes: int) -> None:
        paced.append(size_bytes)

    monkeypatch.setattr(OpenAccess, "pace", pace)
    request = sp.FetchBundleRequest(name="residual")
    assert [len(one.chunk) for one in stub.FetchBundle(request, timeout=TIMEOUT_S)] == paced


async def test_probe_of_any_process_waits_for_what_its_device_may_download() -> None:
    """A replica answers probes by itself: a device must not download there as fast as it likes."""
    paced: list[int] = []

    class Paced(OpenAccess):
        async def pace(self, size_bytes: int) -> None:
            paced.append(size_bytes)

    server = grpc.aio.server()
    server.add_generic_rpc_handlers((probe_handlers(1 << 20, Paced()),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        probe = channel.unary_unary(
            f"/{SERVICE}/Probe", sp.ProbeRequest.SerializeToString, sp.ProbeResponse.FromString
        )
        answer = await probe(sp.ProbeRequest(payload=b"abc", reply_bytes=7), timeout=TIMEOUT_S)
    await server.stop(0)
    assert (len(answer.payload), paced) == (7, [10])


async def test_greetings_are_counted_by_what_edges_find_and_strangers_make_no_labels(
    net_versions: list[Bundle], residual_bundle: Bundle, caplog: pytest.LogCaptureFixture
) -> None:
    served, other, _ = net_versions
    async with CloudServer(served.path) as server, rest_client(server) as client:
        endpoint = Endpoint(server.address)
        async with grpc.aio.insecure_channel(server.address) as channel:
            await greet(channel, endpoint, served, TIMEOUT_S)
            for _ in range(2):
                with pytest.raises(MismatchError):
                    await greet(channel, endpoint, other, TIMEOUT_S)
            for _ in range(3):
                with pytest.raises(UnknownNameError):
                    await greet(channel, endpoint, residual_bundle, TIMEOUT_S)
        with connected(server.address) as listing:  # one that looks what there is holds nothing
            await asyncio.to_thread(splitpoint_stub(listing).ListBundles, sp.ListBundlesRequest())
        page = families((await client.get("/metrics")).text)
    assert page["splitpoint_greetings_total"] == {
        ("served",): 1,
        ("other_version",): 2,
        ("no_bundle",): 3,
    }
    assert f"an edge holds {other.digest[:12]} of net, which is not served here" in caplog.text
