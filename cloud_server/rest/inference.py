"""Inference by REST: a body becomes a job of the engine, as a gRPC message does."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from fastapi import Request, Response

from cloud_server.rest.payloads.bodies import Bodies
from cloud_server.rest.payloads.infer_job import RestJob
from cloud_server.rest.refusals import CLIENT_GONE, draining
from protos.serving.answers import Answerer, answer
from protos.serving.drain import Drain

if TYPE_CHECKING:
    from starlette.types import Message


Gate = Callable[[Request], Awaitable[None]]
"""Raises SplitpointError for a request that is not let in. What it sets in context variables holds for
the rest of the request."""


class Inference:
    """Answers inference requests. `max_bytes`: of a body, and of what it unfolds to.

    `gate` is asked once the body has come.
    """

    def __init__(self, answerer: Answerer, drain: Drain, max_bytes: int, gate: Gate) -> None:
        self._answerer = answerer
        self._gate = gate
        self._drain = drain
        self._bodies = Bodies(max_bytes)
        self._max_bytes = max_bytes

    async def answer(self, request: Request, model: str, version: str = "") -> Response:
        """Return the answer to a request; raises SplitpointError. Its work ends when the client hangs up."""
        if self._drain.started:
            raise draining()
        with self._drain.work():
            async with self._bodies.read(request) as body:
                await self._gate(request)
                job = RestJob(
                    body, request.headers, model, version, self._max_bytes, _peer(request)
                )
                work = asyncio.ensure_future(answer(self._answerer, job))
                if not await _finished(work, request):
                    return Response(status_code=CLIENT_GONE)
                return Response(work.result(), headers=job.headers_out)


async def _finished(work: "asyncio.Future[bytes]", request: Request) -> bool:
    """Wait for `work`; False, and it is cancelled, if the client hangs up before."""
    gone = asyncio.ensure_future(_hung_up(request))
    ends: set[asyncio.Future[Any]] = {work, gone}
    try:
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        return work.done()
    finally:
        work.cancel()
        gone.cancel()


async def _hung_up(request: Request) -> None:
    message: Message = await request.receive()
    while message["type"] != "http.disconnect":
        message = await request.receive()


def _peer(request: Request) -> str:
    """Return who is at the other end, by which the engine is fair where callers have no names."""
    return f"{request.client.host}:{request.client.port}" if request.client else ""
