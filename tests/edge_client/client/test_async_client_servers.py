"""A client of two servers: one that is away, sick, full or of another version is left for the other."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import numpy as np
import pytest

from cloud_server.server import CloudServer
from edge_client.client import session
from edge_client.client.async_client import AsyncEdgeClient
from edge_client.cloud.absence import say_of_server
from edge_client.cloud.servers import ServerMove
from edge_client.frames.result import Result, ServedBy
from partitioner.bundle.bundle import Bundle
from partitioner.bundle.manifest import write_manifest
from partitioner.estimators.circuit_breaker import Circuit
from protos.errors import CalibrationError, MismatchError, UnreachableError
from tests.kit.clients import breaker_of, stop_watching
from tests.kit.cloud_calls import Gate
from tests.kit.fake_cloud import FakeCloud
from tests.kit.frames import frames, whole
from tests.kit.waiting import PATIENCE_S

CUT = "cut-03"


def client_of(bundle: Bundle, *servers: str, **options: object) -> AsyncEdgeClient:
    settings = {"timeout_s": 30.0, **options}
    return AsyncEdgeClient(",".join(servers), bundle, CUT, **settings)


async def frames_until(client: AsyncEdgeClient, holds: Callable[[Result], bool]) -> list[Result]:
    """Run frames until a result is what it should be; every one is right."""
    results: list[Result] = []
    async with asyncio.timeout(PATIENCE_S):
        while not results or not holds(results[-1]):
            (feeds,) = frames(client.bundle, 1, seed=len(results) % 7)
            result = await client.infer(feeds)
            for name, array in whole(client.bundle, feeds).items():
                np.testing.assert_allclose(result.outputs[name], array, rtol=1e-3, atol=1e-4)
            results.append(result)
            await asyncio.sleep(0.01)
    return results


def by_cloud(result: Result) -> bool:
    return result.served_by is ServedBy.CLOUD


@pytest.fixture
async def two(residual_bundle: Bundle) -> AsyncIterator[tuple[CloudServer, CloudServer]]:
    first, second = (CloudServer(residual_bundle.path, workers=1) for _ in range(2))
    async with first, second:
        yield first, second


async def test_server_that_stops_is_left_and_no_frame_is_lost(
    residual_bundle: Bundle, two: tuple[CloudServer, CloudServer]
) -> None:
    """A rolling restart: the first goes while frames come, comes back, and then the second goes."""
    first, second = two
    home = first.address
    async with client_of(residual_bundle, home, second.address) as client:
        moves: list[ServerMove] = []
        client.on_server.add(moves.append)
        assert (await frames_until(client, by_cloud))[-1].server == home
        assert client._transport is not None
        assert client._transport.address == home
        await first.stop(0.5)
        assert (await frames_until(client, by_cloud))[-1].server == second.address
        assert client.server_in_use == second.address
        (move,) = moves
        assert (move.before, move.after) == (home, second.address)
        assert say_of_server(move.error) == "is shutting down"
        async with CloudServer(residual_bundle.path, home, workers=1):
            await second.stop(0.5)
            await frames_until(client, by_cloud)
            assert client._transport.address == home


async def test_preferred_server_that_is_away_at_the_start_is_passed_over(
    residual_bundle: Bundle, residual_address: str
) -> None:
    async with client_of(residual_bundle, "127.0.0.1:1", residual_address, strict=True) as client:
        assert by_cloud((await frames_until(client, by_cloud))[0])


async def test_frames_do_not_wait_for_silent_servers_and_the_one_that_answers_in_the_end_is_used(
    residual_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "_ALONE_AFTER_S", 0.0)
    (feeds,) = frames(residual_bundle, 1)
    answers, tells = asyncio.Event(), FakeCloud.info

    async def late(cloud: FakeCloud, request: bytes, context: object) -> bytes:
        await answers.wait()
        return await tells(cloud, request, context)

    monkeypatch.setattr(FakeCloud, "info", late)
    async with FakeCloud(residual_bundle) as first, FakeCloud(residual_bundle) as second:
        async with client_of(residual_bundle, first.address, second.address) as client:
            result = await client.infer(feeds)
            assert (result.served_by, result.fallback) == (ServedBy.EDGE, "cloud unreachable")
            assert "no server has answered yet" in result.reason
            assert client.server is None
            answers.set()
            assert by_cloud((await frames_until(client, by_cloud))[-1])
        answers.clear()
        async with client_of(residual_bundle, first.address, second.address):
            pass  # who is closed while servers are silent looks no more


async def test_client_that_finds_none_says_what_the_preferred_one_said(
    residual_bundle: Bundle,
) -> None:
    with pytest.raises(UnreachableError, match="127.0.0.1:1"):
        async with client_of(residual_bundle, "127.0.0.1:1", "127.0.0.1:2", strict=True):
            pass


async def test_server_with_another_version_is_left_for_one_that_has_this(
    residual_bundle: Bundle, residual_address: str, tmp_path: Path
) -> None:
    shutil.copytree(residual_bundle.path, tmp_path / "net")
    other = residual_bundle.manifest.model_copy(update={"source": "another.onnx"})
    write_manifest(tmp_path / "net", other)
    async with (
        CloudServer(tmp_path / "net") as server,
        client_of(residual_bundle, server.address, residual_address) as client,
    ):
        results = await frames_until(client, by_cloud)
        assert len(results) == 1
        client._transport.servers.use(
            client._transport.servers.after(client._transport.endpoint, 0)
        )
        await client._transport.close()  # as if it had been swapped meanwhile
        results = await frames_until(client, by_cloud)
        assert isinstance(breaker_of(client).error, MismatchError | None)
        assert client._transport.address == residual_address


async def test_server_that_is_full_is_left_at_once_and_not_asked_before_its_time(
    residual_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate(monkeypatch)
    full = CloudServer(residual_bundle.path, workers=1, max_queue=1)
    async with full, CloudServer(residual_bundle.path, workers=1) as free:
        blocker = client_of(residual_bundle, full.address)
        async with blocker, client_of(residual_bundle, full.address, free.address) as client:
            (feeds,) = frames(residual_bundle, 1)
            held = [asyncio.create_task(blocker.infer(feeds)) for _ in range(2)]
            await asyncio.to_thread(gate.entered.acquire, timeout=30)
            asked = asyncio.create_task(client.infer(feeds))
            result = await asked
            assert result.served_by is ServedBy.EDGE
            gate.opened.set()
            await frames_until(client, by_cloud)
            assert client._transport is not None
            assert client._transport.address == free.address
            await asyncio.gather(*held)


async def test_server_in_use_is_the_one_that_is_greeted_again_and_probed(
    residual_bundle: Bundle, residual_address: str
) -> None:
    """The preferred one was away at the start: it is not asked how the cloud does."""
    async with client_of(residual_bundle, "127.0.0.1:1", residual_address) as client:
        watch = stop_watching(client)
        client.control.distrust(CalibrationError("another one."))
        await watch.tick()
        assert client.control.distrusts is None
        await watch._check_for_life()
        await watch._probe_link()
        assert breaker_of(client).circuit is Circuit.CLOSED


async def test_version_that_the_server_lacks_breaks_off_no_frame_of_the_one_in_use(
    residual_bundle: Bundle,
    two: tuple[CloudServer, CloudServer],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gate, (first, second) = Gate(monkeypatch), two
    shutil.copytree(residual_bundle.path, tmp_path / "net")
    other = residual_bundle.manifest.model_copy(update={"source": "another.onnx"})
    write_manifest(tmp_path / "net", other)
    async with client_of(residual_bundle, first.address, second.address) as client:
        (feeds,) = frames(residual_bundle, 1)
        asked = asyncio.create_task(client.infer(feeds))
        await asyncio.to_thread(gate.entered.acquire, timeout=30)
        with pytest.raises(MismatchError):
            await client.prepare_version(Bundle.load(tmp_path / "net"))
        gate.opened.set()
        assert by_cloud(await asked)
        assert client._transport is not None
        assert client._transport.address == first.address
