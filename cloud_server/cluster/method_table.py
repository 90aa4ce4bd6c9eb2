"""The methods of our gRPC services without a server of gRPC: bytes in, bytes out."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, NamedTuple, NoReturn

import grpc

from protos.errors import TooLargeError, UnknownNameError, plural
from protos.serving.refusals import refuse

_WRITTEN_AHEAD = 1
"""Answers of a stream that wait for Serve: they are pieces of a bundle."""


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


class RefusedError(Exception):
    """The end of a call whose status is set."""


class _Call:
    """A call of Serve as our handlers know calls of gRPC."""

    def __init__(self, context: Any, written: "asyncio.Queue[bytes | None] | None" = None) -> None:
        self.serialize: Callable[[Any], bytes] | None = None
        """Makes bytes of what is written; None: it is bytes already."""
        self._context = context
        self._written = written

    async def write(self, message: Any) -> None:
        """Hand on one answer of many, once the one before is on its way."""
        if self._written is not None:
            await self._written.put(self.serialize(message) if self.serialize else message)

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
        raise RefusedError(details)


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
        except RefusedError:
            return Answer(b"")

    async def answers(self, method: str, data: bytes, context: Any) -> AsyncIterator[Answer]:
        """Call a method of one request and many answers, and yield these.

        A refusal raises RefusedError: Serve takes the status of a stream without answers from nothing else.
        """
        written: asyncio.Queue[bytes | None] = asyncio.Queue(_WRITTEN_AHEAD)
        call: Any = _Call(context, written)
        calling = asyncio.create_task(self._streamed(method, data, call, written))
        try:
            while (answer := await written.get()) is not None:
                yield Answer(answer)
            await calling
        finally:
            calling.cancel()

    async def _streamed(
        self, method: str, data: bytes, call: Any, written: "asyncio.Queue[bytes | None]"
    ) -> None:
        try:
            handler = await self._handler(method, data, call)
            call.serialize = handler.response_serializer
            await handler.unary_stream(_request(handler, data), call)
        finally:
            task = asyncio.current_task()
            if task is None or not task.cancelling():  # else nobody reads any more
                await written.put(None)

    async def _called(self, method: str, data: bytes, call: Any) -> bytes:
        handler = await self._handler(method, data, call)
        found = await handler.unary_unary(_request(handler, data), call)
        answer: bytes = handler.response_serializer(found) if handler.response_serializer else found
        return answer

    async def _handler(self, method: str, data: bytes, call: Any) -> Any:
        """Return the handler of a method, if the request is not too large for it."""
        if len(data) > self._max_message_bytes:
            await refuse(call, self._too_large(data))
        handler = self._find(method)
        if handler is None:
            await refuse(call, UnknownNameError(f"this server has no method {method}."))
        return handler

    def _find(self, method: str) -> Any:
        asked: Any = _Asked(method)
        return next((found for one in self._handlers if (found := one.service(asked))), None)

    def _too_large(self, data: bytes) -> TooLargeError:
        return TooLargeError(
            f"the request has {plural(len(data), 'byte')}, and {self._max_message_bytes:,} are allowed. Use "
            "another cut or codec, or raise --max-message there."
        )


def _request(handler: Any, data: bytes) -> Any:
    return handler.request_deserializer(data) if handler.request_deserializer else data
