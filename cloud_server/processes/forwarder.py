"""The forwarder of a replica: what it does not answer itself, the front does, byte for byte."""

from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, TypeAlias

import grpc
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

from cloud_server.processes.private_calls import CALLER_KEY
from cloud_server.security.rules import RPC_RULES
from protos import inference_pb2, splitpoint_pb2
from protos.serving.callers import CALLER
from protos.serving.handlers import Handler
from protos.serving.refusals import Context

ANSWERED_HERE = frozenset(
    (
        "/inference.GRPCInferenceService/ModelInfer",
        "/inference.GRPCInferenceService/ModelStreamInfer",
        "/splitpoint.v1.Splitpoint/Probe",
    )
)
"""All that a replica is there for, and probes, which measure the link and no way between processes."""

_SPOKEN = (inference_pb2, splitpoint_pb2, health_pb2, reflection_pb2)
_KEPT_BACK = ("authorization", CALLER_KEY)
"""Metadata that the front is not told: it was looked at here, or is no caller's to say."""

_Metadata: TypeAlias = list[tuple[str, str | bytes]]


class Forwarder(grpc.GenericRpcHandler):
    """Handlers of every method that somebody may call, but for ANSWERED_HERE."""

    def __init__(self, front: grpc.aio.Channel) -> None:
        self._front = front
        self._handlers = {
            path: self._handler(path, *streams) for path, streams in _methods().items()
        }

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> "Handler | None":
        """Return the handler of a call; None where there is no such method, or it is answered here."""
        return self._handlers.get(str(handler_call_details.method))

    def _handler(self, path: str, requests: bool, answers: bool) -> Handler:
        if not answers:
            return grpc.unary_unary_rpc_method_handler(self._single(self._front.unary_unary(path)))
        if requests:
            stream = self._stream(self._front.stream_stream(path))
            return grpc.stream_stream_rpc_method_handler(stream)
        return grpc.unary_stream_rpc_method_handler(self._stream(self._front.unary_stream(path)))

    def _single(self, ask: Callable[..., Any]) -> Any:
        async def call(request: bytes, context: Context) -> Any:
            asked = ask(request, metadata=_told(context), timeout=context.time_remaining())
            try:
                answer = await asked
            except grpc.aio.AioRpcError as error:
                await _end(context, error)
            context.set_trailing_metadata(tuple(await asked.trailing_metadata()))
            return answer

        return call

    def _stream(self, ask: Callable[..., Any]) -> Any:
        async def call(request: bytes | AsyncIterator[bytes], context: Context) -> None:
            asked = ask(request, metadata=_told(context), timeout=context.time_remaining())
            try:
                async for answer in asked:
                    await context.write(answer)
            except grpc.aio.AioRpcError as error:
                await _end(context, error)
            finally:
                asked.cancel()

        return call


def _methods() -> Mapping[str, tuple[bool, bool]]:
    """Return whether requests and answers of each method that is forwarded are streams, by its path."""
    known = {
        f"/{service.full_name}/{method.name}": (method.client_streaming, method.server_streaming)
        for module in _SPOKEN
        for service in module.DESCRIPTOR.services_by_name.values()
        for method in service.methods
    }
    # What is in no description (such as shared memory, which is refused as it is) has no streams.
    return {path: known.get(path, (False, False)) for path in RPC_RULES.keys() - ANSWERED_HERE}


def _told(context: Context) -> _Metadata:
    """Return the metadata of a call for the front, with the name of the caller as it was found here."""
    told: _Metadata = [
        (key, value)
        for key, value in context.invocation_metadata() or ()
        if key not in _KEPT_BACK and not key.startswith(("grpc-", "user-agent"))
    ]
    return [*told, (CALLER_KEY, CALLER.get().encode())]


async def _end(context: Context, error: grpc.aio.AioRpcError) -> None:
    """End a call as the front has ended it."""
    await context.abort(error.code(), error.details() or "", tuple(error.trailing_metadata() or ()))
