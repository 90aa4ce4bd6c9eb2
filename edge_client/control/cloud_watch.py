"""The watch over a cloud that no frame looks after: when to retry it, greet it again, or probe its link.

While the cloud is away, it is retried (cloud_retry.py). While it has another calibration, greetings find out
whether it still does. While requests wait in silence for long, a probe tells a dead connection from a slow
one. While no message uses the link, a small transfer tells its round trip, and a larger one its rate, where
that is worth its bytes (partitioner/policy/exploration.py).
"""

from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter

from edge_client.cloud.probe_connection import ProbeConnection
from edge_client.cloud.transport import GrpcTransport
from edge_client.control.cloud_retry import CloudRetry, OnBack
from edge_client.control.controller import Controller
from partitioner.bundle.bundle import Bundle
from partitioner.common.event_loop import repeat
from partitioner.estimators.circuit_breaker import Breaker
from partitioner.estimators.cloud_checks import (
    GREET_EVERY_S,
    MOST_LOOKS,
    SILENCE_S,
    TICK_S,
    Check,
    due_check,
)
from protos.errors import FaultError, NetworkError, SplitpointError


@dataclass(frozen=True, slots=True)
class LookCounts:
    """What looks at the link have come to since the start."""

    tries: int = 0
    """Frames that tried another option,"""
    probes: int = 0
    """and messages that belong to no frame."""
    sent_bytes: int = 0
    """What both have sent beside what frames of the options in use send, with the framing of probes."""


class CloudWatch:
    """Probes when there is reason to. `tick` does what is due now; `run` calls it again and again."""

    def __init__(
        self,
        bundle: Bundle,
        transport: GrpcTransport,
        breaker: Breaker,
        controller: Controller,
        on_back: OnBack,
        clock: Callable[[], float] = perf_counter,
    ) -> None:
        self._bundle = bundle
        self._transport = transport
        self._breaker = breaker
        self._controller = controller
        self._on_back = on_back
        self._clock = clock
        self._probes = probes = ProbeConnection(transport.endpoint, clock)
        self._retry = CloudRetry(bundle, transport, breaker, controller, probes, on_back, clock)
        self._greeted_at = self._looked_at = float("-inf")

    @property
    def probes(self) -> int:
        """How often the link was probed."""
        return self._probes.count

    @property
    def looks(self) -> LookCounts:
        """How often the link was looked at, by frames too, and with how many bytes."""
        control, probes = self._controller, self._probes
        sent_bytes = round(control.look_bytes) + probes.sent_bytes
        return LookCounts(control.looks, probes.count, sent_bytes)

    def count_on_from(self, before: "CloudWatch") -> None:
        """Go on with what the watch of another version has counted."""
        self._probes.count, self._probes.sent_bytes = (
            before._probes.count,
            before._probes.sent_bytes,
        )

    async def run(self) -> None:
        """Tick until cancelled; a tick that fails with a bug must not leave the cloud unwatched."""
        await repeat(self.tick, TICK_S, "looking after the cloud")

    async def tick(self) -> None:
        """Do what is due now, if anything is."""
        self._retry.note_files()
        now_s = self._clock()
        check = self._due(now_s)
        if check is not Check.RETRY:  # which turns to one after the other
            await self._probes.follow(self._transport.endpoint)
        match check:
            case Check.RETRY:
                await self._retry.retry()
            case Check.GREET:
                await self._greet_again(now_s)
            case Check.LIFE:
                await self._check_for_life()
            case Check.LOOK:
                await self._probe_link()

    def _due(self, now_s: float) -> Check | None:
        distrusts = self._controller.distrusts is not None
        return due_check(
            now_s,
            self._breaker,
            silent_s=self._transport.silent_s,
            greets=distrusts and now_s - self._greeted_at >= GREET_EVERY_S,
            idle=self._is_idle(now_s),
        )

    async def close(self) -> None:
        """Let go of the connection."""
        await self._retry.close()
        await self._probes.hang_up()

    def _is_idle(self, now_s: float) -> bool:
        if self._transport.is_busy or not self._controller.adapts:
            return False
        learned, asked_at = self._controller.learned, self._controller.called_at
        return learned.wants_look(now_s, self._looked_at, asked_at)

    async def _greet_again(self, now_s: float) -> None:
        """Look whether the cloud has this bundle's calibration by now, and its bundle still."""
        self._greeted_at = now_s
        try:
            await self._on_back(await self._probes.greet(self._bundle))
        except (NetworkError, FaultError):
            await self._probes.hang_up()  # frames will tell
        except SplitpointError as error:
            self._breaker.trip(error, self._clock())

    async def _check_for_life(self) -> None:
        try:
            await self._probes.transfer(1)
        except NetworkError as error:
            await self._probes.hang_up()
            if self._transport.silent_s > SILENCE_S:
                self._breaker.trip(error, self._clock())
                await self._transport.close()
        except SplitpointError:
            pass  # it answers, and that is life

    async def _probe_link(self) -> None:
        learned, self._looked_at = self._controller.learned, self._clock()
        size = 1
        try:
            for _ in range(MOST_LOOKS):
                learned.probed(await self._probes.transfer(size))
                if not (size := self._controller.worth_probing()):
                    break
            self._controller.think_ahead()
        except NetworkError as error:
            await self._probes.hang_up()
            self._breaker.trip(error, self._clock())
        except SplitpointError:
            pass  # a standard server knows no probes: then frames alone tell
