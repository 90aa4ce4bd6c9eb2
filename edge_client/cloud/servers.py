"""The servers of one cloud: which of them is in use, and which comes next when it is away, sick or full."""

import asyncio
import math
import socket
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass, replace
from ipaddress import ip_address
from threading import Thread

from protos.errors import SplitpointError, UsageError
from protos.rpc.addresses import split_address
from protos.rpc.endpoints import Endpoint
from protos.security.channel_security import ChannelSecurity

_RESOLVED_S = 1.0
"""What a name service may take; without an answer the names stand for themselves."""


@dataclass(frozen=True, slots=True)
class ServerMove:
    """A client that goes on with another server."""

    before: str
    after: str
    error: SplitpointError | None
    """What the one before has failed with."""


def _unheard(_move: ServerMove) -> None:
    """Let nobody hear of moves."""


Resolve = Callable[[str, int], Awaitable[Sequence[str]]]


async def resolve(host: str, port: int) -> Sequence[str]:
    """Return the IP addresses of a host, in the order of the system; OSError, UnicodeError."""
    found: Future[Sequence[str]] = Future()
    # Of its own, and not the loop's: a name service that hangs is not to hold up the end of the process.
    Thread(target=_find, args=(found, host, port), name="splitpoint-names", daemon=True).start()
    async with asyncio.timeout(_RESOLVED_S):
        return await asyncio.wrap_future(found)


def _find(found: "Future[Sequence[str]]", host: str, port: int) -> None:
    with suppress(InvalidStateError):  # nobody waits for it any more
        try:
            every = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            found.set_result(list(dict.fromkeys(str(address[4][0]) for address in every)))
        except (OSError, UnicodeError) as error:
            found.set_exception(error)


def parse_servers(text: str, security: ChannelSecurity | None = None) -> "Servers":
    """Return the servers of `HOST:PORT,HOST:PORT`, the preferred first; UsageError for what is no address."""
    addresses = [part.strip() for part in text.split(",")]
    if len(set(addresses)) < len(addresses) or "" in addresses:
        raise UsageError(
            f"{text!r} names a server twice, or none between two commas. Write each once: a:50051,b:50051."
        )
    return Servers([Endpoint(address, security) for address in addresses])


class Servers:
    """One or more servers that offer the same, in the order in which they are preferred.

    A name that stands for several addresses beyond this machine stands for as many servers, once
    `look_up` was awaited. Who is in use stays in use until it fails.
    """

    def __init__(self, endpoints: Sequence[Endpoint], resolving: Resolve = resolve) -> None:
        self.resolving = resolving
        """Finds the addresses of names."""
        self.on_move: Callable[[ServerMove], None] = _unheard
        """Hears of moves from one server to another."""
        self._named = tuple(endpoints)
        self._all = self._named
        self._behind: dict[Endpoint, Sequence[Endpoint]] = {}
        """Which servers a name stood for when it was last looked up."""
        self._current = self._named[0]
        self._changed = asyncio.Event()
        self._rests_until_s: dict[str, float] = {}

    @classmethod
    def of(cls, server: "str | Endpoint | Servers") -> "Servers":
        """Return servers that may be given as one, or as its address in the clear."""
        return server if isinstance(server, Servers) else cls([Endpoint.of(server)])

    def __len__(self) -> int:
        return len(self._all)

    def __str__(self) -> str:
        return ",".join(map(str, self._all))

    def __contains__(self, server: Endpoint) -> bool:
        return server in self._all

    @property
    def current(self) -> Endpoint:
        """The one that is asked."""
        return self._current

    def use(self, server: Endpoint) -> None:
        """Ask this one from now on."""
        if server != self._current:
            self._current = server
            changed, self._changed = self._changed, asyncio.Event()
            changed.set()

    async def until_another(self) -> None:
        """Wait until another server than now is asked."""
        await self._changed.wait()

    def tell_move(self, before: Endpoint, error: SplitpointError | None) -> None:
        """Tell that another server than `before` serves now, as that has failed with `error`."""
        if before.address != self._current.address:
            self.on_move(ServerMove(before.address, self._current.address, error))

    def rest(self, server: Endpoint, until_s: float) -> None:
        """Leave a server alone until a moment: it is full, and has named it."""
        self._rests_until_s[server.address] = until_s

    def rest_no_more(self) -> None:
        """Leave nobody alone any longer."""
        self._rests_until_s.clear()

    @property
    def are_secured_anew(self) -> bool:
        """True once a certificate or a token was renewed that no connection has been tried with."""
        return any(server.is_secured_anew for server in self._all)

    def rests_for_s(self, server: Endpoint, now_s: float) -> float:
        """Return how long a server is still to be left alone."""
        return max(0.0, self._rests_until_s.get(server.address, -math.inf) - now_s)

    def after(self, server: Endpoint, now_s: float) -> Endpoint:
        """Return the next after `server` that may be asked now, or else the one that may be soonest.

        It is `server` itself where there is no other.
        """
        at = self._all.index(server) if server in self._all else -1
        turn = [*self._all[at + 1 :], *self._all[: at + 1]]
        return min(turn, key=lambda one: self.rests_for_s(one, now_s))

    async def look_up(self) -> None:
        """Find out which servers the names stand for now; without an answer it stays as it is.

        Who is in use stays so, even if no name stands for it. An address that has two names counts once.
        """
        found: list[Endpoint] = []
        for endpoint in self._named:
            with suppress(OSError, UnicodeError):  # the second: for what can be no name
                self._behind[endpoint] = await self._found_behind(endpoint)
            found += self._behind.get(endpoint, [endpoint])
        known = {one.address: one for one in (*self._all, self._current)}
        self._all = tuple(dict.fromkeys(known.setdefault(one.address, one) for one in found))

    async def _found_behind(self, endpoint: Endpoint) -> Sequence[Endpoint]:
        if endpoint.address.startswith("unix:"):
            return [endpoint]
        host, port = split_address(endpoint.address, "of a server")
        addresses = await self.resolving(host, port)
        if len(addresses) < 2 or any(
            ip_address(one.partition("%")[0]).is_loopback for one in addresses
        ):
            return [endpoint]
        security = endpoint.security
        if security.tls and not security.server_name:
            security = replace(security, server_name=host)
        return [Endpoint(_joined(address, port), security) for address in addresses]


def _joined(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
