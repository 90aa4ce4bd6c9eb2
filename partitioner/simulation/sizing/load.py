"""What a fleet asks for, and the machines that may serve it: the question that a sizing answers."""

import math
from dataclasses import dataclass

from partitioner.common.defaults import DEFAULT_WINDOW
from partitioner.common.units import plural
from partitioner.planning.terms import HOURS_A_MONTH
from protos.errors import UsageError


@dataclass(frozen=True)
class FleetLoad:
    """So many devices, each with `fps` frames a second, of which 99 in 100 are to have a result in `p99_s`.

    `window`: frames at work on a device. `share`: devices on each uplink.
    """

    devices: int
    fps: float
    p99_s: float
    window: int = DEFAULT_WINDOW
    share: int = 1

    def __post_init__(self) -> None:
        for name, count in (
            ("devices", self.devices),
            ("window", self.window),
            ("share", self.share),
        ):
            if count < 1:
                raise UsageError(f"`{name}` {count} leaves nothing to serve. Give 1 or more.")
        if not 0 < self.fps < math.inf:
            raise UsageError(f"`fps` {self.fps} has no meaning. Give a rate above 0, such as 2.")
        if not 0 < self.p99_s < math.inf:
            raise UsageError(f"`p99_s` {self.p99_s:g} s is no bound. It must be above 0.")


@dataclass(frozen=True)
class MachineKind:
    """The machines that one may rent. `spare`: how many of them may be lost, and the p99 is still kept.

    `price_hour`: of one, busy or not; `price_gb`: of traffic, both ways. `memory_bytes`: None: not looked at.
    `processes`: of one server on each; None: as many as fill the cores.
    """

    cores: int
    price_hour: float | None = None
    price_gb: float = 0.0
    memory_bytes: int | None = None
    spare: int = 0
    processes: int | None = None

    def __post_init__(self) -> None:
        if self.cores < 1:
            raise UsageError(
                f"a machine of {plural(self.cores, 'core')} computes nothing. Give 1 or more."
            )
        for name, price in (("price_machine_hour", self.price_hour), ("price_gb", self.price_gb)):
            if price is not None and not 0 <= price < math.inf:
                raise UsageError(f"`{name}` {price} is no price. Give 0 or more.")
        if self.memory_bytes is not None and self.memory_bytes < 1:
            raise UsageError("a machine without memory holds nothing. Give some, or leave it out.")
        if self.spare < 0:
            raise UsageError(f"{plural(self.spare, 'machine')} cannot be spare. Give 0 or more.")
        if self.processes is not None and self.processes < 1:
            none = plural(self.processes, "process", "processes")
            raise UsageError(f"{none} serve nobody. Give 1 or more.")

    @property
    def price_month(self) -> float | None:
        """What one costs a month, busy or not; None: nothing is known."""
        return None if self.price_hour is None else self.price_hour * HOURS_A_MONTH


@dataclass(frozen=True)
class Batching:
    """Engines that batch take up to `size` frames of one option at once.

    Each further frame takes the part `cost` of a frame alone.
    """

    size: int = 1
    cost: float = 1.0

    def __post_init__(self) -> None:
        if self.size < 1:
            raise UsageError(f"batches of {self.size} are none. Give 1 or more.")
        if not 0 <= self.cost < math.inf:
            raise UsageError(f"a `batch_cost` of {self.cost} has no meaning. Give 0 or more.")


ALONE = Batching()


@dataclass(frozen=True)
class Sampling:
    """How fleets are simulated: equal seeds give equal results; each run has about so many frames.

    A hundredth of these are beyond the p99.
    """

    seed: int = 0
    frames: int = 10_000

    def __post_init__(self) -> None:
        if self.frames < 100:
            raise UsageError(f"{plural(self.frames, 'frame')} have no p99. Give 100 or more.")


USUAL = Sampling()
