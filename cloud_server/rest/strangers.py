"""Strangers: connections of HTTP on which nobody has been let in yet, of which there are only so many."""

from asyncio import BaseTransport
from collections.abc import Mapping
from typing import Any

MOST_STRANGERS = 512
"""Connections hold files, of which a process often has 1,024."""

_STRANGER = "stranger"


class Strangers:
    """The strangers of one listener. One too many closes the oldest of the address that has most of them.

    So a machine that only opens connections ends its own, and who is let in at once is never among them.
    """

    def __init__(self, most: int = MOST_STRANGERS) -> None:
        self._most = most
        self._by_host: dict[str, dict[BaseTransport, None]] = {}
        self._count = 0

    def come(self, transport: BaseTransport) -> None:
        """Count a connection that has just come."""
        self._by_host.setdefault(_host_of(transport), {})[transport] = None
        self._count += 1
        if self._count > self._most:
            crowd = max(self._by_host.values(), key=len)
            oldest = next(iter(crowd))
            self.leave(oldest)
            oldest.close()

    def leave(self, transport: BaseTransport) -> None:
        """Count a connection no more: it has gone, or its caller was let in."""
        host = _host_of(transport)
        there = self._by_host.get(host, {})
        if transport not in there:
            return
        del there[transport]
        self._count -= 1
        if not there:
            del self._by_host[host]


def counting_strangers(protocol: Any, strangers: Strangers) -> Any:
    """Return a protocol of uvicorn like `protocol` whose connections are strangers until they are let in."""

    class CountsStrangers(protocol):  # type: ignore[misc]  # which of its protocols is known when it runs
        app_state: dict[str, Any]

        def connection_made(self, transport: BaseTransport) -> None:
            super().connection_made(transport)
            strangers.come(transport)
            self.app_state = {**self.app_state, _STRANGER: lambda: strangers.leave(transport)}

        def connection_lost(self, exc: Exception | None) -> None:
            strangers.leave(self.transport)
            super().connection_lost(exc)

    return CountsStrangers


def let_in(scope: Mapping[str, Any]) -> None:
    """Note that the caller of a request was let in: its connection is no stranger any more."""
    leave = scope.get("state", {}).get(_STRANGER)
    if leave is not None:
        leave()


def _host_of(transport: BaseTransport) -> str:
    peer = transport.get_extra_info("peername")
    return str(peer[0]) if isinstance(peer, tuple) else ""
