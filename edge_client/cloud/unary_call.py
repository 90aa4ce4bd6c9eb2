"""One call of a method of a server, beside the stream of frames."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

import grpc.aio
from google.protobuf.message import DecodeError, Message

from protos.errors import FaultError, UnreachableError
from protos.rpc.endpoints import Endpoint

SERVICE = "/splitpoint.v1.Splitpoint/"
OIP_SERVICE = "/inference.GRPCInferenceService/"

M = TypeVar("M", bound=Message)


async def ask(
    channel: grpc.aio.Channel,
    server: Endpoint,
    method: str,
    request: Message,
    answer: type[M],
    timeout_s: float,
    service: str = SERVICE,
) -> M:
    """Call a method of a service, by default of ours; gRPC's own error passes through, as AioRpcError.

    Raises UnreachableError when the channel is closed, and FaultError when the answer was damaged: gRPC
    itself would hand on None where the bytes are no message, and does where they are missing.
    """
    call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(service + method)
    with _closed_told(server):
        data: bytes | None = await call(request.SerializeToString(), timeout=timeout_s)
    try:
        if data is None:
            raise DecodeError("there is none")
        return answer.FromString(data)
    except DecodeError as error:
        raise FaultError(f"the answer of {server} to {method} makes no sense: {error}.") from error


@contextmanager
def _closed_told(server: Endpoint) -> Iterator[None]:
    """Raise UnreachableError when the channel of a call is closed under it, or was so before.

    gRPC tells the first by CancelledError: only who was told to stop himself passes that on.
    """
    try:
        yield
    except grpc.aio.UsageError as error:
        raise UnreachableError(f"the connection to {server} is closed.") from error
    except asyncio.CancelledError:
        if (task := asyncio.current_task()) is None or task.cancelling():
            raise
        raise UnreachableError(f"the connection to {server} was closed.") from None
