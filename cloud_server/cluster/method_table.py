"""The methods of our gRPC services without a server of gRPC: bytes in, bytes out."""

from collections.abc import Sequence
from typing import Any, NamedTuple, NoReturn

import grpc

from protos.errors import TooLargeError, UnknownNameError, plural
from protos.serving.refusals import refuse


class Answer:
    """The bytes of an answer, as Serve asks for them."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def SerializeToString(self) -> bytes:  # noqa: N802
        """Return the bytes."""
        return self._data


class _Asked(NamedTuple):
    """A method that handlers are asked for, as gRPC does."""

    method: str
    invocation_metadata: tuple[()] = ()


class _RefusedError(Exception):
    """The end of a call whose status is set."""


class _Call:
    """A call of Serve as our handlers know calls of gRPC."""

    def __init__(self, context: Any) -> None:
        self._context = context

    def peer(self) -> str:
        """Return where the call comes from."""
        return str(self._context.peer())

    def time_remaining(self) -> None:
        """Return None: Serve does not say how long the caller waits, and cancels the call after that."""

    async def abort(
        self, code: grpc.StatusCode, details: str = "", trailers: Sequence[tuple[str, str]] = ()
    ) -> NoReturn:
        """Set the status and the trailers of the call, and end it."""
        self._context.set_code(code)
        self._context.set_details(details)
        self._context.set_trailing_metadata(list(trailers))
        raise _RefusedError


class MethodTable:
    """Takes handlers as a server of gRPC does, and calls them.

    Requests over `max_message_bytes` are refused. A refusal is an empty answer with its status on the call:
    Serve would log each exception, and lose its trailers.
    """

    def __init__(self, max_message_bytes: int) -> None:
        self._max_message_bytes = max_message_bytes
        self._handlers: list[grpc.GenericRpcHandler] = []

    def add_generic_rpc_handlers(self, handlers: Sequence[grpc.GenericRpcHandler]) -> None:
        """Register handlers; as grpc.aio.Server does."""
        self._handlers.extend(handlers)

    async def answer(self, method: str, data: bytes, context: Any) -> Answer:
        """Call a method of one request and one answer, both of them messages as bytes.

        `context`: what Serve says of the call.
        """
        call: Any = _Call(context)
        try:
            return Answer(await self._called(method, data, call))
        except _RefusedError:
            return Answer(b"")

    async def _called(self, method: str, data: bytes, call: Any) -> bytes:
        if len(data) > self._max_message_bytes:
            await refuse(call, self._too_large(data))
        handler = self._find(method)
        if handler is None:
            await refuse(call, UnknownNameError(f"this server has no method {method}."))
        request = handler.request_deserializer(data) if handler.request_deserializer else data
        found = await handler.unary_unary(request, call)
        answer: bytes = handler.response_serializer(found) if handler.response_serializer else found
        return answer

    def _find(self, method: str) -> Any:
        asked: Any = _Asked(method)
        return next((found for one in self._handlers if (found := one.service(asked))), None)

    def _too_large(self, data: bytes) -> TooLargeError:
        return TooLargeError(
            f"the request has {plural(len(data), 'byte')}, and {self._max_message_bytes:,} are allowed. Use "
            "another cut or codec, or raise --max-message there."
        )
