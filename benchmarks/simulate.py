"""How long do a sweep of ten thousand points and an hour of a hundred devices take?"""

import argparse
import itertools
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import reporting
from partitioner.bundle.bundle import Bundle
from partitioner.network.link import Link
from partitioner.network.step_function import Steps
from partitioner.network.trace import Trace
from partitioner.planning.plan import Plan, plan
from partitioner.policy.settings import PolicySettings
from partitioner.profiles.profiler import measure_profile
from partitioner.runtime.sessions import RuntimeOptions
from partitioner.simulation.comparison import compare_policies
from partitioner.simulation.demand import demands_of
from partitioner.simulation.fleet.fleet import Fleet
from partitioner.simulation.fleet.simulator import run_fleet
from partitioner.simulation.pipeline import Setup
from partitioner.simulation.sweep import parse_grid, sweep

BUNDLE = Path(__file__).parent.parent / "examples" / "digits" / "bundle"
RTT_S = 0.05


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """Time each kind of simulation on the demo's model, with the edge six times as slow as here."""
    bundle = Bundle.load(BUNDLE)
    profile = measure_profile(bundle, RuntimeOptions(), 5.0, bundle.samples(), _unheard)
    made = plan(bundle, Link(3e6, 3e6, RTT_S), profile.scaled(6), profile)
    trace = _trace(arguments.seconds)
    return {
        "options": len(made.options),
        "sweep": _time_sweep(made),
        "trace": _time_trace(made, trace),
        "fleets": [
            _time_fleet(made, trace, arguments, share) for share in (1, arguments.devices // 10)
        ],
        "bounds_s": {"sweep": 1.0, "fleet": 60.0},
    }


def _time_sweep(made: Plan) -> dict[str, Any]:
    grid = parse_grid("0.1mbit:100mbit:50", "5ms:200ms:10", "1:8:4", "1:16:5", None)
    seconds = [_timed(lambda: sweep(made, grid))[0] for _ in range(5)]
    return {"points": int(np.prod(grid.shape)), "median_s": float(np.median(seconds))}


def _time_trace(made: Plan, trace: Trace) -> dict[str, Any]:
    setup = Setup(trace, 0.2, 4, 10.0)
    frames = 1000
    seconds, runs = _timed(lambda: compare_policies(made, setup, frames, PolicySettings()))
    return {"frames": frames, "policies": len(runs), "seconds": seconds}


def _time_fleet(
    made: Plan, trace: Trace, arguments: argparse.Namespace, share: int
) -> dict[str, Any]:
    demand = demands_of(made)["cloud/jpeg-75"]
    busy = arguments.devices * arguments.fps * demand.cloud_s
    fleet = Fleet(
        (demand,), trace, arguments.devices, 1 / arguments.fps, 4, max(1, round(busy / 0.7 + 0.5)),
        duration_s=arguments.seconds,
    )  # fmt: skip
    if share > 1:  # as much for each device as on an uplink of its own
        wide = replace(
            trace,
            uplink_bps=Steps(
                trace.uplink_bps.times,
                [share * value for value in trace.uplink_bps.values],
                trace.duration_s,
            ),
        )
        fleet = replace(fleet, trace=wide, share=share)
    seconds, run = _timed(lambda: run_fleet(fleet))
    return {
        "devices": fleet.devices,
        "devices_on_an_uplink": share,
        "fps": arguments.fps,
        "simulated_s": fleet.duration_s,
        "workers": fleet.workers,
        "frames": len(run.latencies_s),
        "p99_s": run.latency_s(99),
        "cloud_share": run.cloud_share,
        "seconds": seconds,
        "frames_per_second": len(run.latencies_s) / seconds,
    }


def _trace(duration_s: float) -> Trace:
    """Return a seeded random walk around 3 Mbit/s, a step a second."""
    random = np.random.default_rng(1)
    level = 0.0
    values = []
    for _ in range(int(duration_s)):
        level = 0.97 * level + 0.15 * float(random.standard_normal())
        values.append(3e6 * float(np.exp(level)))
    times = list(itertools.islice(itertools.count(0.0, 1.0), len(values)))
    return Trace("walk", Steps(times, values, float(len(values)))).filled(RTT_S)


def _timed(work: Callable[[], Any]) -> tuple[float, Any]:
    start = time.perf_counter()
    result = work()
    return time.perf_counter() - start, result


def _unheard(_stage: str, _done: int, _total: int) -> None: ...


if __name__ == "__main__":
    reporting.main(__doc__, measure, devices=100, fps=2.0, seconds=3600)
