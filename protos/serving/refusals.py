"""Refusals: the status and the public sentence that a caller gets for a failure."""

import logging
import math
import re
from typing import Any, NoReturn, TypeAlias

import grpc

from protos.errors import FaultError, FileError, OverloadedError, SplitpointError
from protos.names import RETRY_AFTER_TRAILER
from protos.rpc.status import code_of
from protos.serving.bounded_log import BoundedLog

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"

DRAINING = "the server is shutting down. Try again, or use another server."
INTERNAL = "the server failed on this request; its log says why. Other requests are not affected."

_MOST_CARRIED_BYTES = 6 << 10
"""Clients of gRPC take headers of 8 KiB; with more a call ends as if the server were overloaded."""
_KEPT_LETTERS = 250
"""At either end: each is 12 bytes at most."""

_FOLDERS = re.compile(r"""(?<![^\s('"=:`\[])/(?:[^/\s:;,'"()]+/)+(?=[^/\s])""")
"""The folders of a path from the root on, where a word begins."""

_log = BoundedLog(logging.getLogger(__name__), logging.ERROR)
"""Bounded: some models fail on values that a caller may choose."""


def refusal_of(error: BaseException) -> tuple[grpc.StatusCode, str]:
    """Return the status and the public sentence for `error`; what is our fault goes to the log.

    A sentence that quotes what came is shortened to what a call can carry. Of a file it tells the name, and
    not where it lies, which is the log's to tell.
    """
    if isinstance(error, FaultError | FileError):
        _log.write(error)
    if isinstance(error, FileError):
        return code_of(error), _shortened(without_folders(str(error)))
    if isinstance(error, SplitpointError):
        return code_of(error), _shortened(str(error))
    _log.write("an unexpected error while serving a request", error)
    return grpc.StatusCode.INTERNAL, INTERNAL


def without_folders(sentence: str) -> str:
    """Return a sentence in which files have their names alone: `/srv/models/a.onnx` becomes `a.onnx`."""
    return _FOLDERS.sub("", sentence)


def _shortened(sentence: str) -> str:
    """Return the beginning and the end of a sentence that HTTP/2's headers would not carry whole."""
    if len(sentence) <= 2 * _KEPT_LETTERS or _carried_bytes(sentence) <= _MOST_CARRIED_BYTES:
        return sentence
    return f"{sentence[:_KEPT_LETTERS]} … {sentence[-_KEPT_LETTERS:]}"


def _carried_bytes(sentence: str) -> int:
    """Return how long gRPC writes it: `%C3%A9` for what is not ASCII, and for what no printer shows."""
    plain = sum(" " <= letter <= "~" and letter != "%" for letter in sentence)
    return plain + 3 * (len(sentence.encode("utf-8", "replace")) - plain)


async def refuse(context: Context, error: Exception) -> NoReturn:
    """End a call with the status and the sentence of `error`, and in the trailers when to try again."""
    wait_ms = retry_after_ms(error)
    trailers = ((RETRY_AFTER_TRAILER, str(wait_ms)),) if wait_ms else ()
    await context.abort(*refusal_of(error), trailers)


def retry_after_ms(error: BaseException) -> int:
    """Return the whole milliseconds after which to try again; 0 where `error` does not say."""
    return math.ceil(error.retry_after_s * 1e3) if isinstance(error, OverloadedError) else 0
