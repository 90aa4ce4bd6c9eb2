"""The edge's watch over the cloud in a simulated run: probes, the circuit breaker, and the cloud's return.

What is due is decided as on the edge (cloud_checks.py), and the trace says what comes of it. No check begins
while another one lasts. They are taken to delay no frame.
"""

from collections.abc import Callable, Generator
from typing import NamedTuple

from partitioner.estimators.circuit_breaker import Breaker
from partitioner.estimators.cloud_checks import (
    MOST_LOOKS,
    PROBE_FRAMING,
    SILENCE_S,
    TICK_S,
    Check,
    due_check,
    greet_patience_s,
    transfers_over_a_new_link,
)
from partitioner.estimators.transfer import Transfer
from partitioner.policy.estimates import PROBE_LIMIT_S, Estimates
from partitioner.simulation.pipeline import Setup
from protos.errors import UnreachableError

_GREETING_TRIPS = 3.0
"""A connection is made, and then the server is asked who it is, and what it has."""

_Course = Generator[float, None, bool]
"""Yields the moments until which a check waits; returns whether calls in flight broke off at the last."""


class Seen(NamedTuple):
    """What the watch is told of frames whenever it looks."""

    busy: bool
    """Requests wait for their answers."""
    asked_at: float
    """When the last frame was chosen for."""


class Watch:
    """Looks after the cloud, one `step` at each `next_at`."""

    def __init__(
        self,
        setup: Setup,
        learned: Estimates,
        breaker: Breaker,
        probe_bytes: Callable[[], int],
        worth_probing: Callable[[float], int],
        seen: Callable[[], Seen],
    ) -> None:
        self.next_at = setup.begins_at + TICK_S
        """When it goes on."""
        self.probes = 0
        """How often the link was probed."""
        self.probe_bytes = 0
        """Bytes that this has sent, with their framing."""
        self._paths = setup.paths
        self._learned, self._breaker = learned, breaker
        self._probe_bytes, self._worth_probing, self._seen = probe_bytes, worth_probing, seen
        self._heard_at = self._probed_at = 0.0
        self._course: _Course | None = None
        self._failed = 0

    def heard(self, at_s: float) -> None:
        """Note a sign of the cloud, or that it is asked after a pause."""
        self._heard_at = at_s

    def step(self) -> bool:
        """Do what is due at `next_at`; True when calls in flight broke off."""
        now_s = self.next_at
        if self._course is None:
            self._course = self._begun(now_s)
        try:
            self.next_at = next(self._course)
        except StopIteration as ended:
            self._course, self.next_at = None, now_s + TICK_S
            return bool(ended.value)
        return False

    def _begun(self, now_s: float) -> _Course:
        silent_s = now_s - self._heard_at if self._seen().busy else 0.0
        check = due_check(
            now_s, self._breaker, silent_s=silent_s, greets=False, idle=self._is_idle(now_s)
        )
        match check:
            case Check.RETRY:
                return self._retry(now_s)
            case Check.LIFE:
                return self._look_for_life(now_s)
            case Check.LOOK:
                return self._look(now_s)
        return _nothing()

    def _is_idle(self, now_s: float) -> bool:
        seen = self._seen()
        return not seen.busy and self._learned.wants_look(now_s, self._probed_at, seen.asked_at)

    def _retry(self, now_s: float) -> _Course:
        """Greet a cloud that is away, measure the link to it, and break off what waits for the old one."""
        greeted_at = self._answered_at(PROBE_FRAMING, now_s, _GREETING_TRIPS)
        patience_s = greet_patience_s(self._failed)
        if greeted_at - now_s > patience_s:
            yield now_s + patience_s
            self._failed += 1
            self._breaker.probed(_lost(), now_s + patience_s)
            return False
        yield (at_s := greeted_at)
        measuring = transfers_over_a_new_link(self._probe_bytes())
        size = next(measuring)
        while True:
            transfer = self._transfer(size, at_s)
            yield (at_s := transfer.received_at if transfer else at_s + PROBE_LIMIT_S)
            if transfer is None:
                self._breaker.probed(_lost(), at_s)
                return False
            try:
                size = measuring.send(transfer)
            except StopIteration as measured:
                small, large = measured.value
                break
        if self._breaker.answers_late:
            self._learned.crossed(small)
            self._learned.crossed(large)
        else:
            self._learned.measured(small, large)
        self._probed_at, self._failed = at_s, 0
        self._breaker.probed(None, at_s)
        return True

    def _look_for_life(self, now_s: float) -> _Course:
        """Break off everything where a probe is met with silence too."""
        transfer = self._transfer(1, now_s)
        if transfer is not None:
            yield transfer.received_at
            return False
        yield (at_s := now_s + PROBE_LIMIT_S)
        if not self._seen().busy or at_s - self._heard_at <= SILENCE_S:
            return False
        self._breaker.trip(_lost(), at_s)
        return True

    def _look(self, now_s: float) -> _Course:
        """Measure a link that no frame uses, and look again at what is not as it was believed."""
        self._probed_at = at_s = now_s
        size = 1
        for _ in range(MOST_LOOKS):
            transfer = self._transfer(size, at_s)
            yield (at_s := transfer.received_at if transfer else at_s + PROBE_LIMIT_S)
            if transfer is None:
                self._breaker.trip(_lost(), at_s)
                return False
            self._learned.crossed(transfer)
            if not (size := self._worth_probing(at_s)):
                break
        return False

    def _transfer(self, size: int, at_s: float) -> Transfer | None:
        """Return a probe of so many bytes; None where it is not answered in time."""
        self.probes += 1
        sent_bytes = size + PROBE_FRAMING
        self.probe_bytes += sent_bytes
        received_at = self._answered_at(sent_bytes, at_s, 1.0)
        if received_at - at_s > PROBE_LIMIT_S:
            return None
        return Transfer(sent_bytes, PROBE_FRAMING, at_s, received_at, 0.0)

    def _answered_at(self, sent_bytes: int, at_s: float, trips: float) -> float:
        uplink, downlink, rtt = self._paths
        uploaded_at = uplink.reaches(8 * sent_bytes, at_s)
        downloaded_at = downlink.reaches(8 * PROBE_FRAMING, uploaded_at)
        return downloaded_at + trips * rtt.at(uploaded_at)


def _nothing() -> _Course:
    yield from ()
    return False


def _lost() -> UnreachableError:
    return UnreachableError("the cloud has not answered a probe in time.")
