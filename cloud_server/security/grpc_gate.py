"""The gate on gRPC: an interceptor that lets calls in, charges them, and ends those that may not go on."""

import asyncio
import contextlib
import inspect
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, TypeAlias, cast

import grpc

from cloud_server.security.credentials import Credentials, bearer_token, certificate_names
from cloud_server.security.gate import Gate
from cloud_server.security.registered_device import RegisteredDevice
from cloud_server.security.rules import RPC_RULES, Rule
from protos.errors import DeniedError, SplitpointError
from protos.serving.callers import CALLER
from protos.serving.handlers import Handler
from protos.serving.refusals import Context, refuse

_LAST_WRITE_S = 0.1
"""For the answer that a call was writing when it was ended."""

_Behaviour = Callable[[Any, Context], Any]
_Found: TypeAlias = "grpc.RpcMethodHandler[Any, Any] | None"


class GrpcGate(grpc.aio.ServerInterceptor):
    """Sets CALLER for the calls that it lets in.

    Who shows a wrong token, or nothing where no certificate counts, is refused before any of its request is
    read. A certificate is known from the call alone, so there the first message has been read by then.
    """

    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[_Found]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> _Found:
        """Return the handler of a call behind the gate; None for a method that there is not."""
        handler = await continuation(handler_call_details)
        method = handler_call_details.method
        if handler is None:
            return None
        try:
            rule = _rule_of(method)
            if rule.is_open:
                return handler
            shown = Credentials(bearer_token(handler_call_details.invocation_metadata))
            waits = not shown.token and self._gate.takes_certificates
            if not waits:
                self._gate.admit(shown, rule)
        except SplitpointError as error:
            return self._refusal(method, error)
        visit = _Visit(self._gate, method, rule, shown)
        return visit.open(handler) if handler.response_streaming else visit.single(handler)

    def _refusal(self, method: str, error: SplitpointError) -> Handler:
        async def call(_requests: Any, context: Context) -> None:
            self._gate.note_refusal(context.peer(), method, error)
            await refuse(context, error)

        # As a stream whatever the method is: so nothing of the request is read.
        return grpc.stream_stream_rpc_method_handler(call)


class _Visit:
    """One call of a method, between the gate and its handler. Without a token its certificate tells whose."""

    def __init__(self, gate: Gate, method: str, rule: Rule, credentials: Credentials) -> None:
        self._gate = gate
        self._method = method
        self._rule = rule
        self._credentials = credentials

    def single(self, handler: Handler) -> Handler:
        """Return a handler of calls with one answer."""
        behaviour: Any = handler.stream_unary or handler.unary_unary

        async def call(request: Any, context: Context) -> Any:
            CALLER.set((await self._enter(context, request)).name)
            return await behaviour(request, context)

        make = (
            grpc.stream_unary_rpc_method_handler
            if handler.request_streaming
            else grpc.unary_unary_rpc_method_handler
        )
        return make(call, handler.request_deserializer, handler.response_serializer)

    def open(self, handler: Handler) -> Handler:
        """Return a handler of calls that stay open."""
        behaviour = _written(handler.stream_stream or handler.unary_stream)

        async def call(request: Any, context: Context) -> None:
            device = await self._enter(context, request)
            CALLER.set(device.name)
            error = await self._serve(device, lambda: behaviour(request, context))
            if error is not None:
                # An answer that was being written is written on, and gRPC takes no status meanwhile.
                await asyncio.sleep(_LAST_WRITE_S)
                self._gate.note_refusal(f"device {device.name}", self._method, error)
                await refuse(context, error)

        make = (
            grpc.stream_stream_rpc_method_handler
            if handler.request_streaming
            else grpc.unary_stream_rpc_method_handler
        )
        return make(call, handler.request_deserializer, handler.response_serializer)

    async def _enter(self, context: Context, request: Any) -> RegisteredDevice:
        """Return who calls, or end the call. Its request may have come long after it was let in."""
        try:
            if not self._credentials.token:
                self._credentials = Credentials(
                    certificate_names=certificate_names(context.auth_context())
                )
            device = self._gate.admit(self._credentials, self._rule)
            if self._rule.is_charged:
                self._gate.charge(device, _size_of(request))
        except SplitpointError as error:
            self._gate.note_refusal(context.peer(), self._method, error)
            await refuse(context, error)
        return device

    async def _serve(
        self, device: RegisteredDevice, work: Callable[[], Awaitable[None]]
    ) -> SplitpointError | None:
        """Do the work of a call; return why it had to end before it was done, or was not begun."""
        try:
            with self._gate.open_call(
                device, self._credentials, self._rule, lambda: task.cancel()
            ) as call:
                task = asyncio.ensure_future(work())
                with _unless(lambda: call.error is not None):
                    await task
        except SplitpointError as error:
            return error
        return call.error


@contextlib.contextmanager
def _unless(ended_by_us: Callable[[], bool]) -> Iterator[None]:
    """Let a cancellation pass, by the caller or by the end of the server, unless it was ours."""
    try:
        yield
    except asyncio.CancelledError:
        if not ended_by_us():
            raise


def _rule_of(method: str) -> Rule:
    try:
        return RPC_RULES[method]
    except KeyError:
        raise DeniedError(f"{method} has no rule that says who may call it. Nobody may.") from None


def _written(behaviour: Any) -> _Behaviour:
    """Return `behaviour` such that it writes its answers, where it is a generator of them."""
    if not inspect.isasyncgenfunction(behaviour):
        return cast("_Behaviour", behaviour)

    async def write(request: Any, context: Context) -> None:
        async for answer in behaviour(request, context):
            await context.write(answer)

    return write


def _size_of(request: Any) -> int:
    """Return the bytes of a request; of a stream's none, as each message of it counts for itself."""
    if isinstance(request, bytes):
        return len(request)
    size: Callable[[], int] = getattr(request, "ByteSize", lambda: 0)
    return size()
