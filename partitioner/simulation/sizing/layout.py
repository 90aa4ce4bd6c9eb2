"""The layout of a machine: how an engine divides its cores and its memory among processes for one option."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from partitioner.network.trace import Trace
from partitioner.profiles.variation import STEADY, Variation
from partitioner.simulation.demand import Demand
from partitioner.simulation.fleet.fleet import Fleet
from partitioner.simulation.sizing.engine import RequestCost, ServingEngine
from partitioner.simulation.sizing.load import ALONE, Batching, FleetLoad, MachineKind

_PERIODS = 25
_POINTS = 200


@dataclass(frozen=True)
class Workload:
    """What one option asks of a server: its demand, and the cores and the memory of its tail."""

    demand: Demand
    threads: int
    tail_bytes: float
    edge_error_s: float = 0.0
    """By how much the head's seconds may be off by a noisy profile; 0: it is a quiet one."""
    cloud_error_s: float = 0.0

    @property
    def undisturbed(self) -> "Workload":
        """The same where times vary no longer, if their varying may be the noise of a profile."""
        if not self.edge_error_s and not self.cloud_error_s:
            return self
        demand = replace(self.demand, edge_variation=STEADY, cloud_variation=STEADY)
        return replace(self, demand=demand)


@dataclass(frozen=True)
class Layout:
    """A server of `processes` processes, and its `queues` of `workers` workers each."""

    engine: ServingEngine
    demand: Demand
    """Its `cloud_s` is that of the whole request."""
    processes: int
    queues: int
    workers: int
    """For each queue."""
    batching: Batching
    memory_bytes: float | None
    """None: not known of the engine."""

    @classmethod
    def of(
        cls, engine: ServingEngine, work: Workload, machine: MachineKind, batching: Batching
    ) -> "Layout | None":
        """Return how an engine serves an option on a machine; None where the machine has too few cores."""
        service_s, beyond_s = service_of(engine.cost, work)
        slots = machine.cores // work.threads
        if slots < 1:
            return None
        kept_busy = engine.workers_of_a_process(service_s, beyond_s)
        processes = min(machine.processes or _processes(slots, kept_busy), slots)
        own = engine.process_bytes
        queues = 1 if engine.pooled else processes
        workers = min(slots, processes * kept_busy)
        return cls(
            engine,
            replace(work.demand, cloud_s=service_s),
            processes,
            queues,
            workers // queues,
            batching if engine.batches else ALONE,
            None if own is None else processes * (own + work.tail_bytes),
        )

    @property
    def frames_per_s(self) -> float:
        """What a machine computes at most, without any wait."""
        taken_s = self.demand.cloud_s * mean_factor(self.demand.cloud_variation)
        batch = self.batching.size
        in_batches = min(1.0, (1 + (batch - 1) * self.batching.cost) / batch)
        return self.queues * self.workers / (taken_s * in_batches)

    def busiest(self, devices: int) -> int:
        """Return how many of a machine's devices the busiest of its queues has.

        The system draws a process for each connection: of n Poisson numbers with the mean m the largest is
        about m + sqrt(2 m ln n).
        """
        mean = devices / self.queues
        if self.queues == 1:
            return devices
        return min(devices, math.ceil(mean + math.sqrt(2 * mean * math.log(self.queues))))

    def fleet(self, devices: int, load: FleetLoad, uplinks: Trace, frames: int) -> Fleet:
        """Return the busiest queue of a machine with so many devices, to be simulated."""
        own = self.busiest(devices)
        period_s = 1 / load.fps
        return Fleet(
            (self.demand,),
            uplinks,
            own,
            period_s,
            load.window,
            self.workers,
            load.share,
            self.batching.size,
            self.batching.cost,
            max(_PERIODS * period_s, frames / (own * load.fps)),
        )


def _processes(slots: int, kept_busy: int) -> int:
    """Return the fewest processes that keep all workers busy, and have equally many of them."""
    fewest = math.ceil(slots / kept_busy)
    return next(count for count in range(fewest, slots + 1) if slots % count == 0)


def service_of(cost: RequestCost, work: Workload) -> tuple[float, float]:
    """Return the seconds for which a request takes a worker, and those of them beyond computing.

    What is beyond computing takes a core as the worker does; a tail of several threads is alone then.
    """
    demand = work.demand
    crossing_bytes = demand.upload_bytes + demand.download_bytes
    beyond_s = cost.beyond_s(demand.cloud_s, crossing_bytes)
    return demand.cloud_s + beyond_s, beyond_s


def mean_factor(variation: Variation) -> float:
    """Return the mean of the factors on a median."""
    return float(np.mean(factors_of(variation)))


def squared_variation(variation: Variation) -> float:
    """Return the squared coefficient of variation of the factors on a median."""
    factors = np.array(factors_of(variation))
    return float(factors.var() / factors.mean() ** 2)


def factors_of(variation: Variation) -> Sequence[float]:
    """Return factors at even shares of the frames."""
    return [variation.factor((place + 0.5) / _POINTS) for place in range(_POINTS)]
