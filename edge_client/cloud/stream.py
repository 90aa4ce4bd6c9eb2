"""One ModelStreamInfer call: many requests in flight, each matched with its answer."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from time import perf_counter
from typing import cast

import grpc
import grpc.aio

from edge_client.cloud.reply import Reply
from protos.errors import (
    FaultError,
    LateError,
    SplitpointError,
    TensorError,
    TooLargeError,
    UnreachableError,
)
from protos.inference_pb2 import ModelInferResponse
from protos.names import (
    PARAM_COMPUTE_NS,
    PARAM_DECODE_NS,
    PARAM_ERROR_CODE,
    PARAM_OPEN_NS,
    PARAM_QUEUE_NS,
    PARAM_RETRY_AFTER_MS,
)
from protos.rpc.calls import STOPS, refused, unreachable
from protos.rpc.endpoints import Endpoint
from protos.rpc.status import error_from
from protos.wire.checksums import check_seal
from protos.wire.framing import decode_stream_response
from protos.wire.messages import integer_parameter, unpack_response

METHOD = "/inference.GRPCInferenceService/ModelStreamInfer"
_log = logging.getLogger(__name__)

_GIVEN_UP = 32
"""Requests that were given up and may still be answered, at most; then the oldest is forgotten."""

_BROKEN = (
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.UNKNOWN,
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.OK,
)
"""Ways in which a stream, not a request, ends."""


class PendingRequest:
    """A request on its way. `late` hears its answer if it comes after it was given up."""

    __slots__ = ("answer", "begun_at", "late", "leaves", "message", "size")

    def __init__(
        self, message: bytes, leaves: Callable[[], None], late: Callable[[Reply], None]
    ) -> None:
        self.message: bytes | None = message
        self.size = len(message)
        self.leaves, self.late = leaves, late
        self.answer: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self.begun_at = perf_counter()


class RequestsUnderWay:
    """What either way of asking a server knows of its requests: those that wait for their answers."""

    def __init__(self, server: Endpoint) -> None:
        self.has_answered = False
        """True once any request was answered."""
        self._server = server
        self._pending: dict[str, PendingRequest] = {}
        self._heard_at = perf_counter()

    @property
    def address(self) -> str:
        """The address of the server that is asked."""
        return self._server.address

    @property
    def is_busy(self) -> bool:
        """True while a request waits for its answer."""
        return bool(self._pending)

    @property
    def on_the_way(self) -> tuple[int, float]:
        """The bytes of the requests that wait for their answers, and when the oldest was begun."""
        waiting = self._pending.values()
        if not waiting:
            return 0, perf_counter()
        return sum(each.size for each in waiting), min(each.begun_at for each in waiting)

    @property
    def silent_s(self) -> float:
        """Seconds since the server was last heard, or since it was first asked something."""
        return perf_counter() - self._heard_at


class InferStream(RequestsUnderWay):
    """One ModelStreamInfer call: a task that writes while there is something, and one that reads."""

    def __init__(self, channel: grpc.aio.Channel, server: Endpoint) -> None:
        super().__init__(server)
        method: grpc.aio.StreamStreamMultiCallable[bytes, bytes] = channel.stream_stream(METHOD)
        self.ended = False
        self.farewell: UnreachableError | None = None
        """What the server has ended the stream with, if it was told to stop."""
        self.is_unknown = False
        """True once the server has said that it knows no such streams."""
        self._call = method()
        self._given_up: dict[str, PendingRequest] = {}
        self._unsent: deque[PendingRequest] = deque()
        self._writer: asyncio.Task[None] | None = None
        self._reader = asyncio.create_task(self._read_all())

    async def call(self, request_id: str, pending: PendingRequest, timeout_s: float) -> Reply:
        if not self._pending:
            self._heard_at = perf_counter()
        self._pending[request_id] = pending
        self._unsent.append(pending)
        if self._writer is None:
            self._writer = asyncio.create_task(self._write_all())
        loop = asyncio.get_running_loop()
        alarm = loop.call_later(timeout_s, self._fail, request_id, self._late(timeout_s))
        try:
            return await pending.answer
        except LateError:
            self._give_up(request_id, pending)
            raise
        finally:
            alarm.cancel()
            pending.message = None
            self._pending.pop(request_id, None)

    def _give_up(self, request_id: str, pending: PendingRequest) -> None:
        if len(self._given_up) == _GIVEN_UP:
            del self._given_up[next(iter(self._given_up))]
        self._given_up[request_id] = pending

    async def close(self) -> None:
        """End the call; everything in flight fails."""
        self._end(UnreachableError(f"the connection to {self._server} was closed."))
        self._call.cancel()
        tasks = [task for task in (self._reader, self._writer) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _write_all(self) -> None:
        try:
            await self._call.wait_for_connection()
            while self._unsent:
                pending = self._unsent.popleft()
                if pending.message is not None:  # else its caller has gone already
                    pending.begun_at = perf_counter()
                    pending.leaves()
                    await self._call.write(pending.message)
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
            pass  # the reader learns why
        finally:
            self._writer = None

    async def _read_all(self) -> None:
        try:
            while (data := await self._call.read()) is not grpc.aio.EOF:
                self._heard_at = perf_counter()
                self._take(cast(bytes, data))
            error: SplitpointError = self._broken(await self._call.details())
        except grpc.aio.AioRpcError as failure:
            error = self._translated(failure)
        except SplitpointError as failure:
            error = failure
            self._call.cancel()
        except asyncio.CancelledError:
            error = self._broken("cancelled")
        except Exception as failure:  # noqa: BLE001 - else those who wait would never hear
            _log.exception("an answer of %s could not be read", self._server)
            error = FaultError(f"an answer of {self._server} could not be read: {failure!r}.")
            self._call.cancel()
        self._end(error)

    def _take(self, data: bytes) -> None:
        """Match one answer to its request; if that was given up, `late` hears it."""
        try:
            message, header, tensors = decode_stream_response(data)
        except TensorError as error:
            raise self._broken("it brought bytes that are no answer") from error
        pending = self._pending.get(header.id)
        if pending is None and message and not header.id:
            raise error_from(grpc.StatusCode.INTERNAL, message)
        if (given_up := self._given_up.pop(header.id, None)) is not None:
            if not message:
                self._take_late(header, tensors, given_up, len(data))
            return
        if pending is None or pending.answer.done():
            return
        if message:
            self.has_answered = True
            code = header.parameters[PARAM_ERROR_CODE].string_param
            wait_ms = integer_parameter(header.parameters, PARAM_RETRY_AFTER_MS)
            pending.answer.set_exception(error_from(code, message, wait_ms))
            return
        try:
            check_seal(header, tensors)
        except FaultError as error:
            pending.answer.set_exception(error)
            return
        try:
            reply = read_reply(header, tensors, pending, len(data), self._heard_at)
        except TensorError as error:
            wrong = FaultError(f"the answer of {self._server} makes no sense: {error}")
            wrong.__cause__ = error
            pending.answer.set_exception(wrong)
        else:
            self.has_answered = True
            pending.answer.set_result(reply)

    def _take_late(
        self,
        header: ModelInferResponse,
        tensors: list[memoryview],
        pending: PendingRequest,
        download_bytes: int,
    ) -> None:
        try:
            check_seal(header, tensors)
            reply = read_reply(header, tensors, pending, download_bytes, self._heard_at)
        except (FaultError, TensorError):
            return  # no caller waits for it
        pending.late(reply)

    def _fail(self, request_id: str, error: SplitpointError) -> None:
        pending = self._pending.get(request_id)
        if pending is not None and not pending.answer.done():
            pending.answer.set_exception(error)

    def _end(self, error: SplitpointError) -> None:
        """Fail all in flight. If one was too large, the others are only its victims."""
        self.ended = True
        if isinstance(error, UnreachableError) and error.cause == STOPS:
            self.farewell = error
        waiting = sorted(self._pending.items(), key=lambda item: item[1].size, reverse=True)
        for place, (request_id, _) in enumerate(waiting):
            victim = place > 0 and isinstance(error, TooLargeError)
            self._fail(request_id, self._broken("a message was too large") if victim else error)

    def _translated(self, failure: grpc.aio.AioRpcError) -> SplitpointError:
        text = failure.details() or failure.code().name
        if failure.code() in _BROKEN and "larger than max" not in text:
            return self._broken(text)
        if failure.code() is grpc.StatusCode.UNIMPLEMENTED:
            self.is_unknown = True
            return FaultError(
                f"the server at {self._server} does not speak the Open Inference Protocol ({text}). Check "
                "the address: another service may listen there."
            )
        return refused(failure.code(), text, self._server)

    def _broken(self, why: str) -> UnreachableError:
        return unreachable(
            f"the stream to {self._server} broke: {why or 'the server ended it'}. "
            "Check that the server runs and that the network is up.",
            why,
            self._server,
        )

    def _late(self, timeout_s: float) -> LateError:
        return LateError(
            f"no answer from {self._server} within {timeout_s:g} s. "
            "Allow more time, choose a cut that sends less, or check the link."
        )


def read_reply(
    header: ModelInferResponse,
    tensors: list[memoryview],
    pending: PendingRequest,
    download_bytes: int,
    received_at: float,
) -> Reply:
    """Return the answer to a request; TensorError where it makes no sense."""
    times = (PARAM_QUEUE_NS, PARAM_DECODE_NS, PARAM_COMPUTE_NS, PARAM_OPEN_NS)
    queue_s, decode_s, compute_s, open_s = (
        integer_parameter(header.parameters, name) / 1e9 for name in times
    )
    took_s = received_at - pending.begun_at
    if min(queue_s, decode_s, compute_s, open_s) < 0 or queue_s + decode_s + compute_s > took_s:
        raise TensorError(
            f"it took {queue_s:g} + {decode_s:g} + {compute_s:g} s there, and {took_s:g} s in all."
        )
    return Reply(
        is_accounted=PARAM_COMPUTE_NS in header.parameters,
        outputs=unpack_response(header, tensors),
        upload_bytes=pending.size,
        download_bytes=download_bytes,
        begun_at=pending.begun_at,
        received_at=received_at,
        queue_s=queue_s,
        decode_s=decode_s,
        compute_s=compute_s,
        open_s=open_s,
    )
