"""An interceptor that counts every gRPC call, in whatever way it ends."""

import asyncio
from collections.abc import Awaitable, Callable
from inspect import isasyncgenfunction
from typing import Any, TypeAlias

import grpc

from cloud_server.observability.call_book import CallBook, Method, OpenCall
from protos.pool import POOL
from protos.serving.handlers import Handler
from protos.serving.refusals import Context

_Behaviour: TypeAlias = Callable[[Any, Any], Awaitable[Any]]

_KINDS = {
    (False, False): "unary",
    (False, True): "server_stream",
    (True, False): "client_stream",
    (True, True): "bidi_stream",
}
_NAMES = {code.value[0]: code.name for code in grpc.StatusCode}


class CallMeter(grpc.aio.ServerInterceptor):
    """Counts in a book. It comes first, so that what other interceptors refuse is counted, too."""

    def __init__(self, book: CallBook) -> None:
        self._book = book
        self._known: dict[str, tuple[Any, Handler]] = {}

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """Return the handler of a call, which counts; none for methods that there are not."""
        handler = await continuation(handler_call_details)
        if handler is None:  # not kept: a caller may ask for any number of names
            return handler
        path = str(handler_call_details.method)
        inner, counting = self._known.get(path, (None, None))
        if inner is not handler:
            counting = self._counting(handler, Method(path, _kind_of(path, handler)))
            self._known[path] = handler, counting
        return counting

    def _counting(self, handler: Any, method: Method) -> Handler:
        coders = handler.request_deserializer, handler.response_serializer
        streams = handler.request_streaming, handler.response_streaming
        if streams == (False, False):
            call = self._unary(handler.unary_unary, method)
            return grpc.unary_unary_rpc_method_handler(call, *coders)
        if streams == (False, True):
            call = self._stream(handler.unary_stream, method, 1)
            return grpc.unary_stream_rpc_method_handler(call, *coders)
        if streams == (True, True):
            call = self._stream(handler.stream_stream, method, 0)
            return grpc.stream_stream_rpc_method_handler(call, *coders)
        return handler  # type: ignore[no-any-return] # no service here streams requests alone

    def _unary(self, behaviour: _Behaviour, method: Method) -> _Behaviour:
        async def call(request: Any, context: Context) -> Any:
            found = self._book.begin(method, context.peer())
            found.received()
            try:
                answer = await behaviour(request, context)
            except BaseException as error:
                self._book.end(found, _code(context, error))
                raise
            found.sent()
            self._book.end(found, _code(context, None))
            return answer

        return call

    def _stream(self, behaviour: Any, method: Method, received: int) -> _Behaviour:
        async def call(request: Any, context: Context) -> None:
            found = self._book.begin(method, context.peer())
            found.counts.received += received
            counted = _CountedContext(context, found)
            try:
                if isasyncgenfunction(behaviour):
                    async for message in behaviour(request, counted):
                        await counted.write(message)
                else:
                    await behaviour(request, counted)
            except BaseException as error:
                self._book.end(found, _code(context, error))
                raise
            self._book.end(found, _code(context, None))

        return call


class _CountedContext:
    """The context of a streaming call, whose messages are counted."""

    def __init__(self, context: Context, call: OpenCall) -> None:
        self._context = context
        self._call = call

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)

    async def read(self) -> Any:
        message = await self._context.read()
        if message is not grpc.aio.EOF:
            self._call.received()
        return message

    async def write(self, message: Any) -> None:
        await self._context.write(message)
        self._call.sent()


def _kind_of(path: str, handler: Any) -> str:
    """Return the kind of a method: by its schema, as what refuses a call may be of another kind."""
    service, _, name = path[1:].rpartition("/")
    try:
        found = POOL.FindServiceByName(service).methods_by_name[name]
    except KeyError:  # health and reflection are not of our schemas
        return _KINDS[handler.request_streaming, handler.response_streaming]
    return _KINDS[found.client_streaming, found.server_streaming]


def _code(context: Context, error: BaseException | None) -> str:
    """Return the name of the status with which a call ends."""
    set_code: Any = context.code()
    number = set_code.value[0] if isinstance(set_code, grpc.StatusCode) else int(set_code or 0)
    if number or error is None:
        return _NAMES.get(number, grpc.StatusCode.UNKNOWN.name)
    if isinstance(error, asyncio.CancelledError):
        return grpc.StatusCode.CANCELLED.name
    return grpc.StatusCode.UNKNOWN.name
