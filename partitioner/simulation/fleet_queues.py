"""The moving parts of a fleet, on SimPy's clock: devices, uplinks that they share, and the cloud.

Built for few events a frame: heads and answers are computed ahead, since nobody else has a say in
them; only what is shared (uplinks, workers) waits for its turn in simulated time.
"""

import heapq
import math
from collections import deque
from collections.abc import Callable
from itertools import count
from typing import Any

import simpy

from partitioner.network.step_function import Steps
from partitioner.profiles.variation import Variation
from partitioner.simulation.demand import Demand

_ROUNDING = 1e-12
"""Of the bits since the start, plus 1: a message that lacks no more has left, but for rounding."""


class Clock:
    """SimPy's environment, with callbacks at a time: cheaper than a process for each frame."""

    def __init__(self) -> None:
        self._env = simpy.Environment()

    @property
    def now(self) -> float:
        """Seconds since the start."""
        return self._env.now

    def call_at(self, time_s: float, callback: Callable[[Any], None], value: object) -> None:
        """Call `callback(event)` at a time, or now if it has passed; `event.value` is `value`."""
        event = self._env.timeout(max(0.0, time_s - self._env.now), value)
        if event.callbacks is not None:
            event.callbacks.append(callback)

    def run(self) -> None:
        """Run until nothing is left to come."""
        self._env.run()


class Frame:
    """One frame that crosses."""

    __slots__ = ("arrived_at", "begun_at", "came_at", "demand", "device", "index", "sent_at")

    def __init__(
        self, device: "Device", index: int, demand: Demand, arrived_at: float, begun_at: float
    ) -> None:
        self.device, self.index, self.demand = device, index, demand
        self.arrived_at, self.begun_at = arrived_at, begun_at
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
        self._active: list[tuple[float, int, Frame]] = []
        self._numbers = count()
        self._due_at = math.inf
        self.carried_bytes = 0.0

    def join(self, frame: Frame) -> None:
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

    A batch of k takes 1 + (k - 1) * `batch_cost` times as long as a frame alone. `busy_s` is the time
    that workers computed until `until_s`.
    """

    def __init__(
        self,
        clock: Clock,
        workers: int,
        batch: int,
        batch_cost: float,
        vary: Callable[[Variation], float],
        until_s: float = math.inf,
    ) -> None:
        self._clock, self._idle, self._vary = clock, workers, vary
        self._until_s = until_s
        self._batch, self._batch_cost = batch, batch_cost
        self._waiting: deque[Frame] = deque()
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
        seconds = demand.cloud_s * growth * self._vary(demand.cloud_variation)
        now = self._clock.now
        self.busy_s += max(0.0, min(seconds, self._until_s - now))
        self.batches += 1
        self._clock.call_at(now + seconds, self._finish, (batch, now))

    def _fill(self, batch: list[Frame]) -> None:
        others: list[Frame] = []
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


class Device:
    """One device as the client runs it: a beat, a window, one head at a time, results in order."""

    def __init__(
        self,
        clock: Clock,
        demand: Demand,
        paths: tuple[Uplink, Steps, Steps],
        cloud: Cloud,
        *,
        offset_s: float,
        phase_s: float,
        period_s: float,
        window: int,
        device_paced: bool,
        until_s: float,
        vary: Callable[[Variation], float],
        record: Callable[[Frame, float, float], None],
    ) -> None:
        self._clock, self._demand, self._cloud = clock, demand, cloud
        self._uplink, self._downlink, self._rtt = paths
        self._offset_s, self._period_s, self._until_s = offset_s, period_s, until_s
        self._vary, self._record = vary, record
        self._asked_at, self._due_at = 0.0, phase_s - period_s
        self._device_free = self._down_free = 0.0
        self._down_begun = -math.inf
        self._taken = self._handed_count = 0
        self._handed: deque[float] = deque([0.0] * window, maxlen=window)
        self._window, self._device_paced = window, device_paced
        self._results: dict[int, float] = {}
        self._unsent: deque[Frame] = deque()
        self._sending = False

    @property
    def now(self) -> float:
        """The clock's time."""
        return self._clock.now

    @property
    def under_way(self) -> int:
        """Frames that were taken and have no result."""
        return self._taken - self._handed_count - len(self._results)

    def take(self) -> None:
        """Take all frames for which it is known when there is room."""
        while (ahead := self._taken - self._handed_count) < self._window:
            asked_at = max(self._asked_at, self._handed[ahead])
            if self._device_paced:
                asked_at = max(asked_at, self._device_free)
            self._due_at += self._period_s
            if asked_at - self._due_at > self._period_s:
                self._due_at = asked_at
            arrived_at = self._asked_at = max(asked_at, self._due_at)
            if arrived_at >= self._until_s:
                self._window = 0
                return
            begun_at = max(arrived_at, self._device_free)
            frame = Frame(self, self._taken, self._demand, arrived_at, begun_at)
            self._taken += 1
            edge_s = self._demand.edge_s * self._vary(self._demand.edge_variation)
            self._device_free = begun_at + edge_s
            if self._demand.crosses:
                self._clock.call_at(self._device_free, self._is_ready, frame)
            else:
                frame.sent_at = self._device_free
                self._hand(frame, self._device_free, 0.0)

    def _is_ready(self, event: Any) -> None:
        if self._sending:
            self._unsent.append(event.value)
        else:
            self._sending = True
            self._uplink.join(event.value)

    def has_sent(self, frame: Frame) -> None:
        """The last byte of a frame's message has left."""
        half_s = self._rtt.at(self._clock.now + self._offset_s) / 2
        frame.came_at = self._clock.now + half_s
        self._clock.call_at(frame.came_at, self._cloud.arrive, frame)
        if self._unsent:
            self._uplink.join(self._unsent.popleft())
        else:
            self._sending = False

    def is_computed(self, frame: Frame, started_at: float) -> None:
        """The cloud has computed a frame, which it began at `started_at`."""
        now = self._clock.now
        overtakes = now < self._down_begun
        down_at = (now if overtakes else max(now, self._down_free)) + self._offset_s
        downloaded_at = (
            self._downlink.reaches(8 * frame.demand.download_bytes, down_at) - self._offset_s
        )
        self._down_begun = max(self._down_begun, now)
        self._down_free = max(self._down_free, downloaded_at)
        self._hand(frame, downloaded_at + self._rtt.at(now + self._offset_s) / 2, now - started_at)
        self.take()

    def _hand(self, frame: Frame, done_at: float, cloud_s: float) -> None:
        self._record(frame, done_at, cloud_s)
        self._results[frame.index] = done_at
        while (result := self._results.pop(self._handed_count, None)) is not None:
            self._handed.append(max(result, self._handed[-1]))
            self._handed_count += 1
