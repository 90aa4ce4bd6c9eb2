"""Traces for benchmarks: a folder's, or made ones that rise, fall and wander."""

from pathlib import Path

import numpy as np

from partitioner.network.step_function import Steps
from partitioner.network.trace import Trace
from partitioner.network.trace_files import read_trace


def read_traces(folder: Path) -> list[Trace]:
    """Return the traces in `folder`, or the made ones where it is none (`.`)."""
    if folder == Path():
        return [steps(), wander(3e6, 0), wander(1.5e6, 1)]
    return [
        read_trace(path)
        for path in sorted(folder.iterdir())
        if path.is_file() and path.name != "LICENSE"
    ]


def steps() -> Trace:
    """Return five rates, each for six seconds, with falls to a tenth and less."""
    rates = (16e6, 2e6, 6e6, 0.5e6, 10e6)
    times = [6.0 * place for place in range(len(rates))]
    return Trace("steps", Steps(times, list(rates), 30.0))


def wander(middle_bps: float, seed: int) -> Trace:
    """Return a rate that is drawn anew every two seconds, log-normally around `middle_bps`, for 30 s.

    Each keeps 0.8 of the logarithm before it, as mobile links change little from second to second.
    """
    rng = np.random.default_rng(seed)
    level, rates = 0.0, []
    for _ in range(15):
        level = 0.8 * level + 0.6 * rng.standard_normal()
        rates.append(float(middle_bps * np.exp(level)))
    times = [2.0 * place for place in range(len(rates))]
    return Trace(f"wander-{middle_bps / 1e6:g}", Steps(times, rates, 30.0))
