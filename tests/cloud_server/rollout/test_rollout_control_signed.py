"""Back to a lower signed release: what is warned of, what is offered anew, and why devices refuse."""

import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc.aio
import pytest

from cloud_server.server import CloudServer
from partitioner.bundle.bundle import Bundle
from partitioner.bundle.manifest import ROLLBACK_FILE
from protos import splitpoint_pb2 as sp
from protos.splitpoint_pb2_grpc import UpdatesStub
from protos.telemetry import DIGEST_SHOWN, VersionSeen
from tests.kit.signatures import Signer
from tests.kit.snapshots import snapshot
from tests.kit.versions import make_version

WATCH_S = 30.0


@pytest.fixture(scope="module")
def signer(tmp_path_factory: pytest.TempPathFactory) -> Signer:
    return Signer.new(tmp_path_factory.mktemp("keys"))


@pytest.fixture(scope="module")
def signed(tmp_path_factory: pytest.TempPathFactory, signer: Signer) -> Path:
    root = tmp_path_factory.mktemp("signed")
    for release in (1, 2):
        signer.sign(make_version(root / f"r{release}", release).path, release)
    return root


@pytest.fixture
def root(signed: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(signed, tmp_path / "bundles"))


@pytest.fixture
async def server(root: Path, signer: Signer) -> AsyncIterator[CloudServer]:
    async with CloudServer(root, watch=False, trusted_keys=signer.trusted) as server:
        yield server


@pytest.fixture
async def stub(server: CloudServer) -> AsyncIterator[Any]:
    async with grpc.aio.insecure_channel(server.address) as channel:
        yield UpdatesStub(channel)


async def steer(stub: Any, action: str, version: str = "") -> sp.Rollout:
    request = sp.SteerRolloutRequest(name="net", action=action, version=version, share=1.0)
    answer: sp.SteerRolloutResponse = await stub.SteerRollout(request, timeout=WATCH_S)
    return answer.rollout


async def test_back_warns_while_there_is_no_permission_and_says_how_to_make_one(
    server: CloudServer, stub: Any, root: Path, signer: Signer
) -> None:
    assert not (await steer(stub, "start", "2")).warning
    lower = (await steer(stub, "start", "1")).warning
    assert "devices that ran release 2 of net take release 1 with a signed permission" in lower
    assert "sign it again with a release above 2" in lower
    await steer(stub, "start", "2")
    warning = (await steer(stub, "back")).warning
    file = root / "r1" / ROLLBACK_FILE
    command = f"permit-rollback net --to-release 1 --from-release 2 --key FILE --out {file}"
    assert command in warning
    signer.permit(root / "r1", "net", 1, 2)
    await server.reload()
    (listed,) = (await stub.ListRollouts(sp.ListRolloutsRequest(), timeout=WATCH_S)).rollouts
    assert (listed.state, listed.warning) == ("back", "")


async def test_version_is_offered_anew_when_it_is_said_again_or_a_permission_comes(
    server: CloudServer, stub: Any, root: Path, signer: Signer
) -> None:
    await steer(stub, "start", "2")
    one, two = (Bundle.load(root / f"r{release}").version_digest for release in (1, 2))
    request = sp.WatchVersionRequest(edge="cam", name="net", version_digest=two)
    call = stub.WatchVersion(request, timeout=WATCH_S)
    assert (await call.read()).version_digest == two
    offers = []
    await steer(stub, "back")
    offers.append(await call.read())
    await steer(stub, "back")
    offers.append(await call.read())
    signer.permit(root / "r1", "net", 1, 2)
    await server.reload()
    server.rollouts.book.wake()
    offers.append(await call.read())
    call.cancel()
    assert {offer.version_digest for offer in offers} == {one}
    assert len({offer.mark for offer in offers}) == 3
    assert [ROLLBACK_FILE in offer.documents for offer in offers] == [False, False, True]


async def test_status_tells_for_which_reasons_devices_refuse(
    server: CloudServer, stub: Any, root: Path
) -> None:
    await steer(stub, "start", "2")
    one, two = (Bundle.load(root / f"r{release}").version_digest for release in (1, 2))
    why = "it goes back with a signed permission alone"
    seen = VersionSeen(
        digest=two[:DIGEST_SHOWN], frames=1, fallbacks=0, faults=0,
        phase="refused", offered=one[:DIGEST_SHOWN], reason=why,
    )  # fmt: skip
    for edge in ("a", "b"):
        document = snapshot(edge=edge, bundle="net", version=seen.model_dump())
        await server.edges.take([document])
    _, before = (
        (await stub.ListRollouts(sp.ListRolloutsRequest(), timeout=WATCH_S)).rollouts[0].uses
    )
    assert (before.refused, list(before.reasons)) == (2, [why])
