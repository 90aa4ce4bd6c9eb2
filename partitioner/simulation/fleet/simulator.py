"""Runs of a fleet on one clock.

What is shared is modelled so: the messages that are on an uplink at the same time each get an equal part
of it, whose whole is the trace from a random moment on; workers take frames in the order in which they
come. Answers are small, so that a device's answers wait only for each other. No call is given up.
Frames of a device come on its beat, from a random moment within it, and stage times vary as
profiled (partitioner/profiles/variation.py). What is drawn for a frame depends on the seed, the run, its
device and its number alone: fleets with other options or other workers meet the same frames.
"""

import math
from array import array
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from partitioner.simulation.fleet.device import SimulatedDevice
from partitioner.simulation.fleet.event_clock import Clock
from partitioner.simulation.fleet.fleet import Fleet
from partitioner.simulation.fleet.fleet_run import LATE_SHARE, FleetRun
from partitioner.simulation.fleet.queues import Cloud, SimulatedFrame, Uplink
from protos.errors import UsageError

_TICKS = 200
_DRAWS = 256

OnTime = Callable[[float], None]
"""Hears the simulated seconds."""


def run_fleet(fleet: Fleet, seed: int = 0, run: int = 0, on_time: OnTime | None = None) -> FleetRun:
    """Simulate one run; equal seeds and runs give equal results.

    Raises UsageError if no frame has a result.
    """
    return _run(fleet, _Tally(fleet.duration_s), seed, run, on_time)


def run_within(
    fleet: Fleet, p99_s: float, seed: int = 0, run: int = 0, on_time: OnTime | None = None
) -> FleetRun | None:
    """Simulate one run if it keeps a p99; None as soon as too many frames are late, or too few came.

    Raises UsageError if no frame has a result.
    """
    tally = _Tally(fleet.duration_s, p99_s, LATE_SHARE * (fleet.due + fleet.devices) + 1)
    try:
        found = _run(fleet, tally, seed, run, on_time)
    except _TooLateError:
        return None
    return found if found.keeps(p99_s) else None


class _TooLateError(Exception):
    """More frames are late than a p99 allows, whatever comes."""


def _run(fleet: Fleet, tally: "_Tally", seed: int, run: int, on_time: OnTime | None) -> FleetRun:
    random = np.random.default_rng([seed, run])
    clock = Clock()
    cloud = Cloud(clock, fleet.workers, fleet.batch, fleet.batch_cost, fleet.duration_s)
    rate, downlink, rtt = fleet.paths
    uplinks: list[Uplink] = []
    capacity = 0.0
    devices = []
    for number in range(fleet.devices):
        if number % fleet.share == 0:
            offset_s = float(random.uniform(0, rate.duration)) if fleet.varied else 0.0
            uplinks.append(Uplink(clock, rate, offset_s, fleet.duration_s))
            capacity += rate.sum_within(offset_s, offset_s + fleet.duration_s) / 8
        device = SimulatedDevice(
            clock,
            fleet.demands[number % len(fleet.demands)],
            (uplinks[-1], downlink, rtt),
            cloud,
            offset_s=offset_s,
            phase_s=float(random.uniform(0, fleet.period_s)) if fleet.varied else 0.0,
            period_s=fleet.period_s,
            window=fleet.window,
            device_paced=fleet.device_paced,
            until_s=fleet.duration_s,
            draw=_Shares(seed, run, number).draw if fleet.varied else None,
            record=tally.record,
        )
        devices.append(device)
    if on_time:
        _tick(clock, fleet.duration_s, on_time)
    for device in devices:
        device.take()
    clock.run()
    lost = sum(device.under_way for device in devices)
    if not tally.latencies:
        raise UsageError(
            f"no frame of a run of {fleet.duration_s:g} s has a result; {lost} were begun. Give a "
            "longer `duration_s`, or a trace that does not end without bandwidth."
        )
    carried = sum(uplink.carried_bytes for uplink in uplinks)
    return tally.result(fleet, lost, cloud, carried / capacity if capacity else 0.0)


@dataclass
class _Tally:
    """Sums over the frames; the latencies one by one."""

    until_s: float
    late_after_s: float = math.inf
    most_late: float = math.inf
    latencies: "array[float]" = field(default_factory=lambda: array("d"))
    late: int = 0
    crossed: int = 0
    in_time: int = 0
    traffic_bytes: float = 0.0
    network_s: float = 0.0
    queue_s: float = 0.0
    cloud_s: float = 0.0
    edge_s: float = 0.0
    upload_bytes: float = 0.0
    download_bytes: float = 0.0

    def record(self, frame: SimulatedFrame, done_at: float, cloud_s: float) -> None:
        """Count a result. Raises _TooLateError when more are late than may be."""
        latency_s = done_at - frame.arrived_at
        self.latencies.append(latency_s)
        if latency_s > self.late_after_s:
            self.late += 1
            if self.late > self.most_late:
                raise _TooLateError
        demand = frame.demand
        self.edge_s += demand.edge_s
        if done_at <= self.until_s:
            self.in_time += 1
            self.traffic_bytes += demand.upload_bytes + demand.download_bytes
        if demand.crosses:
            self.crossed += 1
            # What is between the first byte up and the last one down, but for the cloud's part.
            began_at = frame.device.now - cloud_s
            queue_s = began_at - frame.came_at
            self.queue_s += queue_s
            self.cloud_s += cloud_s
            self.network_s += done_at - frame.sent_at - queue_s - cloud_s
            self.upload_bytes += demand.upload_bytes
            self.download_bytes += demand.download_bytes

    def result(self, fleet: Fleet, lost: int, cloud: Cloud, uplink_share: float) -> FleetRun:
        crossed = max(1, self.crossed)
        return FleetRun(
            fleet,
            np.frombuffer(self.latencies, np.float64),
            lost,
            self.network_s / crossed,
            self.queue_s / crossed,
            self.cloud_s / crossed,
            self.crossed,
            self.edge_s / len(self.latencies),
            self.upload_bytes,
            self.download_bytes,
            self.in_time,
            self.traffic_bytes,
            cloud.busy_s,
            cloud.batches,
            uplink_share,
        )


class _Shares:
    """What is drawn for the frames of one device: shares from 0 to 1, many at once."""

    def __init__(self, seed: int, run: int, device: int) -> None:
        self._random = np.random.default_rng([seed, run, device])
        self._shares: list[float] = []

    def draw(self) -> float:
        if not self._shares:
            self._shares = self._random.random(_DRAWS).tolist()
        return self._shares.pop()


def _tick(clock: Clock, duration_s: float, on_time: OnTime) -> None:
    for tick in range(1, _TICKS + 1):
        time_s = duration_s * tick / _TICKS
        clock.call_at(time_s, lambda event: on_time(event.value), time_s)
