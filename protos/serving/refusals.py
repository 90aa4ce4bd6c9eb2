"""Refusals: the status and the public sentence that a caller gets for a failure."""

import logging
import math
from typing import Any, NoReturn, TypeAlias

import grpc

from protos.errors import BundleError, FaultError, OverloadedError, SplitpointError
from protos.names import RETRY_AFTER_TRAILER
from protos.rpc.printable import printable
from protos.rpc.status import code_of

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"

DRAINING = "the server is shutting down. Try again, or use another server."
INTERNAL = "the server failed on this request; its log says why. Other requests are not affected."

_log = logging.getLogger(__name__)


def refusal_of(error: BaseException) -> tuple[grpc.StatusCode, str]:
    """Return the status and the public sentence for `error`; what is our fault goes to the log."""
    if isinstance(error, FaultError | BundleError):
        _log.error("%s", printable(error))
    if isinstance(error, SplitpointError):
        return code_of(error), str(error)
    _log.error("an unexpected error while serving a request", exc_info=error)
    return grpc.StatusCode.INTERNAL, INTERNAL


async def refuse(context: Context, error: Exception) -> NoReturn:
    """End a call with the status and the sentence of `error`, and in the trailers when to try again."""
    wait_ms = retry_after_ms(error)
    trailers = ((RETRY_AFTER_TRAILER, str(wait_ms)),) if wait_ms else ()
    await context.abort(*refusal_of(error), trailers)


def retry_after_ms(error: BaseException) -> int:
    """Return the whole milliseconds after which to try again; 0 where `error` does not say."""
    return math.ceil(error.retry_after_s * 1e3) if isinstance(error, OverloadedError) else 0
