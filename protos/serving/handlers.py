"""gRPC handlers of plain methods, which take a request and return its answer, or raise."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import Any, TypeAlias

import grpc

from protos.serving.refusals import Context, refuse

Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"


def unary(method: Callable[[Any], Awaitable[Any]], request: Any, answer: Any) -> Handler:
    """Return the handler of `method`, which takes and gives messages of these classes.

    An error ends the call with its status.
    """

    async def call(message: Any, context: Context) -> Any:
        try:
            return await method(message)
        except Exception as error:  # noqa: BLE001 - what is unexpected goes to the log there
            await refuse(context, error)

    return grpc.unary_unary_rpc_method_handler(call, request.FromString, answer.SerializeToString)


def unary_bytes(method: Callable[[bytes, Context], Awaitable[bytes]]) -> Handler:
    """Return the handler of `method`, which takes the bytes of a message and its call, and gives bytes."""

    async def call(message: bytes, context: Context) -> bytes:
        try:
            return await method(message, context)
        except Exception as error:  # noqa: BLE001 - what is unexpected goes to the log there
            return await refuse(context, error)

    return grpc.unary_unary_rpc_method_handler(call, None, None)


def answers(method: Callable[[Any], AsyncIterator[Any]], request: Any, answer: Any) -> Handler:
    """Return the handler of `method`, an asynchronous generator of answers to one request."""

    async def call(message: Any, context: Context) -> None:
        try:
            async with aclosing(method(message)) as stream:  # type: ignore[type-var]
                async for item in stream:
                    await context.write(item)
        except grpc.aio.InternalError:
            # The client has gone.
            return
        except Exception as error:  # noqa: BLE001 - what is unexpected goes to the log there
            await refuse(context, error)

    return grpc.unary_stream_rpc_method_handler(call, request.FromString, answer.SerializeToString)
