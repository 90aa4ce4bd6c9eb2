"""The queue of requests: who goes next, and with whom; no threads, no clock."""

import heapq
import math
from bisect import bisect_left, insort
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field
from itertools import accumulate, count, takewhile
from operator import attrgetter
from typing import Generic, TypeVar

from cloud_server.engine.batch_rules import ALONE, BatchRules, TimeoutAction
from cloud_server.engine.fair_order import FairOrder
from protos.errors import OverloadedError, plural

_Order = tuple[int, bool, float, int]
"""Level, whether it is late and was delayed for that, place among callers, and number."""


@dataclass(eq=False, slots=True, kw_only=True)
class Waiting:
    """One request that waits. Times are nanoseconds of one clock.

    Requests with one `key` may be computed together by their `rules`; None: this one is computed alone.
    `cost_s`: about how long it takes. At `expires_ns` nobody needs its answer any more; at `late_ns` it
    has waited for longer than its policy wants.
    """

    model: str
    caller: str
    rows: int
    nbytes: int
    cost_s: float
    arrived_ns: int
    rules: BatchRules = ALONE
    key: Hashable = None
    level: int = 1
    expires_ns: float = math.inf
    late_ns: float = math.inf
    order: _Order = (0, False, 0.0, 0)
    queued: bool = False


W = TypeVar("W", bound=Waiting)

_MOST_SPENT = 64
"""Alarms of requests that do not wait any more, before they are dropped."""

_order = attrgetter("order")


class BatchQueue(Generic[W]):
    """Requests in the order of their level, then fairly by caller, then of arrival.

    `requests`, `rows`, `nbytes` and `cost_s` say how much waits.
    """

    def __init__(self) -> None:
        self.requests = self.rows = self.nbytes = 0
        self.cost_s = 0.0
        self._groups: dict[Hashable, _Group[W]] = {}
        self._fair: defaultdict[int, FairOrder] = defaultdict(FairOrder)
        self._held: Counter[tuple[str, int]] = Counter()
        self._alarms: list[tuple[float, int, W]] = []
        self._number = count()

    def offer(self, one: W) -> None:
        """Let a request wait. Raises OverloadedError when its policy lets no more of its level wait."""
        most = one.rules.policy(one.level).max_queue_size
        held = self._held[one.model, one.level]
        if most and held >= most:
            raise OverloadedError(
                f"{plural(held, 'request')} of this priority wait for {one.model}, and its queue takes no "
                "more. Try again later."
            )
        place = self._fair[one.level].place(one.caller, one.cost_s)
        self._insert(one, (one.level, False, place, next(self._number)))
        self._count(one, 1)
        self._set_alarm(one)

    def withdraw(self, one: W) -> bool:
        """Take a request out that shall not be computed; False if it does not wait any more."""
        if not one.queued:
            return False
        group = self._groups[one.key]
        self._taken(group, [group.entries.pop(bisect_left(group.entries, one.order, key=_order))])
        return True

    def take(self, now_ns: int) -> list[W]:
        """Take those out that are to be computed together now; none where nothing is ready."""
        ready = list(self._groups.values())
        if len(ready) > 1:
            ready.sort(key=lambda group: group.entries[0].order)
        for group in ready:
            if number := group.ready(now_ns):
                taken = group.entries[:number]
                del group.entries[:number]
                self._fair[taken[0].level].serve(taken[0].order[2])
                self._taken(group, taken)
                return taken
        return []

    def ready_ns(self) -> float:
        """Return when the next batch has waited for long enough, infinity where none waits."""
        return min((group.due_ns() for group in self._groups.values()), default=math.inf)

    def alarm_ns(self) -> float:
        """Return when `expire` has to be called next, infinity where nothing becomes late."""
        while self._alarms and not self._alarms[0][2].queued:
            heapq.heappop(self._alarms)
        return self._alarms[0][0] if self._alarms else math.inf

    def expire(self, now_ns: int) -> list[W]:
        """Take those out that are too late to be computed; put those behind that their policy delays."""
        late: list[W] = []
        while self.alarm_ns() <= now_ns:
            one = heapq.heappop(self._alarms)[2]
            action = one.rules.policy(one.level).timeout_action
            if one.expires_ns <= now_ns or action is TimeoutAction.REJECT:
                self.withdraw(one)
                late.append(one)
            else:
                self._delay(one)
        return late

    def clear(self) -> list[W]:
        """Take all out."""
        found = list(self)
        for one in found:
            self.withdraw(one)
        return found

    def __iter__(self) -> Iterator[W]:
        return (one for group in self._groups.values() for one in group.entries)

    def _delay(self, one: W) -> None:
        entries = self._groups[one.key].entries
        del entries[bisect_left(entries, one.order, key=_order)]
        level, _, place, number = one.order
        one.late_ns = math.inf
        self._insert(one, (level, True, place, number))
        self._set_alarm(one)

    def _insert(self, one: W, order: _Order) -> None:
        group = self._groups.get(one.key)
        if group is None:
            rules = ALONE if one.key is None else one.rules
            group = self._groups[one.key] = _Group(one.key, rules)
        one.order, one.queued = order, True
        insort(group.entries, one, key=_order)

    def _set_alarm(self, one: W) -> None:
        at_ns = min(one.expires_ns, one.late_ns)
        if at_ns < math.inf:
            heapq.heappush(self._alarms, (at_ns, next(self._number), one))
        if len(self._alarms) > 2 * self.requests + _MOST_SPENT:
            # Requests that were taken long ago, with all their bytes.
            self._alarms = [alarm for alarm in self._alarms if alarm[2].queued]
            heapq.heapify(self._alarms)

    def _taken(self, group: "_Group[W]", taken: list[W]) -> None:
        for one in taken:
            one.queued = False
            self._count(one, -1)
        if not group.entries:
            del self._groups[group.key]
        if not self.requests:
            self.cost_s = 0.0
            self._alarms.clear()
            self._held.clear()
            for fair in self._fair.values():
                fair.rest()

    def _count(self, one: W, sign: int) -> None:
        self.requests += sign
        self.rows += sign * one.rows
        self.nbytes += sign * one.nbytes
        self.cost_s += sign * one.cost_s
        self._held[one.model, one.level] += sign


@dataclass(slots=True)
class _Group(Generic[W]):
    """Requests that may be computed together, in their order."""

    key: Hashable
    rules: BatchRules
    entries: list[W] = field(default_factory=list)

    def ready(self, now_ns: int) -> int:
        """Return how many of the first are to be computed now; 0: they wait for more."""
        fit, preferred = self._fit()
        if preferred:
            return preferred
        return fit if self.due_ns() <= now_ns or self._is_full(fit) else 0

    def due_ns(self) -> float:
        """Return when the one that has waited longest has waited for long enough."""
        delay_ns = 1000 * self.rules.max_queue_delay_us
        return delay_ns and delay_ns + min(one.arrived_ns for one in self.entries)

    def _fit(self) -> tuple[int, int]:
        """Return how many fit into one batch, one at least, and how many make the largest preferred one."""
        if self.rules.max_batch_size == 1:
            return 1, 1
        sums = accumulate(one.rows for one in self.entries)
        rows = list(takewhile(lambda total: total <= self.rules.max_batch_size, sums))
        preferred = [
            n for n, total in enumerate(rows, 1) if total in self.rules.preferred_batch_size
        ]
        return max(1, len(rows)), max(preferred, default=0)

    def _is_full(self, fit: int) -> bool:
        rows = sum(one.rows for one in self.entries[:fit])
        return fit < len(self.entries) or rows >= self.rules.max_batch_size
