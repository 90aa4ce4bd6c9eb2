"""The service of updates: who is told what, at once and when it changes, and files in parts."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest

from cloud_server.security.guarded_models import OpenAccess
from cloud_server.server import CloudServer
from partitioner.bundle.bundle import Bundle
from partitioner.bundle.contents import Contents
from partitioner.bundle.manifest import MANIFEST_FILE, WEIGHTS_FILE
from protos import splitpoint_pb2 as sp
from protos.splitpoint_pb2_grpc import UpdatesStub
from tests.kit.versions import make_version

WATCH_S = 30.0


@pytest.fixture(scope="module")
def versions(tmp_path_factory: pytest.TempPathFactory) -> tuple[Bundle, Bundle]:
    folder = tmp_path_factory.mktemp("bundles")
    return make_version(folder / "1", 0), make_version(folder / "2", 1)


@pytest.fixture
async def server(versions: tuple[Bundle, Bundle], tmp_path: Path) -> AsyncIterator[CloudServer]:
    root = versions[0].path.parent
    async with CloudServer(bundles=root, rollouts=tmp_path / "rollouts.json") as server:
        yield server


@pytest.fixture
async def stub(server: CloudServer) -> AsyncIterator[Any]:
    async with grpc.aio.insecure_channel(server.address) as channel:
        yield UpdatesStub(channel)


def watch(stub: Any, running: str, edge: str = "one") -> Any:
    request = sp.WatchVersionRequest(edge=edge, name="net", version_digest=running)
    return stub.WatchVersion(request, timeout=WATCH_S)


async def test_device_whose_version_is_there_goes_on_until_another_is_rolled_out_to_it(
    server: CloudServer, stub: Any, versions: tuple[Bundle, Bundle]
) -> None:
    one, two = versions
    call = watch(stub, one.version_digest)
    assert (await call.read()).version_digest == ""
    server.rollouts.start("net", two.version_digest, 1.0)
    told = await call.read()
    assert (told.version_digest, told.bundle_digest) == (two.version_digest, two.digest)
    assert "rolled out to 100%" in told.reason
    server.rollouts.steer("net", "hold", "", 0.0)
    assert (await call.read()).version_digest == ""
    server.rollouts.steer("net", "resume", "", 0.0)
    assert (await call.read()).version_digest == two.version_digest
    server.rollouts.steer("net", "back", "", 0.0)
    assert (await call.read()).version_digest == one.version_digest
    call.cancel()


async def test_device_whose_version_is_gone_is_told_of_one_that_is_there(
    stub: Any, versions: tuple[Bundle, Bundle]
) -> None:
    call = watch(stub, "f" * 64)
    told = await call.read()
    assert told.version_digest in {one.version_digest for one in versions}
    assert told.reason == "the server does not have the version that ran"
    call.cancel()


async def look_again(server: CloudServer) -> None:
    """Let the watch that is open look at the roll-outs once more."""
    book = server.rollouts.book
    book.wake()
    for _ in range(10_000):
        await asyncio.sleep(0)
        if book._changed._waiters:
            return
    raise AssertionError("no watch looked")


async def test_device_on_its_way_to_a_version_is_not_told_to_stay(
    server: CloudServer, stub: Any, versions: tuple[Bundle, Bundle]
) -> None:
    """What it fetches may take long: it is not told to go on with what it has, which is gone."""
    one, two = versions
    call = watch(stub, "f" * 64)
    first = (await call.read()).version_digest
    (other,) = {one.version_digest, two.version_digest} - {first}
    await look_again(server)
    server.rollouts.start("net", other, 0.0)
    server.rollouts.steer("net", "hold", "", 0.0)  # not for who has nothing else
    await look_again(server)
    server.rollouts.steer("net", "resume", "", 0.0)
    server.rollouts.steer("net", "share", "", 1.0)
    assert (await call.read()).version_digest == other
    call.cancel()


async def test_device_that_goes_back_is_not_told_to_stay_on_its_way(
    server: CloudServer, stub: Any, versions: tuple[Bundle, Bundle]
) -> None:
    one, two = versions
    server.rollouts.start("net", two.version_digest, 1.0)
    server.rollouts.steer("net", "back", "", 0.0)
    call = watch(stub, two.version_digest)
    assert (await call.read()).version_digest == one.version_digest
    await look_again(server)
    server.rollouts.steer("net", "resume", "", 0.0)
    assert (await call.read()).version_digest == two.version_digest
    call.cancel()


async def test_drain_ends_the_watch(server: CloudServer, stub: Any) -> None:
    call = watch(stub, "f" * 64)
    await call.read()
    await server.stop(WATCH_S)
    assert await call.read() is grpc.aio.EOF


async def test_every_byte_of_a_part_is_paced(
    stub: Any, versions: tuple[Bundle, Bundle], monkeypatch: pytest.MonkeyPatch
) -> None:
    paced = []

    async def pace(_access: OpenAccess, size_bytes: int) -> None:
        paced.append(size_bytes)

    monkeypatch.setattr(OpenAccess, "pace", pace)
    digest = versions[0].version_digest
    request = sp.FetchPartRequest(name="net", version_digest=digest, path=WEIGHTS_FILE)
    part = await stub.FetchPart(request)
    assert paced == [len(part.chunk)]
    assert part.chunk


async def test_part_that_has_to_wait_is_not_read_before(
    stub: Any, versions: tuple[Bundle, Bundle], monkeypatch: pytest.MonkeyPatch
) -> None:
    events, read_part = list[str](), Contents.read_part

    async def pace(_access: OpenAccess, _size_bytes: int) -> None:
        events.append("paced")

    def read(contents: Contents, name: str, offset: int, size_bytes: int) -> bytes:
        events.append("read")
        return read_part(contents, name, offset, size_bytes)

    monkeypatch.setattr(OpenAccess, "pace", pace)
    monkeypatch.setattr(Contents, "read_part", read)
    digest = versions[0].version_digest
    await stub.FetchPart(sp.FetchPartRequest(name="net", version_digest=digest, path=WEIGHTS_FILE))
    assert events == ["paced", "read"]


async def test_parts_of_a_file_are_the_file(stub: Any, versions: tuple[Bundle, Bundle]) -> None:
    _, two = versions
    for path in (WEIGHTS_FILE, MANIFEST_FILE):
        content = (two.path / path).read_bytes()
        found = b""
        while len(found) < len(content):
            part = await stub.FetchPart(
                sp.FetchPartRequest(
                    name="net", version_digest=two.version_digest, path=path,
                    offset=len(found), most_bytes=10_000,
                )
            )  # fmt: skip
            assert 0 < len(part.chunk) <= 10_000
            assert part.file_bytes == len(content)
            found += part.chunk
        assert found == content


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"path": "../bundle.json"}, grpc.StatusCode.NOT_FOUND),
        ({"path": "profiles/edge.json"}, grpc.StatusCode.NOT_FOUND),
        ({"offset": 1 << 40}, grpc.StatusCode.INVALID_ARGUMENT),
        ({"version_digest": "0" * 64}, grpc.StatusCode.NOT_FOUND),
        ({"version_digest": ""}, grpc.StatusCode.INVALID_ARGUMENT),
        ({"name": "other"}, grpc.StatusCode.NOT_FOUND),
    ],
)
async def test_part_of_what_is_not_there_is_refused(
    stub: Any, versions: tuple[Bundle, Bundle], change: dict[str, Any], code: grpc.StatusCode
) -> None:
    asked = {"name": "net", "version_digest": versions[1].version_digest, "path": WEIGHTS_FILE}
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await stub.FetchPart(sp.FetchPartRequest(**{**asked, **change}))
    assert refused.value.code() is code


async def test_roll_outs_are_steered_and_listed(stub: Any, versions: tuple[Bundle, Bundle]) -> None:
    one, two = versions
    asked = sp.SteerRolloutRequest(
        name="net", action="start", version=two.version_digest[:12], share=0.1
    )
    made = (await stub.SteerRollout(asked)).rollout
    assert (made.version_digest, made.before_digest) == (two.version_digest, one.version_digest)
    (listed,) = (await stub.ListRollouts(sp.ListRolloutsRequest())).rollouts
    assert listed == made
    for wrong in ({"action": "stop"}, {"share": 1.5}, {"version": "7"}, {"name": "other"}):
        request = sp.SteerRolloutRequest()
        request.CopyFrom(asked)
        for field, value in wrong.items():
            setattr(request, field, value)
        with pytest.raises(grpc.aio.AioRpcError):
            await stub.SteerRollout(request)
    (listed,) = (await stub.ListRollouts(sp.ListRolloutsRequest())).rollouts
    assert listed == made


async def test_only_version_is_not_rolled_out_as_nothing_could_be_gone_back_to(
    versions: tuple[Bundle, Bundle], tmp_path: Path
) -> None:
    shutil.copytree(versions[0].path, tmp_path / "bundles" / "1")
    request = sp.SteerRolloutRequest(name="net", action="start", share=1.0)
    async with (
        CloudServer(bundles=tmp_path / "bundles") as server,
        grpc.aio.insecure_channel(server.address) as channel,
    ):
        with pytest.raises(grpc.aio.AioRpcError, match="only version"):
            await UpdatesStub(channel).SteerRollout(request)
