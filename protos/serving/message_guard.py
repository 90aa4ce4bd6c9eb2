"""The guard of a server's methods: bytes that are no message, or too many for one, are refused in words.

gRPC itself answers those that are none with UNKNOWN, and writes a traceback for each; here it is a line.
"""

import inspect
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, TypeAlias

import grpc

from protos.errors import TensorError, TooLargeError, plural
from protos.serving.bounded_log import BoundedLog
from protos.serving.refusals import Context, refuse

Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
Decode: TypeAlias = Callable[[bytes], Any]

LARGEST_BYTES = 2 << 20
"""Of a message that is decoded as a whole, which takes twenty times its bytes and, of 64 MiB, seconds in
which nobody else is answered. Tensors come as raw bytes, which this does not bound; the largest of the
others is a report of 64 snapshots of 16 KiB."""
_PADDED = frozenset({"/splitpoint.v1.Splitpoint/Probe"})
"""What has one field of any length: its bytes are what it measures."""

_log = BoundedLog(logging.getLogger(__name__), logging.INFO)


class GuardedServer:
    """A server to register services with, whose methods decode their requests under guard."""

    def __init__(self, server: grpc.aio.Server) -> None:
        self._server = server

    def add_generic_rpc_handlers(self, handlers: Sequence[grpc.GenericRpcHandler]) -> None:
        """Register handlers; as grpc.aio.Server does."""
        self._server.add_generic_rpc_handlers([_GuardedHandlers(one) for one in handlers])

    def add_registered_method_handlers(self, *_: object) -> None:
        """Do nothing, as grpc.aio.Server: generated code registers each service in both ways."""


class _GuardedHandlers(grpc.GenericRpcHandler):
    def __init__(self, handlers: grpc.GenericRpcHandler) -> None:
        self._handlers = handlers
        self._guarded: dict[str, Handler] = {}

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> "Handler | None":
        method = str(handler_call_details.method)
        if method not in self._guarded:
            handler = self._handlers.service(handler_call_details)
            if handler is None:  # not kept: a caller may ask for any number of names
                return None
            self._guarded[method] = _guarded(handler, method)
        return self._guarded[method]


def _guarded(handler: Any, method: str) -> Handler:
    """Return the same method, which gets the bytes of its requests and decodes them itself."""
    decode: Decode | None = handler.request_deserializer
    if decode is None:
        return handler  # type: ignore[no-any-return]
    wrap = _stream_in if handler.request_streaming else _unary_in
    made = {
        (False, False): grpc.unary_unary_rpc_method_handler,
        (False, True): grpc.unary_stream_rpc_method_handler,
        (True, False): grpc.stream_unary_rpc_method_handler,
        (True, True): grpc.stream_stream_rpc_method_handler,
    }[handler.request_streaming, handler.response_streaming]
    behaviour = (
        handler.unary_unary or handler.unary_stream or handler.stream_unary or handler.stream_stream
    )
    return made(wrap(behaviour, decode, method), None, handler.response_serializer)


def _unary_in(behaviour: Any, decode: Decode, method: str) -> Any:
    async def call(data: bytes, context: Context) -> Any:
        try:
            message = _decoded(decode, data, method)
        except (TensorError, TooLargeError) as error:
            await refuse(context, error)
        return await _answered(behaviour(message, context), context)

    return call


def _stream_in(behaviour: Any, decode: Decode, method: str) -> Any:
    async def call(requests: AsyncIterator[bytes], context: Context) -> Any:
        async def messages() -> AsyncIterator[Any]:
            async for data in requests:
                yield _decoded(decode, data, method)

        try:
            return await _answered(behaviour(messages(), context), context)
        except (TensorError, TooLargeError) as error:
            await refuse(context, error)

    return call


async def _answered(called: Any, context: Context) -> Any:
    """Return what a method answers, or write what it yields."""
    if not inspect.isasyncgen(called):
        return await called
    async for item in called:
        await context.write(item)
    return None


def _decoded(decode: Decode, data: bytes, method: str) -> Any:
    if len(data) > LARGEST_BYTES and method not in _PADDED:
        raise TooLargeError(
            f"a request of {method} has {plural(len(data), 'byte')}, and {LARGEST_BYTES:,} are allowed. Ask "
            "for less at a time."
        )
    try:
        return decode(data)
    except Exception as error:
        _log.write(f"a call of {method} brought bytes that are no request of it: {error}")
        raise TensorError(
            f"the bytes are no request of {method}. Check that both sides speak the same protocol."
        ) from error
