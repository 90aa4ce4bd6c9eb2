"""Updates of devices that run signed bundles alone: forward by signature, back by permission."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cloud_server.server import CloudServer
from edge_client.client.async_client import AsyncEdgeClient
from edge_client.updates.update_state import Phase
from partitioner.bundle.bundle import Bundle
from partitioner.runtime.sessions import random_feeds
from partitioner.signatures.release_book import ReleaseBook
from tests.kit.signatures import Signer
from tests.kit.versions import make_version

_PATIENCE_S = 60.0


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> tuple[Bundle, Bundle, Bundle]:
    folder = tmp_path_factory.mktemp("models")
    one, two, three = (make_version(folder / str(number), number) for number in range(3))
    return one, two, three


class Signed:
    """A server with versions of `net`, and a device that runs what `signer` has signed."""

    def __init__(self, folder: Path, models: tuple[Bundle, Bundle, Bundle]) -> None:
        self.signer = Signer.new(folder / "keys")
        self.root, self.state, self.device = folder / "bundles", folder / "state", folder / "device"
        for release, bundle in enumerate(models[:2], 1):
            self.signer.signed_copy(bundle, self.root / f"{release}", release)
        shutil.copytree(models[2].path, self.root / "3")
        shutil.copytree(self.root / "1", self.device)
        self.digests = [bundle.version_digest for bundle in models]

    @asynccontextmanager
    async def running(self, **options: Any) -> AsyncIterator[tuple[CloudServer, AsyncEdgeClient]]:
        async with (
            CloudServer(self.root) as server,
            AsyncEdgeClient(
                server.address,
                self.device,
                "cloud",
                updates="auto",
                update_trial=3,
                edge_name="camera",
                trusted_keys=self.signer.trusted,
                require_signature=True,
                state=self.state,
                **options,
            ) as client,
        ):
            yield server, client

    async def until(self, client: AsyncEdgeClient, done: Callable[[], bool]) -> None:
        feeds = random_feeds(client.bundle.inputs, np.random.default_rng(0))
        async with asyncio.timeout(_PATIENCE_S):
            while not done():
                assert (await client.infer(feeds)).error is None

    async def goes_to(self, server: CloudServer, client: AsyncEdgeClient, version: int) -> None:
        digest = self.digests[version - 1]
        server.rollouts.start("net", digest, 1.0)
        await self.until(
            client,
            lambda: (
                (client.bundle.version_digest, client.update_state.phase) == (digest, Phase.IDLE)
            ),
        )

    async def refuses(self, server: CloudServer, client: AsyncEdgeClient, version: int) -> str:
        server.rollouts.start("net", self.digests[version - 1], 1.0)
        await self.until(client, lambda: client.update_state.phase is Phase.REFUSED)
        assert client.bundle.version_digest != self.digests[version - 1]
        return client.update_state.reason

    @property
    def highest(self) -> int:
        return ReleaseBook(self.state).highest().get("net", 0)


@pytest.fixture
def fleet(models: tuple[Bundle, Bundle, Bundle], tmp_path: Path) -> Signed:
    return Signed(tmp_path, models)


async def test_device_goes_on_to_a_signed_release_and_remembers_it_once_it_is_kept(
    fleet: Signed,
) -> None:
    async with fleet.running() as (server, client):
        assert fleet.highest == 1
        await fleet.goes_to(server, client, 2)
        assert fleet.highest == 2
    found = fleet.signer.trust.check(Bundle.load(fleet.device))
    assert found is not None
    assert found.release == 2


async def test_device_refuses_a_version_that_is_not_signed_and_goes_on(fleet: Signed) -> None:
    async with fleet.running() as (server, client):
        assert "is not signed, and a signature is required" in await fleet.refuses(
            server, client, 3
        )
        assert fleet.highest == 1


async def test_device_goes_back_to_an_older_release_with_permission_alone(fleet: Signed) -> None:
    async with fleet.running() as (server, client):
        await fleet.goes_to(server, client, 2)
        assert "has run release 2" in await fleet.refuses(server, client, 1)
        await fleet.goes_to(server, client, 2)  # what was refused is tried anew after another offer
    fleet.signer.permit(fleet.root / "1", "net", 1, 2)
    async with fleet.running() as (server, client):
        await fleet.goes_to(server, client, 1)
        assert fleet.highest == 2
    async with fleet.running() as (_, client):
        assert client.bundle.version_digest == fleet.digests[0]


async def test_version_that_was_tampered_with_on_the_shelf_is_not_run(
    fleet: Signed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its digests are in order: whoever changed it has changed the manifest, too."""
    async with fleet.running() as (server, client):
        shutil.rmtree(fleet.root / "2")
        shutil.copytree(fleet.root / "3", fleet.root / "2")
        shutil.copy(fleet.root / "1" / "signature.json", fleet.root / "2" / "signature.json")
        shutil.rmtree(fleet.root / "3")
        await server.reload()
        assert "was changed since" in await fleet.refuses(server, client, 3)
