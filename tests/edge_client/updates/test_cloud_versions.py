"""What the cloud offers, over a stream that breaks; and servers that know nothing of updates."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import grpc
import grpc.aio
import pytest

from edge_client.cloud.servers import parse_servers
from edge_client.cloud.transport import GrpcTransport
from edge_client.updates.cloud_versions import CloudVersions
from protos import splitpoint_pb2 as sp
from protos.errors import MismatchError
from protos.serving.handlers import answers

DIGEST = "b" * 64


class EndOfTestError(Exception):
    """Enough was waited for."""


class Waits:
    """Keeps what is waited for, without waiting, and ends the test after some."""

    def __init__(self, count: int) -> None:
        self.seconds: list[float] = []
        self._count = count

    async def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)
        if len(self.seconds) >= self._count:
            raise EndOfTestError


@pytest.fixture
async def server() -> AsyncIterator[Any]:
    """A server of gRPC that knows nothing yet; it has the address as `address`."""
    made: Any = grpc.aio.server()
    made.address = f"127.0.0.1:{made.add_insecure_port('127.0.0.1:0')}"
    yield made
    await made.stop(None)


def serve(server: Any, watch: Any) -> None:
    """Have the server answer to WatchVersion."""
    handler = answers(watch, sp.WatchVersionRequest, sp.WatchVersionResponse)
    service = grpc.method_handlers_generic_handler(
        "splitpoint.v1.Updates", {"WatchVersion": handler}
    )
    server.add_generic_rpc_handlers((service,))


async def offered(address: str, waits: Waits, running: str = "a" * 64) -> list[str | None]:
    transport = GrpcTransport(address)
    versions = CloudVersions(transport, "camera-1", "net", lambda: running, waits)
    found: list[str | None] = []
    try:
        async with aclosing(versions.offers()) as coming:  # type: ignore[type-var]
            async for offer in coming:
                found.append(None if offer is None else offer.version_digest)
    except EndOfTestError:
        return found
    finally:
        await transport.end()
    raise AssertionError("it ended by itself.")


async def test_server_that_knows_no_updates_is_asked_again_after_long_and_quietly(
    server: Any, caplog: pytest.LogCaptureFixture
) -> None:
    await server.start()
    waits = Waits(1)
    assert await offered(server.address, waits) == []
    assert 300 <= waits.seconds[0] <= 600
    assert not [record for record in caplog.records if record.name.startswith("edge_client")]


async def test_server_that_is_away_is_asked_less_and_less_often(nobody: str) -> None:
    waits = Waits(8)
    assert await offered(nobody, waits) == []
    for expected_s, seconds in zip((1, 2, 4, 8, 16, 32, 60, 60), waits.seconds, strict=True):
        assert expected_s / 2 <= seconds <= expected_s


async def test_server_that_takes_anothers_place_is_asked_at_once(nobody: str, server: Any) -> None:
    async def watch(_request: sp.WatchVersionRequest) -> AsyncIterator[sp.WatchVersionResponse]:
        yield sp.WatchVersionResponse(version_digest=DIGEST)

    serve(server, watch)
    await server.start()
    transport = GrpcTransport(parse_servers(f"{nobody},{server.address}"))
    waiting = asyncio.Event()

    async def for_ever(_seconds: float) -> None:
        waiting.set()
        await asyncio.Event().wait()

    versions = CloudVersions(transport, "camera-1", "net", lambda: "", for_ever)
    async with aclosing(versions.offers()) as coming:  # type: ignore[type-var]
        first = asyncio.ensure_future(anext(coming))
        await waiting.wait()
        await transport.switch_to(transport.servers.after(transport.endpoint, 0.0))
        assert (offer := await first) is not None
        assert offer.version_digest == DIGEST
    await transport.end()


async def test_stream_that_ends_is_opened_again_with_what_runs_then(server: Any) -> None:
    asked: list[sp.WatchVersionRequest] = []

    async def watch(request: sp.WatchVersionRequest) -> AsyncIterator[sp.WatchVersionResponse]:
        asked.append(request)
        yield sp.WatchVersionResponse()
        yield sp.WatchVersionResponse(version_digest=DIGEST)

    serve(server, watch)
    await server.start()
    waits = Waits(2)
    assert await offered(server.address, waits, running="c" * 64) == [None, DIGEST] * 2
    assert {(one.edge, one.name, one.version_digest) for one in asked} == {
        ("camera-1", "net", "c" * 64)
    }
    assert max(waits.seconds) <= 1.0


async def test_part_that_the_server_lacks_says_so_in_its_words_and_refuses_no_version(
    residual_address: str,
) -> None:
    transport = GrpcTransport(residual_address)
    versions = CloudVersions(transport, "camera-1", "net", lambda: "")
    with pytest.raises(MismatchError, match="net"):
        await versions.fetch(DIGEST, "bundle.json", 0, 100)
    await transport.end()
