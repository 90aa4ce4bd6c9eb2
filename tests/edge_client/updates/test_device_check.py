"""The check of a version on the device: a good one passes, one whose parts are not the whole does not."""

from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest

from cloud_server.server import CloudServer
from edge_client.cloud.transport import GrpcTransport
from edge_client.frames.choice import choose
from edge_client.frames.stages import Stages
from edge_client.updates.device_check import DeviceCheck
from partitioner.bundle.bundle import Bundle
from partitioner.bundle.head_export import export_heads
from partitioner.runtime.sessions import RuntimeOptions
from protos.errors import BundleError
from tests.kit.versions import make_version, spoil_tail

CUT = "cut-02"


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return make_version(tmp_path_factory.mktemp("good") / "net", 0)


@pytest.fixture(scope="module")
def bad(tmp_path_factory: pytest.TempPathFactory, good: Bundle) -> Bundle:
    """A version whose tail at one cut is another version's."""
    made = make_version(tmp_path_factory.mktemp("bad") / "net", 1)
    return spoil_tail(made, CUT, good)


@pytest.fixture(scope="module")
def address(good: Bundle, bad: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A cloud that has both."""
    root = tmp_path_factory.mktemp("bundles")
    (root / "good").symlink_to(good.path)
    (root / "bad").symlink_to(bad.path)
    with CloudServer(bundles=root) as server:
        yield server.address


async def check(bundle: Bundle, address: str | None, memory_bytes: int | None = None) -> None:
    transport = GrpcTransport(address) if address else None
    try:
        stages = Stages(bundle, RuntimeOptions(), memory_bytes)
        await DeviceCheck(stages, transport, count()).run(choose(bundle, CUT, None, "test"))
    finally:
        if transport is not None:
            await transport.end()


async def test_version_whose_parts_are_the_whole_passes_here_and_with_the_cloud(
    good: Bundle, address: str, tmp_path: Path
) -> None:
    await check(good, None)
    await check(good, address)
    await check(export_heads(good, tmp_path / "held", [CUT]), address)


async def test_whole_input_that_the_cloud_does_not_take_speaks_against_no_version(
    good: Bundle, address: str
) -> None:
    transport = GrpcTransport(address)
    transport.limit_requests(64)
    try:
        stages = Stages(good, RuntimeOptions())
        await DeviceCheck(stages, transport, count()).run(choose(good, CUT, None, "test"))
    finally:
        await transport.end()


async def test_version_whose_tail_is_anothers_is_found_out_here(bad: Bundle) -> None:
    with pytest.raises(BundleError, match=r"on this device, version .* is not the whole model"):
        await check(bad, None)


async def test_where_the_device_has_no_room_the_cloud_finds_it_out(
    bad: Bundle, address: str, tmp_path: Path
) -> None:
    with pytest.raises(BundleError, match="its tail in the cloud"):
        await check(bad, address, memory_bytes=64 << 20)
    with pytest.raises(BundleError, match="its tail in the cloud"):
        await check(export_heads(bad, tmp_path / "held", [CUT]), address)


async def test_answer_to_a_check_that_was_given_up_is_not_taken_for_the_next_ones(
    good: Bundle, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same cut of another version may be asked for next, over the same stream."""
    transport, asked = GrpcTransport(address), list[str]()
    call: Callable[..., object] = transport.call

    def noted(request_id: str, *arguments: object) -> object:
        asked.append(request_id)
        return call(request_id, *arguments)

    monkeypatch.setattr(transport, "call", noted)
    ids = count()
    try:
        for _ in range(2):
            stages = Stages(good, RuntimeOptions())
            await DeviceCheck(stages, transport, ids).run(choose(good, CUT, None, "test"))
    finally:
        await transport.end()
    assert len(set(asked)) == len(asked) == 4
    assert str(next(ids)) not in asked
