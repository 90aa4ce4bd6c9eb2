"""Bodies of requests: bounded one by one before they are read, and all together while they are held."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from protos.errors import LateError, OverloadedError, TooLargeError, UsageError, plural

if TYPE_CHECKING:
    from fastapi import Request

BODY_TIMEOUT_S = 60.0
"""After which a body that has not come whole is given up."""

_HELD_AT_ONCE = 8
"""So many of the largest bodies may be held together."""

_RETRY_AFTER_S = 1.0


class Bodies:
    """Reads bodies of at most `max_bytes`, eight of which may be held together. For one event loop."""

    def __init__(self, max_bytes: int, timeout_s: float = BODY_TIMEOUT_S) -> None:
        self._max_bytes = max_bytes
        self._timeout_s = timeout_s
        self.held_bytes = 0
        """Of all bodies that are being read or answered."""

    @asynccontextmanager
    async def read(self, request: "Request") -> AsyncIterator[bytes]:
        """Give the body, which counts as held within the block.

        Raises TooLargeError, before anything is read if it says its length; OverloadedError where too much
        is held already; LateError where it does not come in time.
        """
        held = _Held(self, self._announced(request))
        try:
            async with asyncio.timeout(self._timeout_s):
                body = await self._gather(request, held)
        except TimeoutError as error:
            held.free()
            raise LateError(
                f"the body did not come within {self._timeout_s:g} s. Send as many bytes as its length says."
            ) from error
        except BaseException:
            held.free()
            raise
        try:
            yield body
        finally:
            held.free()

    def take(self, size_bytes: int) -> None:
        """Count so many more bytes as held; OverloadedError where they are too many."""
        if self.held_bytes + size_bytes > _HELD_AT_ONCE * self._max_bytes:
            raise OverloadedError(
                "this server holds as many bodies of requests as it has room for. Try again later.",
                _RETRY_AFTER_S,
            )
        self.held_bytes += size_bytes

    def _announced(self, request: "Request") -> int:
        text = request.headers.get("content-length")
        if text is None:
            return 0
        if not (text.isascii() and text.isdigit()):
            raise UsageError(f"Content-Length is {text[:64]!r}. Send the bytes of the body.")
        if len(text) > 18 or int(text) > self._max_bytes:
            raise self._too_large()
        return int(text)

    async def _gather(self, request: "Request", held: "_Held") -> bytes:
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


class _Held:
    """The bytes that one body has taken of what may be held."""

    def __init__(self, bodies: Bodies, size_bytes: int) -> None:
        self._bodies = bodies
        self._size_bytes = 0
        self.reach(size_bytes)

    def reach(self, size_bytes: int) -> None:
        """Take what is missing to so many bytes."""
        if (more := size_bytes - self._size_bytes) > 0:
            self._bodies.take(more)
            self._size_bytes = size_bytes

    def free(self) -> None:
        self._bodies.held_bytes -= self._size_bytes
        self._size_bytes = 0
