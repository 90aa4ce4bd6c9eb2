"""The server around the protocol: what it takes of those who ask for more than it can."""

import asyncio
import threading
from collections import Counter
from contextlib import ExitStack

import pytest

from cloud_server.server import CloudServer
from partitioner.bundle.bundle import Bundle
from partitioner.common.event_loop import LoopThread
from protos.inference_pb2 import ServerLiveRequest
from protos.rpc import channels
from tests.kit.cloud_calls import TIMEOUT_S, connected, oip_stub
from tests.kit.http2 import PREFACE, SETTINGS, http2_frame

CALLS, CONNECTIONS = 3000, 4


def test_calls_that_pile_up_are_answered_and_not_cancelled(residual_bundle: Bundle) -> None:
    """By itself gRPC drops many of more than 1,000 calls that nobody has begun with."""
    loop, gate = LoopThread("server"), threading.Event()
    server = CloudServer(residual_bundle.path)
    loop.run(server.start())
    try:
        with ExitStack() as stack:
            stubs = [
                oip_stub(stack.enter_context(connected(server.address))) for _ in range(CONNECTIONS)
            ]
            for stub in stubs:
                stub.ServerLive(ServerLiveRequest(), timeout=TIMEOUT_S)  # it is connected
            loop.loop.call_soon_threadsafe(gate.wait, TIMEOUT_S)
            calls = [
                stubs[number % CONNECTIONS].ServerLive.future(
                    ServerLiveRequest(), timeout=TIMEOUT_S
                )
                for number in range(CALLS)
            ]
            gate.set()
            assert Counter(call.code().name for call in calls) == {"OK": CALLS}
    finally:
        gate.set()
        loop.run(server.stop(0))
        loop.close()


async def test_client_that_is_gone_without_a_word_is_let_go(
    residual_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a device whose power was cut: nothing of its system closes the connection."""
    monkeypatch.setattr(channels, "SILENCE_MS", 50)
    monkeypatch.setattr(channels, "PATIENCE_MS", 50)
    async with CloudServer(residual_bundle.path) as server:
        host, port = server.address.split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(PREFACE + http2_frame(SETTINGS, 0, 0, b""))
        async with asyncio.timeout(TIMEOUT_S):
            assert await reader.read()  # up to the end of the connection
        writer.close()
