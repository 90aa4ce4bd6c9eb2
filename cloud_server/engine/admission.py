"""Admission: what the queue takes, by the time that it would wait; asked before anything is decoded.

The bound has two lengths, as in Facebook's queues (Maurer, "Fail at Scale", ACM Queue 2015), which have it
from CoDel (Nichols and Jacobson, ACM Queue 2012). A burst may wait for as long as it is allowed to. Once that
was not enough, it is no burst: as long as requests have to be refused, the queue is only as long as the
workers need it to be, to have always something to do. So what is let in is answered almost as on an idle
server.
"""

import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

from cloud_server.engine_options import EngineOptions
from partitioner.common.units import format_duration, plural
from protos.errors import OverloadedError

_CALM_S = 1.0
"""Seconds without a refusal after which a queue may be as long as a burst again."""
_RUNS_OF_A_BURST = 16
"""Runs of a worker that may wait in any case: a device with some frames in flight is no crowd, however slow
the tail."""
_SHARE_SEEN = 0.25
"""Of the bound of a burst, which the request that a worker took last must really have waited: predictions
alone, as after a first run that was slow, close no queue."""
_RUNS_KEPT = 1.5
"""Runs of a worker that wait while requests are refused: with one, a worker that is done may find nothing."""
_GREEDY = 1 / 3
"""Of the bound, for who has more in the server than others have on average."""
_LEAST_KEPT_S = 0.004
"""However short the runs: what is between a worker and its next request takes a time as well."""
_LATEST, _MOST_TIMES = 0.2, 3.0
"""Weight of the newest run, which counts as so many times as long as the others at most: a machine that was
held up for a moment is not slow."""

_WINDOW_S = 0.25
_LEAST_AWAY_S, _MOST_AWAY_S = 0.01, 2.0
_MOST_REFUSED, _FEW_REFUSED = 2.0, 1.0
"""Refusals for one that is let in: more, and the refused stay away for longer; fewer, and for less long."""


@dataclass(frozen=True)
class QueueLimits:
    """What may be in the server: so many requests; and waiting there so many bytes and seconds of work."""

    requests: int
    nbytes: int
    wait_s: float

    @classmethod
    def of(cls, options: EngineOptions) -> Self:
        """Return the limits that a server's options ask for."""
        return cls(options.max_queue, options.queue_memory_bytes, options.queue_wait_s)


class Admission:
    """Lets requests in or refuses them. Belongs to the event loop, but for `ran`, which any thread may call.

    Work is reckoned in what requests are predicted to take of a worker's time.
    """

    def __init__(
        self, limits: QueueLimits, workers: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.inside = 0
        """Requests that were let in and are not answered yet."""
        self._limits, self._workers, self._clock = limits, workers, clock
        self._held: Counter[str] = Counter()
        self._run_s = 0.0
        self._waited_s = 0.0
        self._short_until_s = 0.0
        self._push_back = PushBack(clock)

    def check(self, caller: str, waiting_s: float, waiting_bytes: int) -> None:
        """Raise OverloadedError, which says when to try again, unless there is room for one more of `caller`.

        `waiting_s`: the predicted seconds of all that waits, for one worker; `waiting_bytes`: its bytes.
        """
        wait_s = waiting_s / self._workers
        full = self._what_is_full(caller, wait_s, waiting_bytes)
        if full:
            self._short_until_s = self._clock() + _CALM_S
            away_s = self._push_back.refused(wait_s)
            raise OverloadedError(
                f"this server has {full} waiting, and takes no more. Try again later.",
                away_s,
            )
        self._push_back.admitted()

    def entered(self, caller: str) -> None:
        """Count one that was let in."""
        self.inside += 1
        self._held[caller] += 1

    def left(self, caller: str) -> None:
        """Count one that was answered, or given up."""
        self.inside -= 1
        self._held[caller] -= 1
        if not self._held[caller]:
            del self._held[caller]

    def ran(self, took_s: float, waited_s: float) -> None:
        """Learn from one run, before which its first request has waited; a lost update does not matter."""
        self._waited_s = waited_s
        run_s = self._run_s or took_s
        self._run_s = run_s + _LATEST * (min(took_s, _MOST_TIMES * run_s) - run_s)

    def _what_is_full(self, caller: str, wait_s: float, waiting_bytes: int) -> str:
        """Return what there is too much of, as a noun; empty: there is room."""
        if self.inside >= self._limits.requests:
            return plural(self.inside, "request")
        if waiting_bytes >= self._limits.nbytes:
            return plural(waiting_bytes, "byte")
        if wait_s > 0 and self._is_long(wait_s, caller):
            return f"work for {format_duration(wait_s)}"
        return ""

    def _is_long(self, wait_s: float, caller: str) -> bool:
        if self._clock() >= self._short_until_s:
            burst_s = max(self._limits.wait_s, _RUNS_OF_A_BURST * self._run_s)
            return wait_s >= burst_s and self._waited_s >= _SHARE_SEEN * burst_s
        most_s = max(_LEAST_KEPT_S, _RUNS_KEPT * self._run_s)
        return wait_s >= (_GREEDY * most_s if self._is_greedy(caller) else most_s)

    def _is_greedy(self, caller: str) -> bool:
        return self._held[caller] * len(self._held) > self.inside


class PushBack:
    """For how long the refused stay away: what the queue takes, and longer while there are too many of them.

    A refusal costs the server a part of what an answer does, and who comes back too early costs another
    one. Devices that are told one time come back at once, so each is told another.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._factor = 1.0
        self._admitted = self._refused = 0
        self._since_s = clock()

    def admitted(self) -> None:
        """Count one that was let in."""
        self._admitted += 1

    def refused(self, wait_s: float) -> float:
        """Count a refusal while work for `wait_s` waits; return the seconds to stay away."""
        self._refused += 1
        now_s = self._clock()
        if now_s - self._since_s >= _WINDOW_S:
            self._adapt()
            self._admitted = self._refused = 0
            self._since_s = now_s
        away_s = self._factor * max(wait_s, _LEAST_AWAY_S)
        spread = random.uniform(0.75, 1.25)  # noqa: S311 - no secret
        return spread * min(away_s, _MOST_AWAY_S)

    def _adapt(self) -> None:
        if self._refused > _MOST_REFUSED * self._admitted:
            self._factor = min(2 * self._factor, _MOST_AWAY_S / _LEAST_AWAY_S)
        elif self._refused < _FEW_REFUSED * self._admitted:
            self._factor = max(self._factor / 2, 1.0)
