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
from edge_client.updates.update_state import Phase
from partitioner.bundle.bundle import Bundle
from partitioner.bundle.manifest import MANIFEST_FILE
from partitioner.profiles.machine import machine_of
from partitioner.profiles.store import (
    CLOUD_PROFILE,
    EDGE_PROFILE,
    kept_profile,
    save_profile,
)
from partitioner.runtime.sessions import RuntimeOptions
from protos.errors import FileError
from tests.kit.frames import frames, whole
from tests.kit.profiles import profile_of
from tests.kit.signatures import Signer
from tests.kit.sockets import free_port
from tests.kit.version_offers import offer_of
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
        assert sum(one.devices for one in rollout.refusals) >= 2
        assert all(one.reason for one in rollout.refusals)
        assert {client.update_state.refusals for client in clients.values()} == {1}
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


async def test_policy_goes_on_with_a_plan_made_before_the_swap_and_with_the_link_as_it_was_learnt(
    versions: tuple[Bundle, Bundle, Bundle], tmp_path: Path
) -> None:
    one, two, _ = versions
    for number, bundle in enumerate((one, two)):
        shutil.copytree(bundle.path, tmp_path / "bundles" / str(number))
    shutil.copytree(one.path, tmp_path / "net")
    mine = Bundle.load(tmp_path / "net")
    for name, slowness in ((EDGE_PROFILE, 0.02), (CLOUD_PROFILE, 0.001)):
        machine = machine_of(RuntimeOptions())
        profile = profile_of(mine, slowness).model_copy(update={"machine": machine})
        save_profile(mine, name, profile)

    def measured(what: str, _done: int, _total: int) -> None:
        raise AssertionError(f"{what} was measured.")

    async with CloudServer(tmp_path / "bundles") as server:
        client = AsyncEdgeClient(
            server.address, mine, updates="auto", update_trial=5, link="50mbit,5ms",
            on_progress=measured,
        )  # fmt: skip
        async with client:
            fleet = Fleet({"one": client}, one, two)
            await fleet.until(lambda: client.link_is_measured)
            learned, moves = client.control.learned, client.switches
            server.rollouts.start("net", two.version_digest, 1.0)
            await fleet.until(lambda: fleet.runs(two) == {"one"})
            assert client.control.adapts
            assert client.control.learned is learned
            assert learned.has_seen_link
            assert client.switches >= moves
            assert client.version.control.bundle.version_digest == two.version_digest
            assert kept_profile(client.bundle, EDGE_PROFILE) is not None


async def test_device_that_wants_signatures_runs_signed_versions_alone_and_remembers_the_release(
    versions: tuple[Bundle, Bundle, Bundle], tmp_path: Path
) -> None:
    one, two, _ = versions
    signer = Signer.new(tmp_path / "keys")
    root = tmp_path / "bundles"
    signer.signed_copy(one, root / "1", release=1)
    signer.signed_copy(two, root / "2", release=2)
    other = Bundle.load(shutil.copytree(make_version(tmp_path / "3", 3).path, root / "3"))
    shutil.copytree(root / "1", tmp_path / "net")
    async with CloudServer(root) as server:
        client = AsyncEdgeClient(
            server.address, tmp_path / "net", CUT, updates="auto", update_trial=5,
            trusted_keys=signer.trusted, require_signature=True, state=tmp_path / "state",
        )  # fmt: skip
        async with client:
            fleet = Fleet({"one": client}, one, two, other)
            server.rollouts.start("net", other.version_digest, 1.0)
            await fleet.until(lambda: client.update_state.phase is Phase.REFUSED)
            assert "is not signed" in client.update_state.reason
            server.rollouts.start("net", two.version_digest, 1.0)
            await fleet.until(lambda: fleet.runs(two) == {"one"})
            book = client.options.device_trust.book
            assert book is not None
            assert book.highest() == {"net": 2}


async def test_version_that_was_damaged_on_the_shelf_is_fetched_again_and_not_refused(
    versions: tuple[Bundle, Bundle, Bundle], tmp_path: Path
) -> None:
    one, two, _ = versions
    async with edge("camera-1", tmp_path, one, "127.0.0.1:1") as client:
        assert client.keeper is not None
        shelf, load = client.keeper.shelf, client.keeper.load
        shutil.copytree(two.path, shelf.ready(two.version_digest))
        assert load(offer_of(two)).version_digest == two.version_digest
        for path in ("graph.json", MANIFEST_FILE):
            (shelf.ready(two.version_digest) / path).write_bytes(b"")
            with pytest.raises(FileError, match="damaged since"):
                load(offer_of(two))
            assert not shelf.is_ready(two.version_digest)
            shutil.copytree(two.path, shelf.ready(two.version_digest))


async def test_edge_whose_server_is_away_goes_to_the_version_of_the_one_that_is_there(
    versions: tuple[Bundle, Bundle, Bundle], tmp_path: Path
) -> None:
    one, two, _ = versions
    async with CloudServer(one.path) as server:
        address = f"127.0.0.1:{free_port()},{server.address}"
        async with edge("camera-1", tmp_path, two, address) as client:
            fleet = Fleet({"camera-1": client}, one, two)
            await fleet.until(lambda: fleet.runs(one) == {"camera-1"})
            await fleet.until(lambda: fleet.served[ServedBy.CLOUD] > 0)
