"""`simulate_fleet`: the question `what if`, asked of a fleet in one call."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from partitioner.common.arguments import need, need_numbers
from partitioner.common.defaults import DEFAULT_WINDOW
from partitioner.common.nearest import meant_text
from partitioner.common.progress import OnProgress, unheard
from partitioner.common.units import plural
from partitioner.network.link import Link
from partitioner.network.trace import Trace
from partitioner.planning.metrics import unknown_metric
from partitioner.planning.plan import Plan
from partitioner.planning.terms import NO_TERMS, Terms
from partitioner.simulation.demand import Demand, contending, demands_of, pick
from partitioner.simulation.fleet.figures import Bill
from partitioner.simulation.fleet.fleet import Fleet
from partitioner.simulation.fleet.fleet_run import FleetRun
from partitioner.simulation.fleet.fleet_simulation import FleetSimulation
from partitioner.simulation.fleet.provision import Provision, Runs, provide
from partitioner.simulation.fleet.simulator import run_fleet, run_within
from partitioner.simulation.what_if import as_trace, link_or_trace
from protos.errors import UsageError

AUTO: Literal["auto"] = "auto"
MINIMIZED = ("latency", "cost")
"""What a fleet's option is the best in."""


def simulate_fleet(
    plan: Plan,
    over: Link | Trace | str | Path,
    *,
    columns: str | None = None,
    devices: int = 100,
    fps: float = 1.0,
    seconds: float = 600.0,
    share: int = 1,
    options: str | Sequence[str] | None = None,
    minimize: str = "latency",
    workers: int | Literal["auto"] | None = None,
    p99_s: float | None = None,
    deadline_s: float | None = None,
    terms: Terms = NO_TERMS,
    window: int = DEFAULT_WINDOW,
    batch: int = 1,
    batch_cost: float = 1.0,
    runs: int = 1,
    seed: int = 0,
    on_progress: OnProgress = unheard,
) -> FleetSimulation:
    """Run many devices on shared uplinks and one cloud, which may be the cheapest that keeps a p99.

    `over` and `columns`: the uplinks, as for `simulate`; each begins at a random moment of a trace.
    `share`: devices on each. `fps`: frames a second of each device, for `seconds`. `options`: what the
    devices ask for, in turn; None: with `minimize="latency"` the plan's fastest on the mean share of an
    uplink, with `"cost"` the one whose month costs least with as few workers as keep `p99_s`, among all
    options of the plan. `workers`: a number (None: 1), or `auto`: as few as keep `p99_s`. That bound holds
    if no more than 1 % of the frames of each run are later or lost, and the devices take all frames that
    are due.

    `terms`: prices, and the device and radio whose energy is counted. `deadline_s` counts late frames;
    devices then take a frame only when they are free. `batch`, `batch_cost`: see Fleet. `runs`: how many,
    independent of each other. `on_progress` hears what is being simulated, and its seconds.

    Raises UsageError for numbers without meaning, UnknownNameError for an option that is none,
    InfeasibleError with the nearest miss if nothing keeps the p99, and what `read_trace` does.
    """
    need("plan", plan, Plan, wanted="a Plan, as plan(bundle, link, edge, cloud) returns it")
    need("terms", terms, Terms, wanted="Terms, of partitioner.planning.terms")
    searches = _is_search(minimize, workers, p99_s, terms)
    numbers = {"devices": devices, "fps": fps, "seconds": seconds, "share": share, "window": window,
               "batch": batch, "batch_cost": batch_cost, "runs": runs}  # fmt: skip
    limits = {"p99_s": p99_s, "deadline_s": deadline_s}
    need_numbers(numbers | {name: limit for name, limit in limits.items() if limit is not None})
    _check(fps, runs, p99_s)
    uplinks = as_trace(link_or_trace(over, columns)).filled(plan.link.rtt_s)
    here = plan.at(uplinks.mean_link(share))
    fleets = [
        Fleet(
            asked, uplinks, devices, 1 / fps, window,
            workers if isinstance(workers, int) else 1, share, batch, batch_cost, seconds,
            device_paced=deadline_s is not None,
        )
        for asked in _asked(here, options, minimize)
    ]  # fmt: skip
    runner = _Runner(runs, seed, on_progress)
    found: Provision | None = None
    if searches and p99_s is not None:
        found = provide(fleets, p99_s, terms.prices, runner.attempt, runner.measure)
    made = found.runs if found else runner.measure(fleets[0])
    bill = Bill(terms.device, terms.radio, terms.prices)
    late_s = p99_s if deadline_s is None else deadline_s
    return FleetSimulation(here, made, found, bill, late_s, seed)


def _asked(
    plan: Plan, options: str | Sequence[str] | None, minimize: str
) -> list[tuple[Demand, ...]]:
    """Return what the devices ask for, in turn: for each fleet that is considered."""
    demands = demands_of(plan)
    if options:
        return [tuple(pick(demands, [options] if isinstance(options, str) else options))]
    if minimize == "cost":
        return [(demand,) for demand in contending(demands.values())]
    return [(demands[plan.best.label],)]


def _is_search(minimize: str, workers: object, p99_s: float | None, terms: Terms) -> bool:
    """Tell whether workers are to be found; UsageError for what does not go together."""
    if minimize not in MINIMIZED:
        raise UsageError(
            f"a fleet's {minimize!r} cannot be minimised.{meant_text(minimize, MINIMIZED)} Choose from: "
            f"{', '.join(MINIMIZED)}."
        )
    if workers not in (None, AUTO):
        need("workers", workers, int, wanted="a number of workers, or 'auto'")
    if minimize == "cost":
        if workers not in (None, AUTO):
            raise UsageError(
                f"the least cost has a number of workers of its own, so `workers` {workers} cannot be kept. "
                "Leave it out."
            )
        if terms.prices is None:
            raise unknown_metric("cost")
    searches = minimize == "cost" or workers == AUTO
    if searches and p99_s is None:
        what = "`minimize` cost" if minimize == "cost" else "`workers` auto"
        raise UsageError(f"{what} needs to know what for: `p99_s` 200ms.")
    return searches


def _check(fps: float, runs: int, p99_s: float | None) -> None:
    if not 0 < fps < math.inf:
        raise UsageError(f"`fps` {fps} has no meaning. Give a rate above 0, such as 2.")
    if runs < 1:
        raise UsageError(f"{plural(runs, 'run')} show nothing. Give 1 or more.")
    if p99_s is not None and not p99_s > 0:
        raise UsageError(f"`p99_s` {p99_s:g}s is over before it starts. It must be above 0.")


class _Runner:
    """Simulates fleets, run after run, and tells how far it is."""

    def __init__(self, runs: int, seed: int, on_progress: OnProgress) -> None:
        self._runs, self._seed, self._on_progress = runs, seed, on_progress

    def measure(self, fleet: Fleet) -> Runs:
        """Simulate all runs to their end."""
        return tuple(
            run_fleet(fleet, self._seed, run, self._heard(fleet, run)) for run in range(self._runs)
        )

    def attempt(self, fleet: Fleet, p99_s: float) -> Runs | None:
        """Simulate all runs; None as soon as one does not keep the p99."""
        done: list[FleetRun] = []
        for run in range(self._runs):
            found = run_within(fleet, p99_s, self._seed, run, self._heard(fleet, run))
            if found is None:
                return None
            done.append(found)
        return tuple(done)

    def _heard(self, fleet: Fleet, run: int) -> "_Heard":
        on = f" on {plural(fleet.workers, 'worker')}" if fleet.paid_workers else ""
        which = f", run {run + 1} of {self._runs}" if self._runs > 1 else ""
        return _Heard(f"{fleet.label}{on}{which}", fleet.duration_s, self._on_progress)


class _Heard:
    """Passes the simulated seconds on."""

    def __init__(self, what: str, duration_s: float, on_progress: OnProgress) -> None:
        self._what, self._total, self._on_progress = what, round(duration_s), on_progress

    def __call__(self, time_s: float) -> None:
        self._on_progress(self._what, round(time_s), self._total)
