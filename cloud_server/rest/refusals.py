"""Errors as HTTP: a status, the public sentence as {"error": …}, and when to try again."""

import math
from collections import Counter

import grpc
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cloud_server.rest.payloads.bodies import LateBodyError
from cloud_server.rest.payloads.encodings import ENCODINGS, UnknownEncodingError
from protos.errors import SplitpointError, UnreachableError
from protos.serving.refusals import DRAINING, refusal_of, retry_after_ms

_Code = grpc.StatusCode
_STATUSES = {
    _Code.INVALID_ARGUMENT: 400,
    _Code.UNAUTHENTICATED: 401,
    _Code.PERMISSION_DENIED: 403,
    _Code.NOT_FOUND: 404,
    _Code.FAILED_PRECONDITION: 409,
    _Code.OUT_OF_RANGE: 413,
    _Code.RESOURCE_EXHAUSTED: 429,
    _Code.INTERNAL: 500,
    _Code.DATA_LOSS: 500,
    _Code.UNIMPLEMENTED: 501,
    _Code.UNAVAILABLE: 503,
    _Code.DEADLINE_EXCEEDED: 504,
}
_OF_HTTP: tuple[tuple[type[SplitpointError], int, dict[str, str]], ...] = (
    (LateBodyError, 408, {"connection": "close"}),
    (UnknownEncodingError, 415, {"accept-encoding": ", ".join(ENCODINGS)}),
)
"""What HTTP has a status of its own for, with what goes with it (RFC 9110, sections 15.5.9 and 15.5.16)."""
_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
_TRY_AGAIN = (429, 503)
_SHARED_MEMORY = ("/v2/systemsharedmemory", "/v2/cudasharedmemory")

CLIENT_GONE = 499
"""Of an answer that nobody reads any more, as nginx has it."""


def refusal(error: BaseException) -> JSONResponse:
    """Return the answer to a request that failed with `error`; what is our fault goes to the log."""
    code, sentence = refusal_of(error)
    status, headers = next(
        ((status, dict(more)) for kind, status, more in _OF_HTTP if isinstance(error, kind)),
        (_STATUSES.get(code, 500), {}),
    )
    if status in _TRY_AGAIN:
        headers["retry-after"] = str(max(1, math.ceil(retry_after_ms(error) / 1000)))
    if status == 401:
        headers["www-authenticate"] = "Bearer"
    return said(status, sentence, headers)


def said(status: int, sentence: str, headers: dict[str, str] | None = None) -> JSONResponse:
    """Return an error as the protocol wants it."""
    return JSONResponse({"error": sentence}, status, headers)


def _of_shared_memory(path: str) -> Response:
    """Return what gRPC answers, too: there are no regions, none can be registered, and none is left."""
    if path.endswith("/register"):
        return said(501, "shared memory is not supported here. Send tensors in the request.")
    return JSONResponse([]) if path.endswith("/status") else Response()


def draining() -> UnreachableError:
    """Return what a request gets that comes while the server goes away."""
    return UnreachableError(DRAINING)


class Answers:
    """Counts every answer, and makes one of what nobody expected: 500, a sentence, a line in the log.

    A layer of ASGI. `counts`: by method, route and status; what is no method or route of ours counts as one.
    """

    def __init__(self, app: ASGIApp, counts: Counter[tuple[str, str, str]]) -> None:
        self._app = app
        self._counts = counts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve by the layers within."""
        begun = False

        async def sent(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                self._counts[(*_named(scope), str(message["status"]))] += 1
            await send(message)

        try:
            await self._app(scope, receive, sent)
        except Exception as error:
            if begun or scope["type"] != "http":
                raise
            await refusal(error)(scope, receive, sent)


class Heads:
    """Answers HEAD as GET, but for the body: the routes of FastAPI know GET alone. A layer of ASGI."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve by the layers within."""
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return
        asked = {**scope, "method": "GET"}

        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                scope["route"] = asked.get("route")  # by which the answer is counted
            if message["type"] == "http.response.body":
                message = {**message, "body": b""}
            await send(message)

        await self._app(asked, receive, sent)


def _named(scope: Scope) -> tuple[str, str]:
    method = scope["method"] if scope["method"] in _METHODS else "other"
    return method, getattr(scope.get("route"), "path", "none")


def add_refusals(app: FastAPI) -> None:
    """Let an application answer every error as {"error": …}."""

    @app.exception_handler(SplitpointError)
    async def ours(_request: Request, error: SplitpointError) -> JSONResponse:
        return refusal(error)

    @app.exception_handler(ClientDisconnect)
    async def gone(_request: Request, _error: ClientDisconnect) -> Response:
        return Response(status_code=CLIENT_GONE)

    @app.exception_handler(HTTPException)
    async def of_http(request: Request, error: HTTPException) -> Response:
        if request.url.path.startswith(_SHARED_MEMORY):
            return _of_shared_memory(request.url.path)
        if error.status_code == 404:
            return said(404, "this server has no such page. /docs lists those that it has.")
        if error.status_code == 405:
            sentence = f"this page is not asked for by {request.method[:16]}. See docs."
            return said(405, sentence, dict(error.headers or {}))
        return said(error.status_code, str(error.detail), dict(error.headers or {}))

    @app.exception_handler(RequestValidationError)
    async def of_arguments(_request: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        return said(400, f"{where}: {first['msg']}. /docs lists what this page takes.")
