"""The least that a message up and an answer down cost over gRPC in Python: a stream of bytes alone."""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import grpc
import grpc.aio

from partitioner.common.event_loop import LoopThread
from partitioner.common.memory import keep_freed_pages
from protos.rpc.channels import channel_options, server_options
from protos.rpc.message_limits import DEFAULT_MAX_MESSAGE_BYTES

_SERVICE, _METHOD = "bare.Stream", "Exchange"
METHOD = f"/{_SERVICE}/{_METHOD}"


@contextmanager
def bare_stream(message_bytes: int, answer_bytes: int) -> Iterator[Callable[[], float]]:
    """Start a server that answers each message with `answer_bytes`; give what times one exchange, in seconds.

    Both sides are grpc.aio with the options of ours, the server in a process of its own; an exchange is
    timed in the event loop of the client, so that no other thread of ours has a part in it.
    """
    command = [sys.executable, "-m", "benchmarks.bare_stream", str(answer_bytes)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        loop = LoopThread("bare-stream")
        try:
            address = f"127.0.0.1:{int(process.stdout.readline())}"  # type: ignore[union-attr]
            exchanges = _exchanges(address, os.urandom(message_bytes))
            yield lambda: loop.run(anext(exchanges))  # type: ignore[arg-type]
            loop.run(exchanges.aclose())  # type: ignore[attr-defined]
        finally:
            loop.close()
            process.kill()


async def _exchanges(address: str, message: bytes) -> AsyncIterator[float]:
    options = channel_options(DEFAULT_MAX_MESSAGE_BYTES)
    async with grpc.aio.insecure_channel(address, options=options) as channel:
        stream: Any = channel.stream_stream(METHOD)()
        try:
            while True:
                begun = time.perf_counter()
                await stream.write(message)
                await stream.read()
                yield time.perf_counter() - begun
        finally:
            stream.cancel()


async def _serve(answer_bytes: int) -> None:
    answer = bytes(answer_bytes)

    async def exchange(_messages: Any, context: Any) -> None:
        while await context.read() is not grpc.aio.EOF:
            await context.write(answer)

    handlers = {_METHOD: grpc.stream_stream_rpc_method_handler(exchange)}
    server = grpc.aio.server(options=server_options(DEFAULT_MAX_MESSAGE_BYTES))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(_SERVICE, handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(port, flush=True)
    await server.wait_for_termination()


if __name__ == "__main__":
    keep_freed_pages()
    asyncio.run(_serve(int(sys.argv[1])))
