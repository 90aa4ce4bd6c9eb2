"""The server's side of ModelStreamInfer: many requests in flight, each answered as soon as it is done."""

import asyncio
import logging
from collections import deque
from functools import partial
from typing import TypeAlias

import grpc

from protos.inference_pb2 import ModelInferRequest, ModelInferResponse
from protos.names import PARAM_ERROR_CODE, PARAM_RETRY_AFTER_MS
from protos.rpc.printable import printable
from protos.serving.answers import Answerer, Job, Later
from protos.serving.drain import Drain
from protos.serving.refusals import DRAINING, Context, refusal_of, retry_after_ms
from protos.wire.framing import encode_stream_response

_Answer: TypeAlias = "asyncio.Future[bytes | Later] | asyncio.Future[bytes]"

_log = logging.getLogger(__name__)


class AnswerStream:
    """One stream, whose task writes; a second task reads, and others answer.

    At most `window` requests of the stream are in the server at a time, from being read to having
    their answer written; gRPC's flow control then slows the client down.
    """

    def __init__(self, answerer: Answerer, context: Context, window: int) -> None:
        self._answerer = answerer
        self._context = context
        self._connection = context.peer()
        self._free = window
        self._freed, self._answered_some = asyncio.Event(), asyncio.Event()
        self._answers: deque[bytes] = deque()
        self._in_flight: set[_Answer] = set()
        self._all_read = self._cut_short = False

    async def serve(self, drain: Drain) -> None:
        """Answer until the client has sent its last request, goes away, or the server drains."""
        reader = asyncio.create_task(self._read())
        reader.add_done_callback(self._read_ended)
        try:
            with drain.listener(reader.cancel):
                await self._write()
        except grpc.aio.InternalError as error:
            _log.debug("the client of a stream is gone: %s", printable(error))
            return
        finally:
            reader.cancel()
            for future in self._in_flight:
                future.cancel()
        if self._cut_short:
            await self._context.abort(grpc.StatusCode.UNAVAILABLE, DRAINING)

    async def _read(self) -> None:
        while True:
            while not self._free:
                self._freed.clear()
                await self._freed.wait()
            self._free -= 1
            data = await self._context.read()
            if data is grpc.aio.EOF:
                return
            job = Job(
                data, encode_stream_response, self._connection, self._context.time_remaining()
            )
            self._watch(job, self._answerer.submit(job))

    async def _write(self) -> None:
        while True:
            while self._answers:
                await self._context.write(self._answers.popleft())
                self._free += 1
                self._freed.set()
            if self._all_read and not self._in_flight:
                return
            self._answered_some.clear()
            await self._answered_some.wait()

    def _watch(self, job: Job, future: _Answer) -> None:
        self._in_flight.add(future)
        future.add_done_callback(partial(self._answered, job))

    def _answered(self, job: Job, future: _Answer) -> None:
        self._in_flight.discard(future)
        self._answered_some.set()
        if future.cancelled():
            return
        if error := future.exception():
            self._answers.append(_error_answer(job.header, error))
        elif isinstance(found := future.result(), bytes):
            self._answers.append(found)
        else:
            self._watch(job, asyncio.ensure_future(found()))

    def _read_ended(self, reader: asyncio.Task[None]) -> None:
        self._all_read = True
        self._cut_short = reader.cancelled()
        if not self._cut_short and (error := reader.exception()):
            _log.info("a stream could not be read on: %s", printable(error))
        self._answered_some.set()


def _error_answer(request: ModelInferRequest, error: BaseException) -> bytes:
    code, sentence = refusal_of(error)
    header = ModelInferResponse(model_name=request.model_name, id=request.id)
    header.parameters[PARAM_ERROR_CODE].string_param = code.name
    if wait_ms := retry_after_ms(error):
        header.parameters[PARAM_RETRY_AFTER_MS].int64_param = wait_ms
    return encode_stream_response(header, [], sentence)
