"""The p99 of a process by formulas: latencies without any wait, from a small run, and the wait by theory.

Frames that many devices send on beats of their own wait less than the formula's Poisson arrivals: it errs to
the safe side, the more so the fewer devices there are.
"""

import math

import numpy as np
import numpy.typing as npt

from partitioner.simulation.fleet.fleet import Fleet
from partitioner.simulation.fleet.simulator import run_fleet
from partitioner.simulation.sizing.layout import Layout, mean_factor, squared_variation
from partitioner.simulation.sizing.queue_wait import Waiting, waiting

_DEVICES, _PERIODS = 48, 40
_COMFORTABLE = 0.8
"""Of the workers' time: batches are taken to grow until no more is used."""


def unqueued(fleet: Fleet, seed: int = 0) -> npt.NDArray[np.float64] | None:
    """Return latencies of frames that wait for no worker; None where devices or uplinks do not keep up."""
    devices = -(-_DEVICES // fleet.share) * fleet.share
    alone = Fleet(
        fleet.demands,
        fleet.trace,
        devices,
        fleet.period_s,
        fleet.window,
        devices * fleet.window,
        fleet.share,
        duration_s=_PERIODS * fleet.period_s,
    )
    run = run_fleet(alone, seed)
    return run.latencies_s if run.keeps_rate and not run.lost else None


def estimate_p99_s(
    layout: Layout, devices: int, fps: float, unqueued_s: npt.NDArray[np.float64]
) -> float:
    """Return the p99 with so many devices on a machine; infinite where it does not keep up.

    `unqueued_s`: latencies as of `unqueued`, with the service of this layout.
    """
    rate = layout.busiest(devices) * fps
    wait, growth_s = _wait(layout, rate)
    return wait.percentile_s(99, unqueued_s + growth_s)


def _wait(layout: Layout, rate: float) -> tuple[Waiting, float]:
    """Return the wait, and what a batch takes longer than a frame alone, for the smallest batches that do."""
    variation = layout.demand.cloud_variation
    alone_s = layout.demand.cloud_s * mean_factor(variation)
    for size in range(1, layout.batching.size + 1):
        batch_s = alone_s * (1 + (size - 1) * layout.batching.cost)
        enough = rate / size * batch_s <= _COMFORTABLE * layout.workers
        if enough or size == layout.batching.size:
            found = waiting(layout.workers, rate / size, batch_s, squared_variation(variation))
            return found, batch_s - alone_s
    return Waiting(1.0, math.inf), 0.0
