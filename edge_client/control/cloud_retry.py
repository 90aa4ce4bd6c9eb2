"""Retrying a dead cloud: greetings until it is back, then its link measured and a plan made anew.

The circuit breaker says when the next try is due, and lets no frame through before one succeeds.
"""

import asyncio
import math
from collections import Counter
from collections.abc import Awaitable, Callable
from time import perf_counter

from edge_client.cloud.absence import needs_a_person
from edge_client.cloud.greeting import ServerInfo
from edge_client.cloud.probe_connection import ProbeConnection
from edge_client.cloud.transport import GrpcTransport
from edge_client.control.controller import Controller
from partitioner.bundle.bundle import Bundle
from partitioner.estimators.circuit_breaker import LONGEST_REST_S, Breaker, Circuit
from partitioner.estimators.cloud_checks import greet_patience_s
from partitioner.estimators.transfer import Transfer
from protos.errors import (
    FaultError,
    MismatchError,
    NetworkError,
    OverloadedError,
    SplitpointError,
    UnknownNameError,
)
from protos.rpc.endpoints import Endpoint

_LONGEST_REST_S = 30.0
"""After a plan that failed, however long it had taken."""
_LOOKED_UP_S = 15.0
"""While all are away, what their names stand for is looked up this often: they may have moved."""
_PERSON_SHARE, _PERSON_S, _LONGEST_PERSON_S = 0.25, 1.0, 30.0
"""What only a person can mend, as a wrong certificate, is looked at again after this share of the time that
it has lasted, from so many seconds to so many."""

OnBack = Callable[[ServerInfo], Awaitable[None]]


class CloudRetry:
    """Tries a cloud that is away. `on_back` hears of the server when it answers, and may refuse it."""

    def __init__(
        self,
        bundle: Bundle,
        transport: GrpcTransport,
        breaker: Breaker,
        controller: Controller,
        probes: ProbeConnection,
        on_back: OnBack,
        clock: Callable[[], float] = perf_counter,
    ) -> None:
        self._bundle = bundle
        self._transport = transport
        self._breaker = breaker
        self._controller = controller
        self._probes = probes
        self._on_back = on_back
        self._clock = clock
        self._tried = transport.endpoint
        self._searches = self._is_away = False
        self._left: tuple[Endpoint, SplitpointError | None] = (transport.endpoint, None)
        self._looking_up: asyncio.Task[None] | None = None
        self._looked_up_at = -math.inf
        self._failures: Counter[str] = Counter()

    async def retry(self) -> None:
        """Greet the next server, or the same again where there is no other.

        Over a new connection each time: an old one may still wait for what is lost.
        """
        server, rest_s = self._next(self._clock())
        if rest_s > 0:
            self._breaker.probed(self._breaker.error, self._clock(), wait_s=rest_s)
            return
        await self._probes.turn_to(server)
        planned_at = math.inf
        try:
            patience_s = greet_patience_s(self._failures[server.address])
            info = await self._probes.greet(self._bundle, patience_s)
            if self._controller.adapts and info.probes:
                pair = await self._probes.two_over_a_new_link(self._controller.probe_bytes())
                self._learn(server, *pair)
            planned_at = self._clock()
            await self._transport.switch_to(server)
            await self._on_back(info)
            self._transport.servers.tell_move(*self._left)
        except SplitpointError as error:
            await self._probes.hang_up()
            self._failed(error, planned_at)
            await self._lean_on(server, error)
            return
        except Exception as error:
            self._failed(FaultError(f"looking for it failed: {error!r}"), planned_at)
            raise
        self._searches = False
        self._breaker.probed(None, self._clock())

    async def _lean_on(self, server: Endpoint, error: SplitpointError) -> None:
        """Turn from a server that is away to one that is there without this version: it may offer another."""
        in_use = server == self._transport.endpoint
        if in_use:
            self._is_away = isinstance(error, NetworkError)
        elif self._is_away and isinstance(error, MismatchError | UnknownNameError):
            self._is_away = False
            await self._transport.switch_to(server)

    def note_files(self) -> None:
        """Ask again at once where a certificate or a token was renewed since: it may be what was wrong."""
        servers = self._transport.servers
        if self._breaker.circuit is Circuit.OPEN and servers.are_secured_anew:
            servers.rest_no_more()
            self._breaker.hurry(self._clock())

    async def close(self) -> None:
        """Look nothing up any more."""
        looking_up, self._looking_up = self._looking_up, None
        if looking_up is not None:
            looking_up.cancel()
            await asyncio.gather(looking_up, return_exceptions=True)

    def _next(self, now_s: float) -> tuple[Endpoint, float]:
        """Return the server to try after the one that failed, and for how long all ask to be left alone."""
        servers = self._transport.servers
        if not self._searches:
            self._searches, self._tried = True, self._transport.endpoint
            self._failures.clear()
            self._left = self._tried, self._breaker.error
            self._looked_up_at = -math.inf
            self._leave_alone(self._breaker.error, now_s)
            self._is_away = isinstance(self._breaker.error, NetworkError)
        if now_s - self._looked_up_at >= _LOOKED_UP_S:
            # For the tries after this one, which must not wait for a name service.
            self._looked_up_at = now_s
            self._looking_up = asyncio.create_task(servers.look_up())
        self._breaker.has_others = len(servers) > 1
        self._tried = servers.after(self._tried, now_s)
        return self._tried, servers.rests_for_s(self._tried, now_s)

    def _leave_alone(self, error: SplitpointError | None, now_s: float) -> None:
        """Let the server that was tried rest for as long as it has just asked for, if it has."""
        if isinstance(error, OverloadedError) and error.retry_after_s > 0:
            until_s = now_s + min(error.retry_after_s, LONGEST_REST_S)
            self._transport.servers.rest(self._tried, until_s)

    def _leave_to_people(self, now_s: float) -> None:
        """Let the server that was tried rest for longer and longer: somebody has to mend it, or this edge."""
        lasted_s = _PERSON_SHARE * self._breaker.away_s(now_s)
        rest_s = min(max(_PERSON_S, lasted_s), _LONGEST_PERSON_S) * self._breaker.spread()
        self._transport.servers.rest(self._tried, now_s + rest_s)

    def _learn(self, server: Endpoint, small: Transfer, large: Transfer) -> None:
        """Learn from two probes, and forget what was known before unless the same server was only late.

        What late answers have taught holds: probes are smaller, and wait for no frame.
        """
        learned = self._controller.learned
        if self._breaker.answers_late and server is self._transport.endpoint:
            learned.crossed(small)
            learned.crossed(large)
        else:
            learned.measured(small, large)

    def _failed(self, error: SplitpointError, planned_at: float) -> None:
        """Tell the breaker; both sides may have measured since `planned_at`, which is not begun anew at once.

        Unless it was the link that failed: it may be well again at any moment.
        """
        now_s = self._clock()
        self._failures[self._tried.address] += 1
        self._leave_alone(error, now_s)
        if needs_a_person(error):
            self._leave_to_people(now_s)
        measured_s = 0.0 if isinstance(error, NetworkError) else now_s - planned_at
        servers = self._transport.servers
        all_rest_s = servers.rests_for_s(servers.after(self._tried, now_s), now_s)
        rest_s = max(all_rest_s, min(measured_s, _LONGEST_REST_S))
        self._breaker.probed(error, now_s, wait_s=rest_s)
