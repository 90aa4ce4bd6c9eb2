"""ModelInfer calls, one for each request: for servers that know no streams, or none that suit."""

import asyncio
from collections import OrderedDict
from time import perf_counter

import grpc
import grpc.aio

from edge_client.cloud.reply import Reply
from edge_client.cloud.stream import PendingRequest, RequestsUnderWay, read_reply
from edge_client.cloud.unary_call import OIP_SERVICE
from protos.errors import FaultError, LateError, TensorError, UnreachableError
from protos.rpc.calls import translate
from protos.rpc.endpoints import Endpoint
from protos.wire.checksums import check_seal
from protos.wire.framing import decode_response

_GIVEN_UP = 32
"""Calls that were given up and may still be answered, at most; then the oldest is cancelled."""
_LONGEST_S = 60.0
"""Nobody waits longer for an answer that comes too late."""


class InferCalls(RequestsUnderWay):
    """Requests as calls of their own over one connection; what `InferStream` is, without its stream."""

    def __init__(self, channel: grpc.aio.Channel, server: Endpoint) -> None:
        self._method: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]
        super().__init__(server)
        self._method = channel.unary_unary(f"{OIP_SERVICE}ModelInfer")
        self.ended = False
        self.farewell: UnreachableError | None = None
        self._given_up: OrderedDict[str, asyncio.Task[Reply]] = OrderedDict()

    async def call(self, request_id: str, pending: PendingRequest, timeout_s: float) -> Reply:
        """Send a request and return its answer; `late` of a request hears what comes after `timeout_s`.

        Raises LateError, UnreachableError, FaultError, and what the server answers.
        """
        if not self._pending:
            self._heard_at = perf_counter()
        self._pending[request_id] = pending
        asking = asyncio.create_task(self._ask(pending))
        try:
            done, _ = await asyncio.wait((asking,), timeout=timeout_s)
            if done:
                return asking.result()
            self._give_up(request_id, asking, pending)
            raise LateError(
                f"no answer from {self._server} within {timeout_s:g} s. "
                "Allow more time, choose a cut that sends less, or check the link."
            )
        finally:
            self._pending.pop(request_id, None)
            if request_id not in self._given_up:
                asking.cancel()

    async def close(self) -> None:
        """End all calls; those in flight fail when their connection is closed."""
        self.ended = True
        tasks = tuple(self._given_up.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._given_up.clear()

    async def _ask(self, pending: PendingRequest) -> Reply:
        message, pending.begun_at = pending.message, perf_counter()
        pending.leaves()
        try:
            data: bytes | None = await self._method(message or b"", timeout=_LONGEST_S)
        except grpc.aio.AioRpcError as failure:
            raise translate(failure, self._server) from failure
        except grpc.aio.UsageError as error:
            raise UnreachableError(f"the connection to {self._server} is closed.") from error
        except asyncio.CancelledError:
            if (task := asyncio.current_task()) is None or task.cancelling():
                raise
            raise UnreachableError(f"the connection to {self._server} was closed.") from None
        finally:
            pending.message = None
        self._heard_at = perf_counter()
        try:
            header, tensors = decode_response(data or b"")
            check_seal(header, tensors)
            reply = read_reply(header, tensors, pending, len(data or b""), self._heard_at)
        except TensorError as error:
            raise FaultError(f"the answer of {self._server} makes no sense: {error}") from error
        self.has_answered = True
        return reply

    def _give_up(
        self, request_id: str, asking: asyncio.Task[Reply], pending: PendingRequest
    ) -> None:
        if len(self._given_up) == _GIVEN_UP:
            self._given_up.popitem(last=False)[1].cancel()
        self._given_up[request_id] = asking

        def end(task: asyncio.Task[Reply]) -> None:
            self._given_up.pop(request_id, None)
            if not task.cancelled() and task.exception() is None:
                pending.late(task.result())

        asking.add_done_callback(end)
