"""The forwarder: which methods it has, and that nothing is changed on the way."""

import tempfile
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import grpc
import pytest

from cloud_server.processes.forwarder import ANSWERED_HERE, Forwarder
from cloud_server.processes.private_calls import private_channel, private_server
from cloud_server.security.rules import RPC_RULES
from cloud_server.server import CloudServer
from partitioner.bundle.bundle import Bundle
from protos.serving.callers import CALLER
from protos.serving.message_guard import GuardedServer

LIMIT = 1 << 20
ASK = "/splitpoint.v1.Splitpoint/GetServerInfo"
FETCH = "/splitpoint.v1.Splitpoint/FetchBundle"
REFLECT = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"


class Front(grpc.GenericRpcHandler):  # type: ignore[misc]
    """Answers with what it was asked, who asks, and what else was said."""

    def __init__(self) -> None:
        self.seen: dict[str, str | bytes] = {}

    def service(self, details: Any) -> Any:
        return {
            ASK: grpc.unary_unary_rpc_method_handler(self.ask),
            FETCH: grpc.unary_stream_rpc_method_handler(self.fetch),
            REFLECT: grpc.stream_stream_rpc_method_handler(self.reflect),
        }.get(details.method)

    async def ask(self, data: bytes, context: Any) -> bytes:
        self.seen = dict(context.invocation_metadata())
        if data == b"refuse":
            trailers = (("grpc-retry-pushback-ms", "70"),)
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "full.", trailers)
        context.set_trailing_metadata((("note", "7"),))
        return data + b" of " + CALLER.get().encode()

    async def fetch(self, data: bytes, context: Any) -> AsyncIterator[bytes]:
        for number in range(3):
            yield data + str(number).encode()
        await context.abort(grpc.StatusCode.DATA_LOSS, "torn.")

    async def reflect(self, requests: AsyncIterator[bytes], _context: Any) -> AsyncIterator[bytes]:
        async for data in requests:
            yield data[::-1]


class Named(grpc.aio.ServerInterceptor):  # type: ignore[misc]
    """Lets everybody in as one device, as a gate does."""

    async def intercept_service(self, continuation: Any, details: Any) -> Any:
        CALLER.set("Kamera 7 ü")
        return await continuation(details)


@pytest.fixture
async def asked() -> AsyncIterator[tuple[grpc.aio.Channel, Front]]:
    """A channel to a server that forwards, and the front behind it."""
    with tempfile.TemporaryDirectory() as folder:
        socket, handlers = Path(folder) / "front", Front()
        front = private_server(socket, LIMIT)
        front.add_generic_rpc_handlers([handlers])
        server = grpc.aio.server(interceptors=[Named()])
        async with private_channel(socket, LIMIT) as to_front:
            server.add_generic_rpc_handlers([Forwarder(to_front)])
            port = server.add_insecure_port("127.0.0.1:0")
            await front.start()
            await server.start()
            async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
                yield channel, handlers
            await server.stop(None)
            await front.stop(None)


async def test_every_method_of_a_server_is_answered_here_or_forwarded_as_what_it_is(
    registered: dict[str, Any],
) -> None:
    async with private_channel(Path("nowhere"), LIMIT) as nowhere:
        forwarder = Forwarder(nowhere)
    for path, handler in registered.items():
        found = forwarder.service(SimpleNamespace(method=path))  # type: ignore[arg-type]
        if path in ANSWERED_HERE:
            assert found is None
            continue
        assert found is not None
        streams = (handler.request_streaming, handler.response_streaming)
        assert (found.request_streaming, found.response_streaming) == streams, path


@pytest.fixture
async def registered(monkeypatch: pytest.MonkeyPatch, residual_bundle: Bundle) -> dict[str, Any]:
    """The handlers of all methods that a cloud server registers, by path."""
    seen: list[grpc.GenericRpcHandler] = []
    add = GuardedServer.add_generic_rpc_handlers

    def noted(self: GuardedServer, handlers: Sequence[grpc.GenericRpcHandler]) -> None:
        seen.extend(handlers)
        add(self, handlers)

    monkeypatch.setattr(GuardedServer, "add_generic_rpc_handlers", noted)
    async with CloudServer(residual_bundle.path):
        pass
    found = {
        path: one.service(SimpleNamespace(method=path))  # type: ignore[arg-type]
        for path in RPC_RULES
        for one in seen
        if one.service(SimpleNamespace(method=path)) is not None  # type: ignore[arg-type]
    }
    assert len(found) > 20
    return found


async def test_answer_trailers_and_caller_pass_and_tokens_do_not(
    asked: tuple[grpc.aio.Channel, Front],
) -> None:
    channel, front = asked
    said = (
        ("authorization", "Bearer secret"),
        ("x-trace", "9"),
        ("splitpoint-caller-bin", b"admin"),
    )
    call = channel.unary_unary(ASK)(b"\xff\x00bytes", metadata=said, timeout=30)
    assert await call == b"\xff\x00bytes of " + "Kamera 7 ü".encode()
    assert dict(await call.trailing_metadata())["note"] == "7"
    assert front.seen["x-trace"] == "9"
    assert "authorization" not in front.seen
    assert front.seen["splitpoint-caller-bin"] == "Kamera 7 ü".encode()


async def test_refusal_keeps_its_status_sentence_and_time(
    asked: tuple[grpc.aio.Channel, Front],
) -> None:
    channel, _ = asked
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await channel.unary_unary(ASK)(b"refuse", timeout=30)
    assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert caught.value.details() == "full."
    assert dict(caught.value.trailing_metadata() or ())["grpc-retry-pushback-ms"] == "70"


async def test_streams_pass_answer_by_answer_and_end_as_the_front_ends_them(
    asked: tuple[grpc.aio.Channel, Front],
) -> None:
    channel, _ = asked
    fetched = channel.unary_stream(FETCH)(b"part", timeout=30)
    assert [await fetched.read() for _ in range(3)] == [b"part0", b"part1", b"part2"]
    assert await fetched.code() == grpc.StatusCode.DATA_LOSS
    assert await fetched.details() == "torn."
    stream = channel.stream_stream(REFLECT)(timeout=30)
    for data in (b"abc", b"de"):
        await stream.write(data)
        assert await stream.read() == data[::-1]
    await stream.done_writing()
    assert await stream.read() is grpc.aio.EOF
