"""The queues of a fleet, on SimPy's clock: uplinks that devices share, and the cloud's workers.

Built for few events a frame: heads and answers are computed ahead, since they depend on their own device
alone; only what is shared waits for its turn in simulated time.
"""

import heapq
import math
from collections import deque
from itertools import count
from typing import Any, Protocol

from partitioner.network.step_function import Steps
from partitioner.simulation.demand import Demand
from partitioner.simulation.fleet.event_clock import Clock

_ROUNDING = 1e-12
"""Of the bits since the start, plus 1: a message that lacks no more has left, but for rounding."""


class Sender(Protocol):
    """Who sends frames, and hears what becomes of them."""

    @property
    def now(self) -> float:
        """Seconds since the start."""

    def has_sent(self, frame: "SimulatedFrame") -> None:
        """Hear that a frame's message is on its way."""

    def is_computed(self, frame: "SimulatedFrame", started_at: float) -> None:
        """Hear that a worker that began at `started_at` is done with a frame."""


class SimulatedFrame:
    """One frame that crosses."""

    __slots__ = (
        "arrived_at", "begun_at", "came_at", "cloud_factor", "demand", "device", "index", "sent_at",
    )  # fmt: skip

    def __init__(
        self,
        device: "Sender",
        index: int,
        demand: Demand,
        arrived_at: float,
        begun_at: float,
        cloud_factor: float = 1.0,
    ) -> None:
        self.device, self.index, self.demand = device, index, demand
        self.arrived_at, self.begun_at = arrived_at, begun_at
        self.cloud_factor = cloud_factor
        self.sent_at = self.came_at = 0.0


class Uplink:
    """A link over time whose active messages each get an equal share of it (processor sharing).

    Each device sends one message at a time. `served` counts the bits that every active message has
    had since the start, so that a message leaves when that reaches the count at which it joined plus its
    own bits; a change of their number moves no tags (J. Nagle's fair queueing in virtual time,
    A. Demers et al., SIGCOMM 1989). `carried_bytes` are those until `until_s`.
    """

    def __init__(
        self, clock: Clock, rate: Steps, offset_s: float, until_s: float = math.inf
    ) -> None:
        self._clock, self._rate, self._offset_s = clock, rate, offset_s
        self._served = 0.0
        self._sum = rate.sum_to(offset_s)
        self._last = rate.sum_to(until_s + offset_s) if until_s < math.inf else math.inf
        self._active: list[tuple[float, int, SimulatedFrame]] = []
        self._numbers = count()
        self._due_at = math.inf
        self.carried_bytes = 0.0

    def join(self, frame: SimulatedFrame) -> None:
        """Begin to send a frame's message."""
        frame.sent_at = self._clock.now
        self._catch_up()
        tag = self._served + 8 * frame.demand.upload_bytes
        heapq.heappush(self._active, (tag, next(self._numbers), frame))
        self._plan()

    def _catch_up(self) -> None:
        total = self._rate.sum_to(self._clock.now + self._offset_s)
        if self._active:
            self._served += (total - self._sum) / len(self._active)
            self.carried_bytes += max(0.0, min(total, self._last) - self._sum) / 8
        self._sum = total

    def _plan(self) -> None:
        missing = (self._active[0][0] - self._served) * len(self._active)
        from_s = self._clock.now + self._offset_s
        end = self._rate.reaches(missing, from_s) - self._offset_s
        if end < self._due_at:  # else the event that is planned comes first, and plans again
            self._due_at = end
            self._clock.call_at(end, self._leave, end)

    def _leave(self, event: Any) -> None:
        if event.value != self._due_at:
            return  # another one was planned before it
        self._due_at = math.inf
        self._catch_up()
        gone = []
        reached = self._served + _ROUNDING * (1 + self._sum)
        while self._active and self._active[0][0] <= reached:
            gone.append(heapq.heappop(self._active)[2])
        for frame in gone:
            frame.device.has_sent(frame)
        if self._active:
            self._plan()


class Cloud:
    """Workers behind one queue, first come, first served; each takes up to `batch` frames of one option.

    A batch of k takes 1 + (k - 1) * `batch_cost` times as long as its first frame alone. `busy_s` is the
    time that workers computed until `until_s`.
    """

    def __init__(
        self,
        clock: Clock,
        workers: int,
        batch: int,
        batch_cost: float,
        until_s: float = math.inf,
    ) -> None:
        self._clock, self._idle = clock, workers
        self._until_s = until_s
        self._batch, self._batch_cost = batch, batch_cost
        self._waiting: deque[SimulatedFrame] = deque()
        self.busy_s = 0.0
        self.batches = 0

    def arrive(self, event: Any) -> None:
        """Queue the event's frame."""
        self._waiting.append(event.value)
        if self._idle:
            self._start()

    def _start(self) -> None:
        self._idle -= 1
        batch = [self._waiting.popleft()]
        if self._batch > 1 and self._waiting:
            self._fill(batch)
        demand = batch[0].demand
        growth = 1 + (len(batch) - 1) * self._batch_cost
        seconds = demand.cloud_s * growth * batch[0].cloud_factor
        now = self._clock.now
        self.busy_s += max(0.0, min(seconds, self._until_s - now))
        self.batches += 1
        self._clock.call_at(now + seconds, self._finish, (batch, now))

    def _fill(self, batch: list[SimulatedFrame]) -> None:
        others: list[SimulatedFrame] = []
        while self._waiting and len(batch) < self._batch:
            frame = self._waiting.popleft()
            (batch if frame.demand is batch[0].demand else others).append(frame)
        self._waiting.extendleft(reversed(others))

    def _finish(self, event: Any) -> None:
        self._idle += 1
        batch, started_at = event.value
        if self._waiting:
            self._start()
        for frame in batch:
            frame.device.is_computed(frame, started_at)
