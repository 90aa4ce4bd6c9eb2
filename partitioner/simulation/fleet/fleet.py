"""A fleet: who sends what over which uplinks to how many workers of one cloud."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

from partitioner.network.step_function import Steps
from partitioner.network.trace import Trace
from partitioner.simulation.demand import Demand
from protos.errors import UsageError


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

    @property
    def label(self) -> str:
        """The options that the devices take in turn, as people write them."""
        return ", ".join(demand.label for demand in self.used)

    @property
    def paid_workers(self) -> int:
        """Workers that somebody has to run: none where nothing crosses."""
        return self.workers if any(demand.crosses for demand in self.used) else 0

    @property
    def used(self) -> tuple[Demand, ...]:
        """The demands that some device has."""
        return self.demands[: self.devices]

    @property
    def due(self) -> float:
        """Frames that come within the duration."""
        return self.devices * self.duration_s / self.period_s

    @property
    def due_traffic_bps(self) -> float:
        """Bits a second that all devices together send and get, if they take all frames that are due."""
        frame_bytes = self.mean(lambda demand: demand.upload_bytes + demand.download_bytes)
        return 8 * frame_bytes * self.devices / self.period_s

    @property
    def most_workers(self) -> int:
        """With so many workers no frame ever waits for one."""
        return self.devices * self.window

    def mean(self, of: Callable[[Demand], float]) -> float:
        """Return a mean over the devices, which take the options in turn."""
        step = len(self.demands)
        counts = [len(range(place, self.devices, step)) for place in range(len(self.used))]
        total = sum(count * of(demand) for count, demand in zip(counts, self.used, strict=True))
        return total / self.devices
