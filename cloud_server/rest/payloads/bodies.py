"""Bodies of requests: bounded one by one before they are read, and by caller and all together while held."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from protos.errors import LateError, OverloadedError, TooLargeError, UsageError, plural
from protos.serving.callers import CALLER

if TYPE_CHECKING:
    from fastapi import Request

BODY_TIMEOUT_S = 60.0
"""After which a body that has not come whole is given up."""

_HELD_AT_ONCE = 8
"""So many of the largest bodies may be held together."""
_HELD_OF_ONE = 2
"""And of one caller: what others cannot take from those who come later."""

_RETRY_AFTER_S = 1.0


class LateBodyError(LateError):
    """A body that its sender does not finish: the caller is late, and not the server."""


class Bodies:
    """Reads bodies of at most `max_bytes`; eight such may be held, two of one caller. For one event loop.

    What has come counts, and not what was announced: who sends nothing keeps nobody away.
    """

    def __init__(self, max_bytes: int, timeout_s: float = BODY_TIMEOUT_S) -> None:
        self._max_bytes = max_bytes
        self._timeout_s = timeout_s
        self._held: Counter[str] = Counter()

    @property
    def held_bytes(self) -> int:
        """Bytes of all bodies that are being read or answered."""
        return self._held.total()

    @asynccontextmanager
    async def read(self, request: "Request") -> AsyncIterator[bytes]:
        """Give the body, which counts as held within the block.

        Raises TooLargeError, before anything is read if it says its length; OverloadedError where too much
        is held already; LateBodyError where it does not come in time.
        """
        held = _HeldBody(self, _caller_of(request))
        self.check_room(held.caller, self._announced(request))
        try:
            async with asyncio.timeout(self._timeout_s):
                body = await self._gather(request, held)
        except TimeoutError as error:
            held.free()
            raise LateBodyError(
                f"the body did not come within {self._timeout_s:g} s. Send as many bytes as its length says."
            ) from error
        except BaseException:
            held.free()
            raise
        try:
            yield body
        finally:
            held.free()

    def check_room(self, caller: str, size_bytes: int) -> None:
        """Raise OverloadedError unless so many bytes more may be held of a caller."""
        if self.held_bytes + size_bytes > _HELD_AT_ONCE * self._max_bytes:
            raise OverloadedError(
                "this server holds as many bodies of requests as it has room for. Try again later.",
                _RETRY_AFTER_S,
            )
        if self._held[caller] + size_bytes > _HELD_OF_ONE * self._max_bytes:
            raise OverloadedError(
                "this server holds as many bodies of your requests as it has room for. Wait for their "
                "answers first.",
                _RETRY_AFTER_S,
            )

    def change(self, caller: str, by_bytes: int) -> None:
        """Count so many bytes more of a caller as held, or fewer."""
        self._held[caller] += by_bytes
        if not self._held[caller]:
            del self._held[caller]

    def _announced(self, request: "Request") -> int:
        text = request.headers.get("content-length")
        if text is None:
            return 0
        if not (text.isascii() and text.isdigit()):
            raise UsageError(f"Content-Length is {text[:64]!r}. Send the bytes of the body.")
        if len(text) > 18 or int(text) > self._max_bytes:
            raise self._too_large()
        return int(text)

    async def _gather(self, request: "Request", held: "_HeldBody") -> bytes:
        body = bytearray()
        async for chunk in request.stream():
            if len(body) + len(chunk) > self._max_bytes:
                raise self._too_large()
            held.reach(len(body) + len(chunk))
            body += chunk
        return bytes(body)

    def _too_large(self) -> TooLargeError:
        return TooLargeError(
            f"the body is over the limit of {plural(self._max_bytes, 'byte')}. Send less at a time, or "
            "start the server with a larger --max-message."
        )


class _HeldBody:
    """The bytes that one body has taken of what may be held."""

    def __init__(self, bodies: Bodies, caller: str) -> None:
        self.caller = caller
        self._bodies = bodies
        self._size_bytes = 0

    def reach(self, size_bytes: int) -> None:
        """Take what is missing to so many bytes; OverloadedError where there is no room for it."""
        more = size_bytes - self._size_bytes
        self._bodies.check_room(self.caller, more)
        self._bodies.change(self.caller, more)
        self._size_bytes = size_bytes

    def free(self) -> None:
        self._bodies.change(self.caller, -self._size_bytes)
        self._size_bytes = 0


def _caller_of(request: "Request") -> str:
    """Return the device that asks; the machine, where callers have no names."""
    return CALLER.get() or (request.client.host if request.client else "")
