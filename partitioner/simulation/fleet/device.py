"""One device of a fleet: its frames, its window, and its results."""

import math
from collections import deque
from collections.abc import Callable
from typing import Any

from partitioner.network.step_function import Steps
from partitioner.simulation.demand import Demand
from partitioner.simulation.fleet.event_clock import Clock
from partitioner.simulation.fleet.queues import Cloud, SimulatedFrame, Uplink


class SimulatedDevice:
    """One device as the client runs it: a beat, a window, one head at a time, results in order.

    `draw` returns shares from 0 to 1, of which each frame takes two; without it all take the medians.
    """

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
        draw: Callable[[], float] | None,
        record: Callable[[SimulatedFrame, float, float], None],
    ) -> None:
        self._clock, self._demand, self._cloud = clock, demand, cloud
        self._uplink, self._downlink, self._rtt = paths
        self._offset_s, self._period_s, self._until_s = offset_s, period_s, until_s
        self._draw, self._record = draw, record
        self._asked_at, self._due_at = 0.0, phase_s - period_s
        self._device_free = self._down_free = 0.0
        self._down_begun = -math.inf
        self._taken = self._handed_count = 0
        self._handed: deque[float] = deque([0.0] * window, maxlen=window)
        self._window, self._device_paced = window, device_paced
        self._results: dict[int, float] = {}
        self._unsent: deque[SimulatedFrame] = deque()
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
            edge_factor, cloud_factor = self._factors()
            frame = SimulatedFrame(
                self, self._taken, self._demand, arrived_at, begun_at, cloud_factor
            )
            self._taken += 1
            self._device_free = begun_at + self._demand.edge_s * edge_factor
            if self._demand.crosses:
                self._clock.call_at(self._device_free, self._is_ready, frame)
            else:
                frame.sent_at = self._device_free
                self._hand(frame, self._device_free, 0.0)

    def _factors(self) -> tuple[float, float]:
        """Draw for one frame how many times the medians head and tail take."""
        if self._draw is None:
            return 1.0, 1.0
        shares = self._draw(), self._draw()
        demand = self._demand
        return demand.edge_variation.factor(shares[0]), demand.cloud_variation.factor(shares[1])

    def _is_ready(self, event: Any) -> None:
        if self._sending:
            self._unsent.append(event.value)
        else:
            self._sending = True
            self._uplink.join(event.value)

    def has_sent(self, frame: SimulatedFrame) -> None:
        """The last byte of a frame's message has left."""
        half_s = self._rtt.at(self._clock.now + self._offset_s) / 2
        frame.came_at = self._clock.now + half_s
        self._clock.call_at(frame.came_at, self._cloud.arrive, frame)
        if self._unsent:
            self._uplink.join(self._unsent.popleft())
        else:
            self._sending = False

    def is_computed(self, frame: SimulatedFrame, started_at: float) -> None:
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

    def _hand(self, frame: SimulatedFrame, done_at: float, cloud_s: float) -> None:
        self._record(frame, done_at, cloud_s)
        self._results[frame.index] = done_at
        while (result := self._results.pop(self._handed_count, None)) is not None:
            self._handed.append(max(result, self._handed[-1]))
            self._handed_count += 1
