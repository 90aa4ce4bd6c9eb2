"""Connections of HTTP on which nothing is asked for: they are let go, as they hold files that others need.

uvicorn gives up those that fall silent after an answer, and no others.
"""

import asyncio
from asyncio import BaseTransport
from typing import Any

SILENT_S = 20.0
"""Between two looks at a connection: it is closed where no request has begun since the look before."""


def leaving_silent(protocol: Any, look_s: float) -> Any:
    """Return a protocol of uvicorn like `protocol` that closes connections on which no request comes whole.

    What counts is its headers: for how long a body may take is said elsewhere.
    """

    class LeavesSilent(protocol):  # type: ignore[misc]  # which of its protocols is known when it runs
        _looking: asyncio.TimerHandle

        def connection_made(self, transport: BaseTransport) -> None:
            super().connection_made(transport)
            self._look_after(None)

        def connection_lost(self, exc: Exception | None) -> None:
            self._looking.cancel()
            super().connection_lost(exc)

        def _look_after(self, cycle: Any) -> None:
            self._looking = self.loop.call_later(look_s, self._look, cycle)

        def _look(self, before: Any) -> None:
            idle = self.cycle is None or self.cycle.response_complete
            if idle and self.cycle is before:
                self.transport.close()
            else:
                self._look_after(self.cycle)

    return LeavesSilent
