"""The circuit breaker: no frame goes to a cloud that fails, until a probe has found it well.

The edge retries when it says so (edge_client/control/cloud_retry.py).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from protos.errors import (
    BundleError,
    LateError,
    NetworkError,
    OverloadedError,
    ServerError,
    SplitpointError,
    TooLargeError,
    UnknownNameError,
    UnreachableError,
)


class Circuit(StrEnum):
    """The states of the breaker: do frames go to the cloud?"""

    CLOSED = "closed"
    """All frames go there."""
    OPEN = "open"
    """No frame goes there."""
    TRYING = "trying"
    """A probe got through: one frame goes there, and decides. If it is only late, another one may try."""


LONGEST_REST_S = 30.0
"""However long a server that is overloaded asks to be left alone, it is asked again after so long."""


@dataclass(frozen=True)
class BreakerSettings:
    """The limits of the breaker: failures before it opens, and seconds between probes."""

    failures: int = 2
    """Failures in a row that open it: one broken stream or late answer happens to a cloud that is well."""
    first_wait_s: float = 0.1
    longest_wait_s: float = 0.8
    """Seconds until the cloud is probed again; they double while it answers probes and fails frames."""
    outage_share: float = 0.1
    longest_outage_wait_s: float = 5.0
    """Of an outage so far, this share is waited at least: each wait is longer than the one before by so
    much, and who comes back after 15 s is found within 2."""


def _unspread() -> float:
    return 1.0


class Breaker:
    """Counts what came of requests. Moments are parameters, in seconds of any one clock.

    Failures of requests that were begun before the last one are its other victims, not new ones.
    `spread` gives the share of each wait that is waited, so that those who lost a cloud together do not come
    back together.
    """

    def __init__(
        self, settings: BreakerSettings | None = None, spread: Callable[[], float] = _unspread
    ) -> None:
        self._settings = settings or BreakerSettings()
        self.spread = spread
        self.circuit = Circuit.CLOSED
        self.error: SplitpointError | None = None
        """The cloud's last failure; None while all is well."""
        self.has_others = False
        """There are other servers: one that breaks or is full is left for the next, and not waited for."""
        self.answers_late = False
        """True while the cloud answers, and frames only after they have been given up."""
        self._failures = 0
        self._failed_at = -math.inf
        self._wait_s = self._settings.first_wait_s
        self._due_at = -math.inf
        self._trial_out = False
        self._rests_until_s = -math.inf
        self._rests_for: OverloadedError | None = None
        self._away_since_s: float | None = None

    @property
    def is_open(self) -> bool:
        """True while no frame may go to the cloud."""
        return self.circuit is Circuit.OPEN or self.is_trying

    @property
    def is_trying(self) -> bool:
        """True while one frame tries the cloud, and the others wait for what comes of it elsewhere."""
        return self.circuit is Circuit.TRYING and self._trial_out

    def admit(self, now_s: float = math.inf) -> bool:
        """Tell whether this frame may go to the cloud, and count it as the trial if it is one.

        None may before the moment that an overloaded server has named.
        """
        if self.is_open or now_s < self._rests_until_s:
            return False
        self._trial_out = self.circuit is Circuit.TRYING
        return True

    def refusal(self, now_s: float) -> SplitpointError | None:
        """Return why a frame is not admitted; None where another one tries a cloud that was not used yet."""
        if not self.is_open and now_s < self._rests_until_s:
            return self._rests_for
        return self.error

    def away_s(self, now_s: float) -> float:
        """Return for how long the cloud has served no frame; 0 while it does."""
        return 0.0 if self._away_since_s is None else max(0.0, now_s - self._away_since_s)

    def withdrew(self) -> None:
        """The frame was given up by its caller: it says nothing about the cloud."""
        self._trial_out = False

    def succeeded(self) -> None:
        """The cloud served a frame."""
        self.circuit, self.error = Circuit.CLOSED, None
        self.answers_late = False
        self._failures, self._trial_out = 0, False
        self._wait_s, self._away_since_s = self._settings.first_wait_s, None

    def heard_late(self) -> None:
        """An answer came to a frame that had been given up: the cloud is there, however slow."""
        self.answers_late = isinstance(self.error, LateError)

    def failed(self, error: SplitpointError, begun_at: float, now_s: float) -> None:
        """The cloud failed a request that was begun at `begun_at`."""
        trial, self._trial_out = self._trial_out, False
        if not _is_of_the_cloud(error) or (begun_at <= self._failed_at and not trial):
            return
        self.error, self._failed_at = error, now_s
        if isinstance(error, OverloadedError) and self._asks_to_wait(error):
            # It is there, and has said when it takes more: no probe would know better.
            self._rests_until_s = now_s + min(error.retry_after_s, LONGEST_REST_S)
            self._rests_for = error
            return
        # A trial follows a probe that got through.
        self.answers_late = isinstance(error, LateError) and (self.answers_late or trial)
        self._failures += 1
        chance = self._may_warm_up(error) if trial else self._may_be_chance(error)
        if chance and self._failures < self._settings.failures:
            return
        if trial:
            self._wait_s = min(2 * self._wait_s, self._settings.longest_wait_s)
        self.trip(error, now_s)

    def trip(self, error: SplitpointError, now_s: float) -> None:
        """Let no frame go there until a probe gets through."""
        self.circuit, self.error = Circuit.OPEN, error
        self.answers_late = self.answers_late and isinstance(error, LateError)
        self._trial_out = False
        self._away_since_s = now_s if self._away_since_s is None else self._away_since_s
        self._due_at = now_s + max(self._wait_s, self._outage_wait_s(now_s))

    def hurry(self, now_s: float) -> None:
        """Let the next probe be due now: something has changed that may have kept the cloud away."""
        self._due_at = min(self._due_at, now_s)

    def is_due(self, now_s: float) -> bool:
        """Tell whether the cloud should be probed now."""
        return self.circuit is Circuit.OPEN and now_s >= self._due_at

    def probed(self, error: SplitpointError | None, now_s: float, wait_s: float = 0.0) -> None:
        """A probe got through, or failed with `error`; the next one waits for `wait_s` at least."""
        if self.circuit is not Circuit.OPEN:
            return
        if error is None:
            self.circuit, self._trial_out = Circuit.TRYING, False
            self._failures = 0
        else:
            self.error, self.answers_late = error, False
            self._due_at = now_s + max(wait_s, self._outage_wait_s(now_s))

    def _outage_wait_s(self, now_s: float) -> float:
        """Return how long to wait after a failure: ever longer while the outage lasts.

        Of several servers each is asked in its turn, and each turn comes sooner.
        """
        limits = self._settings
        wait_s = min(limits.outage_share * self.away_s(now_s), limits.longest_outage_wait_s)
        return max(limits.first_wait_s, wait_s * self.spread() / (1 + self.has_others))

    def _may_warm_up(self, error: SplitpointError) -> bool:
        """Tell whether a trial was late because a server that has just started loads the tail.

        Once for each outage: who is late again and again is no better than who is away.
        """
        return isinstance(error, LateError) and self._wait_s <= self._settings.first_wait_s

    def _asks_to_wait(self, error: OverloadedError) -> bool:
        """Tell whether to leave the cloud alone as long as it has asked for, as there is no other server."""
        return error.retry_after_s > 0 and not self.has_others

    def _may_be_chance(self, error: SplitpointError) -> bool:
        """Tell what may happen to a cloud that is well; where others are at hand, no broken stream is."""
        return isinstance(error, LateError) or (
            isinstance(error, UnreachableError) and not self.has_others
        )


def _is_of_the_cloud(error: SplitpointError) -> bool:
    """Tell what says something about the cloud from what one frame brought upon itself."""
    kinds = (NetworkError, ServerError, UnknownNameError, BundleError)
    return isinstance(error, kinds) and not isinstance(error, TooLargeError)
