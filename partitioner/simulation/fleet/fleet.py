"""N devices on shared uplinks and one cloud, run after run, and how many workers a p99 needs.

What is shared is modelled so: the messages that are on an uplink at the same time each get an equal part
of it, whose whole is the trace from a random moment on; workers take frames in the order in which they
come. Answers are small, so that a device's answers wait only for each other. No call is given up.
Frames of a device come on its beat, from a random moment within it, and stage times vary as
profiled (partitioner/profiles/variation.py).
"""

import math
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from partitioner.common.tables import data_frame, html_table, text_table
from partitioner.common.units import format_duration
from partitioner.network.step_function import Steps
from partitioner.network.trace import Trace
from partitioner.profiles.variation import STEADY, Variation
from partitioner.simulation.demand import Demand
from partitioner.simulation.fleet.device import SimulatedDevice
from partitioner.simulation.fleet.event_clock import Clock
from partitioner.simulation.fleet.queues import Cloud, SimulatedFrame, Uplink
from protos.errors import UsageError

_TICKS = 200
_DRAWS = 8192

OnTime = Callable[[float], None]
"""Hears the simulated seconds."""


@dataclass(frozen=True)
class Fleet:
    """Who sends what over which links to how many workers.

    `demands` go to the devices in turn. `share`: devices on each uplink.
    """

    demands: tuple[Demand, ...] = field(repr=False)
    trace: Trace
    devices: int
    period_s: float
    window: int
    workers: int
    share: int = 1
    batch: int = 1
    batch_cost: float = 1.0
    duration_s: float = 3600.0
    varied: bool = True
    device_paced: bool = False
    """Frames are taken only when the device is free, as the client does that has a deadline."""

    def __post_init__(self) -> None:
        counts = {"devices": self.devices, "window": self.window, "workers": self.workers,
                  "share": self.share, "batch": self.batch}  # fmt: skip
        for name, value in counts.items():
            if value < 1:
                raise UsageError(f"{value} {name} serve nobody. Give 1 or more.")
        if not (0 < self.period_s < math.inf and 0 < self.duration_s < math.inf):
            raise UsageError("a fleet needs a frame rate and a duration above 0.")
        if not 0 <= self.batch_cost < math.inf:
            raise UsageError(f"`batch_cost` {self.batch_cost} has no meaning. Give 0 or more.")

    @property
    def paths(self) -> tuple[Steps, Steps, Steps]:
        """Uplink, downlink and round trip over time."""
        trace = self.trace
        if trace.downlink_bps is None or trace.rtt_s is None:
            raise UsageError("fill the trace in first: trace.filled(rtt_s).")
        return trace.uplink_bps, trace.downlink_bps, trace.rtt_s


@dataclass(frozen=True, eq=False, repr=False)
class FleetRun:
    """What one run came to."""

    fleet: Fleet
    latencies_s: npt.NDArray[np.float64]
    lost: int
    """Frames that never got through: the trace ended without bandwidth."""
    network_s: float
    queue_s: float
    cloud_s: float
    """Means a frame, over the frames that cross; cloud_s is that of a frame's whole batch."""
    crossed: int
    """Frames that cross, of those with a latency."""
    edge_s: float
    """Mean a frame, over all."""
    upload_bytes: float
    download_bytes: float
    """Sums."""
    in_time: int
    """Results that came before the duration's end; the last frames' come after it."""
    traffic_bytes: float
    """Up and down, of the results that came in time."""
    busy_s: float
    """Of the workers, within the duration."""
    batches: int
    uplink_share: float
    """Of what the uplinks could have carried within the duration."""

    @property
    def cloud_share(self) -> float:
        """The part of the workers' time in which they computed."""
        return self.busy_s / (self.fleet.workers * self.fleet.duration_s)

    def latency_s(self, percent: float) -> float:
        """Return a percentile of the latencies."""
        return float(np.percentile(self.latencies_s, percent))

    def missed(self, deadline_s: float) -> float:
        """Return the share of frames that are later than a deadline, or never come."""
        late = int(np.count_nonzero(self.latencies_s > deadline_s)) + self.lost
        return late / (len(self.latencies_s) + self.lost)

    def to_dict(self) -> dict[str, Any]:
        """Return the fleet and what its frames came to as plain data, in SI units."""
        fleet = self.fleet
        return {
            "devices": fleet.devices,
            "workers": fleet.workers,
            "share": fleet.share,
            "options": [demand.label for demand in fleet.demands],
            "offered_fps": 1 / fleet.period_s,
            "duration_s": fleet.duration_s,
            "mean_s": float(self.latencies_s.mean()),
            **{f"p{percent}_s": self.latency_s(percent) for percent in (50, 95, 99)},
            "fps": self.in_time / fleet.duration_s,
            "lost": self.lost,
            "edge_s": self.edge_s,
            "network_s": self.network_s,
            "queue_s": self.queue_s,
            "cloud_s": self.cloud_s,
            "cloud_share": self.cloud_share,
            "uplink_share": self.uplink_share,
            "upload_bytes": self.upload_bytes,
            "download_bytes": self.download_bytes,
            "batches": self.batches,
        }

    def to_pandas(self) -> Any:
        """Return a pandas.DataFrame with one row, so that runs stack; UsageError where pandas is missing."""
        row = self.to_dict()
        return data_frame([{**row, "options": ", ".join(row["options"])}])

    def __repr__(self) -> str:
        return (
            f"<FleetRun of {self.fleet.devices} devices on {self.fleet.workers} workers: "
            f"{len(self.latencies_s)} frames, p99 {format_duration(self.latency_s(99))}>"
        )

    def __str__(self) -> str:
        return text_table(*self._table())

    def _repr_html_(self) -> str:
        return html_table(*self._table())

    def _table(self) -> tuple[str, Sequence[str], Sequence[Sequence[str]]]:
        """Return title, header and cells of a small table."""
        fleet = self.fleet
        title = (
            f"{fleet.devices} devices on {fleet.workers} workers for {fleet.duration_s:g} s: "
            f"{len(self.latencies_s)} frames, {self.lost} lost"
        )
        rows = [
            ("mean", format_duration(float(self.latencies_s.mean()))),
            *(
                (f"p{percent}", format_duration(self.latency_s(percent)))
                for percent in (50, 95, 99)
            ),
            ("waiting for a worker", format_duration(self.queue_s)),
            ("frames a second", f"{self.in_time / fleet.duration_s:.1f}"),
            ("workers busy", f"{100 * self.cloud_share:.1f} %"),
            ("uplinks busy", f"{100 * self.uplink_share:.1f} %"),
        ]
        return title, ("", "value"), rows


def run_fleet(fleet: Fleet, seed: int = 0, run: int = 0, on_time: OnTime | None = None) -> FleetRun:
    """Simulate one run; equal seeds and runs give equal results.

    Raises UsageError if no frame has a result.
    """
    random = np.random.default_rng([seed, run])
    clock, tally = Clock(), _Tally(fleet.duration_s)
    vary = _Draws(random).factor if fleet.varied else _unvaried
    cloud = Cloud(clock, fleet.workers, fleet.batch, fleet.batch_cost, vary, fleet.duration_s)
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
            vary=vary,
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


def find_workers(fleet: Fleet, p99_s: float, measure: Callable[[Fleet], float]) -> Fleet:
    """Return the fleet with the fewest workers whose p99 is at most `p99_s`.

    `measure` returns a fleet's p99, which more workers must not raise. Raises UsageError when no number
    of workers is enough.
    """

    def p99_of(workers: int) -> float:
        return measure(replace(fleet, workers=workers))

    most = fleet.devices * fleet.window  # then no frame ever waits for a worker
    if (floor_s := p99_of(most)) > p99_s:
        raise UsageError(
            f"no number of workers brings the p99 to {1e3 * p99_s:.0f} ms: with {most} of them, for which "
            f"no frame waits, it is {1e3 * floor_s:.0f} ms. Allow more, or choose another option, frame "
            "rate or link."
        )
    few, enough = 0, 1
    while enough < most and p99_of(enough) > p99_s:
        few, enough = enough, min(2 * enough, most)
    while enough - few > 1:
        middle = (few + enough) // 2
        few, enough = (few, middle) if p99_of(middle) <= p99_s else (middle, enough)
    return replace(fleet, workers=enough)


@dataclass
class _Tally:
    """Sums over the frames; the latencies one by one."""

    until_s: float
    latencies: "array[float]" = field(default_factory=lambda: array("d"))
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
        self.latencies.append(done_at - frame.arrived_at)
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


class _Draws:
    """Factors on medians, from numbers that are drawn many at once."""

    def __init__(self, random: np.random.Generator) -> None:
        self._random = random
        self._shares: list[float] = []

    def factor(self, variation: Variation) -> float:
        if variation == STEADY:
            return 1.0
        if not self._shares:
            self._shares = self._random.random(_DRAWS).tolist()
        return variation.factor(self._shares.pop())


def _unvaried(_variation: Variation) -> float:
    return 1.0


def _tick(clock: Clock, duration_s: float, on_time: OnTime) -> None:
    for tick in range(1, _TICKS + 1):
        time_s = duration_s * tick / _TICKS
        clock.call_at(time_s, lambda event: on_time(event.value), time_s)
