"""A few edges through an upgrade, a bad upgrade and a restart of the cloud: no frame lost, none a mixture."""

import asyncio
import shutil
from collections import Counter
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cloud_server.rollout.rollout import RolloutState, position
from cloud_server.server import CloudServer
from edge_client.client.async_client import AsyncEdgeClient
from edge_client.frames.result import ServedBy
from edge_client.telemetry.observer import Observer
from edge_client.updates.updater import Phase
from partitioner.bundle.bundle import Bundle
from tests.kit.frames import frames, whole
from tests.kit.sockets import free_port
from tests.kit.versions import make_version, spoil_tail

CUT = "cut-02"
_PATIENCE_S = 60.0


class Fleet:
    """Edges that infer the same frame again and again; every answer is held against its version's."""

    def __init__(self, clients: dict[str, AsyncEdgeClient], *versions: Bundle) -> None:
        self.clients = clients
        self.by_digest = {bundle.version_digest: bundle for bundle in versions}
        (self.inputs,) = frames(versions[0], 1)
        self.wanted = {
            digest: whole(bundle, self.inputs) for digest, bundle in self.by_digest.items()
        }
        self.served: Counter[ServedBy] = Counter()
        self.numbers = dict.fromkeys(clients, 0)

    async def until(self, done: Callable[[], bool]) -> None:
        """Let all edges serve frames until something is so."""
        async with asyncio.timeout(_PATIENCE_S):
            while not done():
                await asyncio.gather(*(self._infer(name) for name in self.clients))

    async def _infer(self, name: str) -> None:
        result = await self.clients[name].infer(self.inputs)
        assert (result.error, result.frame) == (None, self.numbers[name])
        self.numbers[name] += 1
        self.served[result.served_by] += 1
        for output, array in self.wanted[result.version_digest].items():
            np.testing.assert_allclose(result.outputs[output], array, rtol=1e-3, atol=1e-4)

    def runs(self, bundle: Bundle) -> set[str]:
        """The edges that run a version."""
        digest = bundle.version_digest
        return {
            name
            for name, client in self.clients.items()
            if client.bundle.version_digest == digest and client.update_state.phase is Phase.IDLE
        }

    async def report(self) -> None:
        for name, client in self.clients.items():
            await client.report([Observer(client, name).snapshot().model_dump_json()])


def edge(name: str, folder: Path, bundle: Bundle, address: str, **options: Any) -> AsyncEdgeClient:
    shutil.copytree(bundle.path, folder / name, dirs_exist_ok=True)
    return AsyncEdgeClient(
        address, folder / name, CUT, updates="auto", update_trial=5, edge_name=name, **options
    )


@pytest.fixture(scope="module")
def versions(tmp_path_factory: pytest.TempPathFactory) -> tuple[Bundle, Bundle, Bundle]:
    """Two good versions, and one whose tail is not its own."""
    folder = tmp_path_factory.mktemp("versions")
    one, two = make_version(folder / "1", 0), make_version(folder / "2", 1)
    return one, two, spoil_tail(make_version(folder / "3", 2), CUT, one)


async def test_fleet_goes_through_upgrade_bad_upgrade_and_restart_without_a_lost_or_mixed_frame(
    versions: tuple[Bundle, Bundle, Bundle], tmp_path: Path
) -> None:
    one, two, bad = versions
    for number, bundle in enumerate(versions):
        shutil.copytree(bundle.path, tmp_path / "bundles" / str(number))
    address = f"127.0.0.1:{free_port()}"
    names = ["camera-1", "camera-2", "camera-3", "camera-4"]
    first = min(names, key=lambda name: position(name, two.version_digest))
    share = position(first, two.version_digest) + 1e-9
    options: dict[str, Any] = {"bundles": tmp_path / "bundles", "listen": address}
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(CloudServer(**options))
        clients = {
            name: await stack.enter_async_context(edge(name, tmp_path, one, address))
            for name in names
        }
        fleet = Fleet(clients, one, two, bad)

        server.rollouts.start("net", two.version_digest, share)
        await fleet.until(lambda: bool(fleet.runs(two)))
        assert fleet.runs(two) == {first}
        assert fleet.runs(one) == set(names) - {first}

        await server.stop(1.0)
        async with asyncio.timeout(_PATIENCE_S):
            await fleet.until(lambda: fleet.served[ServedBy.EDGE] >= 4 * len(names))
        server = await stack.enter_async_context(CloudServer(**options))
        assert server.rollouts.book.find("net").share == share
        server.rollouts.book.share("net", 1.0)
        await fleet.until(lambda: fleet.runs(two) == set(names))

        server.rollouts.start("net", bad.version_digest, 1.0)
        await fleet.until(
            lambda: all(one.update_state.phase is Phase.REFUSED for one in clients.values())
        )
        await fleet.report()
        rollout = server.rollouts.book.find("net")
        assert rollout.state is RolloutState.BACK
        assert "have refused it" in rollout.reason
        assert {client.bundle.version_digest for client in clients.values()} == {two.version_digest}
        assert fleet.served[ServedBy.NONE] == 0


async def test_device_that_starts_beside_a_server_without_its_version_serves_alone_until_it_has_another(
    versions: tuple[Bundle, Bundle, Bundle], tmp_path: Path
) -> None:
    one, two, _ = versions
    async with CloudServer(bundles=two.path) as server:
        async with edge("camera-1", tmp_path, one, server.address) as client:
            fleet = Fleet({"camera-1": client}, one, two)
            await fleet.until(lambda: fleet.served[ServedBy.CLOUD] > 0)
            assert fleet.served[ServedBy.EDGE] > 0
            assert client.bundle.version_digest == two.version_digest
        assert Bundle.load(tmp_path / "camera-1").version_digest in (
            one.version_digest,  # unless its trial was over
            two.version_digest,
        )
