"""Closed loops: so many requests always in flight at one server, by a stream of gRPC or by HTTP."""

import asyncio
import time
from typing import Any

import grpc
import grpc.aio
import uvloop

from protos.rpc.channels import channel_options
from protos.rpc.message_limits import DEFAULT_MAX_MESSAGE_BYTES
from protos.wire.framing import decode_stream_response


def event_loop() -> asyncio.Runner:
    """Return what runs coroutines in one loop: those of gRPC are better not changed within a process."""
    return asyncio.Runner(loop_factory=uvloop.new_event_loop)


async def by_stream(
    address: str, method: str, message: bytes, in_flight: int, requests: int
) -> list[float]:
    """Send `requests` on one stream of gRPC; return the seconds from each to the answer in its turn.

    Raises OSError for an answer that is an error of ours.
    """
    options = channel_options(DEFAULT_MAX_MESSAGE_BYTES)
    async with grpc.aio.insecure_channel(address, options=options) as channel:
        stream: Any = channel.stream_stream(method)()
        sent_at: list[float] = []
        took_s: list[float] = []

        async def send() -> None:
            sent_at.append(time.perf_counter())
            await stream.write(message)

        for _ in range(min(in_flight, requests)):
            await send()
        while len(took_s) < requests:
            data = await stream.read()
            took_s.append(time.perf_counter() - sent_at[len(took_s)])
            if method.startswith("/inference") and (error := decode_stream_response(data)[0]):
                raise OSError(f"the server refuses: {error}")
            if len(sent_at) < requests:
                await send()
        stream.cancel()
    return took_s


async def by_http(port: int, body: bytes, in_flight: int, requests: int) -> list[float]:
    """POST `requests` bodies over `in_flight` connections that stay open; return the seconds of each."""
    took_s: list[float] = []
    left = requests

    async def follow() -> None:
        nonlocal left
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 20)
        head = f"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        while left > 0:
            left -= 1
            begun_at = time.perf_counter()
            writer.write(head)
            writer.write(body)
            said = await reader.readuntil(b"\r\n\r\n")
            if not said.startswith(b"HTTP/1.1 200"):
                raise OSError(f"the server says {said[:40]!r}")
            length = int(said.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
            await reader.readexactly(length)
            took_s.append(time.perf_counter() - begun_at)
        writer.close()
        await writer.wait_closed()

    await asyncio.gather(*(follow() for _ in range(in_flight)))
    return took_s
