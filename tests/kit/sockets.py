"""A TCP server that echoes, one exchange with it, and a free port."""

import asyncio
import contextlib
import random
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
_FIRST_GIVEN = int(_RANGE.read_text().split()[0]) if _RANGE.exists() else 32768
"""From here on ports are given to who asks for any."""


@asynccontextmanager
async def echo(port: int = 0) -> AsyncIterator[str]:
    """A server that sends everything back, and then ends."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", port)
    async with server:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"


def free_port() -> int:
    """A port of this machine on which nobody listens, for servers that follow each other there.

    None that the system gives to who asks for any: a connection or another test would take it meanwhile.
    """
    while True:
        port = random.randrange(10_000, _FIRST_GIVEN)
        with socket.socket() as taken, contextlib.suppress(OSError):
            taken.bind(("127.0.0.1", port))
            return port


async def exchange(address: str, data: bytes) -> bytes:
    host, port = address.split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(data)
    writer.write_eof()
    try:
        return await reader.read()
    finally:
        writer.close()
