"""`size_fleet`: the fewest machines with which each engine keeps a p99, and the cheapest option for each.

Machines share nothing, and a device's connection stays with one of them. So the busiest process of one
machine is simulated with its share of the devices, which is no approximation of 10,000 devices but a part of
them. The formulas (estimate.py) say where to begin and which option comes first; what is answered is what
simulated runs keep.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean

import numpy as np
import numpy.typing as npt

from partitioner.common.arguments import need
from partitioner.common.progress import OnProgress, unheard
from partitioner.common.units import plural
from partitioner.network.link import Link
from partitioner.network.trace import Trace
from partitioner.planning.answer import error_s
from partitioner.planning.plan import Plan
from partitioner.planning.terms import Prices
from partitioner.simulation.demand import Demand, contending, demands_of, pick
from partitioner.simulation.fleet.bounds import keeps_up
from partitioner.simulation.fleet.figures import Estimate, summarise, traffic_cost_a_month
from partitioner.simulation.fleet.fleet import Fleet
from partitioner.simulation.fleet.fleet_run import RATE_SHARE, FleetRun
from partitioner.simulation.fleet.simulator import run_fleet, run_within
from partitioner.simulation.sizing.engine import ServingEngine
from partitioner.simulation.sizing.estimate import estimate_p99_s, unqueued
from partitioner.simulation.sizing.layout import Layout, Workload
from partitioner.simulation.sizing.load import (
    ALONE,
    USUAL,
    Batching,
    FleetLoad,
    MachineKind,
    Sampling,
)
from partitioner.simulation.sizing.served_options import served_plan
from partitioner.simulation.sizing.sized_fleet import EdgeAlone, EngineSizing, Fate, FleetSizing
from partitioner.simulation.what_if import as_trace, link_or_trace
from protos.errors import UsageError

_RUNS = 3
"""Independent ones of what is answered."""
_OPTIONS = 3
"""That are simulated for one engine, the cheapest by the formulas first."""
_PARTS = 100
"""A number of machines is found to one, or to this part of it."""

Latencies = npt.NDArray[np.float64]


def size_fleet(
    plan: Plan,
    over: Link | Trace | str | Path,
    load: FleetLoad,
    machine: MachineKind,
    engines: Sequence[ServingEngine],
    *,
    columns: str | None = None,
    options: str | Sequence[str] | None = None,
    batching: Batching = ALONE,
    sampling: Sampling = USUAL,
    on_progress: OnProgress = unheard,
) -> FleetSizing:
    """Return for each engine the fewest machines that keep a p99, and what they cost.

    `over` and `columns`: the uplinks, as for `simulate_fleet`. `options`: those among which to choose; None:
    all of the plan. Each engine has those of them whose codecs it decodes. `on_progress` hears which engine's
    turn it is, the number of simulations so far, and 0.

    Raises UsageError for numbers without meaning, UnknownNameError for an option that is none, and what
    `read_trace` does.
    """
    need("plan", plan, Plan, wanted="a Plan, as plan(bundle, link, edge, cloud) returns it")
    if not engines:
        raise UsageError(
            "there is no engine to size for. Give one, such as load_engine('splitpoint')."
        )
    uplinks = as_trace(link_or_trace(over, columns)).filled(plan.link.rtt_s)
    here = plan.at(uplinks.mean_link(load.share))
    demands = demands_of(here)
    wanted = [options] if isinstance(options, str) else options
    asked = pick(demands, wanted) if wanted else contending(demands.values())
    search = _Search(load, machine, batching, uplinks, sampling, on_progress)
    found = [search.size(engine, _workloads(here, engine, wanted)) for engine in engines]
    ranked = sorted(found, key=search.order)
    alone = next((demand for demand in asked if not demand.crosses), None)
    edge = search.edge_alone(_workload(here, alone)) if alone else None
    noisy = here.edge.is_noisy or here.cloud.is_noisy
    return FleetSizing(load, machine, tuple(ranked), edge, noisy)


def _workloads(plan: Plan, engine: ServingEngine, wanted: Sequence[str] | None) -> list[Workload]:
    """Return what an engine can be asked to serve: all that may be the best there, or what was wanted."""
    served = served_plan(plan, engine)
    demands = demands_of(served)
    asked = (
        [demands[label] for label in wanted if label in demands]
        if wanted
        else contending(demands.values())
    )
    return [_workload(served, demand) for demand in asked if demand.crosses]


def _workload(plan: Plan, demand: Demand) -> Workload:
    option = next(one for one in plan.options if one.label == demand.label)
    head, tail = plan.edge.cuts[option.cut].head, plan.cloud.cuts[option.cut].tail
    return Workload(
        demand,
        plan.cloud.machine.threads,
        tail.memory_bytes if tail else 0,
        error_s(head) if plan.edge.is_noisy else 0.0,
        error_s(tail) if plan.cloud.is_noisy else 0.0,
    )


@dataclass(frozen=True)
class _Candidate:
    """An engine with one option, and how many machines the formulas want, without those to spare."""

    work: Workload
    layout: Layout
    unqueued_s: Latencies
    machines: int | None
    """None: no number would do."""
    rank: tuple[float, int]
    """As of `_Search.rank`."""


class _Search:
    """What is asked of all engines, and what was simulated so far."""

    def __init__(
        self,
        load: FleetLoad,
        machine: MachineKind,
        batching: Batching,
        uplinks: Trace,
        sampling: Sampling,
        on_progress: OnProgress,
    ) -> None:
        self._load, self._machine, self._batching = load, machine, batching
        self._uplinks, self._sampling, self._on_progress = uplinks, sampling, on_progress
        self._unqueued: dict[Demand, Latencies | None] = {}
        self._known: dict[tuple[str, str, int, int], FleetRun | None] = {}
        self._done = 0

    def size(self, engine: ServingEngine, works: Sequence[Workload]) -> EngineSizing:
        """Return what an engine takes, with the cheapest of some options."""
        found = [self._candidate(engine, work) for work in works]
        candidates = [one for one in found if isinstance(one, _Candidate)]
        hopeful = [one for one in candidates if one.machines is not None]
        hopeful.sort(key=lambda one: (*one.rank, float(np.percentile(one.unqueued_s, 99))))
        best: EngineSizing | None = None
        for candidate in hopeful[:_OPTIONS]:
            if best and candidate.rank >= self.rank(best):
                continue
            sized = self._simulated(candidate)
            if sized and (best is None or self.rank(sized) < self.rank(best)):
                best = sized
        if best or candidates:
            return best or self._nearest(candidates)
        fates = [one for one in found if isinstance(one, Fate)]
        return EngineSizing(engine.name, min(fates, default=Fate.UNSERVED))

    def order(self, one: EngineSizing) -> tuple[bool, tuple[float, int], float]:
        """Return by what engines are sorted: the cheapest first, then the nearest miss."""
        p99_s = one.p99.mean if one.p99 else math.inf
        return one.fate is not Fate.KEPT, self.rank(one), p99_s

    def rank(self, one: EngineSizing) -> tuple[float, int]:
        """Return by what engines are compared: the month's bill, if there is one, and then their machines."""
        return one.cost_a_month or 0.0, one.machines

    def edge_alone(self, work: Workload) -> EdgeAlone:
        """Return what devices take that do everything themselves."""
        run, off_s = self._run_alone(work.demand), work.edge_error_s
        found = EdgeAlone(run.latency_s(99), run.keeps(self._load.p99_s))
        if not off_s:
            return found
        quick, slow = work.undisturbed.demand, work.demand
        quick = replace(quick, edge_s=max(0.0, quick.edge_s - off_s))
        slow = replace(slow, edge_s=slow.edge_s + off_s)
        least_s, most_s = (self._run_alone(one).latency_s(99) for one in (quick, slow))
        return replace(found, within_s=(least_s, most_s))

    def _run_alone(self, demand: Demand) -> FleetRun:
        period_s = 1 / self._load.fps
        fleet = Fleet(
            (demand,), self._uplinks, min(self._load.devices, 100), period_s, self._load.window, 1,
            duration_s=100 * period_s,
        )  # fmt: skip
        return run_fleet(fleet, self._sampling.seed)

    def _candidate(self, engine: ServingEngine, work: Workload) -> _Candidate | Fate:
        layout = Layout.of(engine, work, self._machine, self._batching)
        if layout is None or self._is_cramped(layout):
            return Fate.CRAMPED
        alone_s = self._alone(work.demand)
        if alone_s is None:
            return Fate.BEHIND
        unqueued_s = alone_s + (layout.demand.cloud_s - work.demand.cloud_s)
        machines = self._estimated(layout, unqueued_s)
        rank = math.inf, 0
        if machines is not None:
            rank = self._cost(layout, machines) or 0.0, machines + self._machine.spare
        return _Candidate(work, layout, unqueued_s, machines, rank)

    def _nearest(self, candidates: Sequence[_Candidate]) -> EngineSizing:
        """Return by how much an engine misses the p99, though each device has a machine for itself."""

        def estimate_s(one: _Candidate) -> float:
            return estimate_p99_s(one.layout, 1, self._load.fps, one.unqueued_s)

        found = min(candidates, key=estimate_s)
        p99_s = estimate_s(found)
        if found.machines is not None:  # the runs say otherwise, and they count
            run = run_fleet(self._fleet(found.layout, self._load.devices), self._sampling.seed)
            p99_s = run.latency_s(99)
        return EngineSizing(
            found.layout.engine.name, Fate.LATE, found.layout, p99=Estimate(p99_s, None)
        )

    def _alone(self, demand: Demand) -> Latencies | None:
        if demand not in self._unqueued:
            period_s, load = 1 / self._load.fps, self._load
            fleet = Fleet(
                (demand,), self._uplinks, load.devices, period_s, load.window, 1, load.share,
                duration_s=100 * period_s,
            )  # fmt: skip
            fits = keeps_up(fleet)
            self._unqueued[demand] = unqueued(fleet, self._sampling.seed) if fits else None
        return self._unqueued[demand]

    def _is_cramped(self, layout: Layout) -> bool:
        there, needed = self._machine.memory_bytes, layout.memory_bytes
        return there is not None and needed is not None and needed > there

    def _estimated(self, layout: Layout, unqueued_s: Latencies) -> int | None:
        """Return the fewest machines by the formulas; None: one for each device would not do."""
        load = self._load

        def keeps(machines: int) -> bool:
            return estimate_p99_s(layout, self._each(machines), load.fps, unqueued_s) <= load.p99_s

        if not keeps(load.devices):
            return None
        few, enough = 0, load.devices
        while enough - few > 1:
            middle = (few + enough) // 2
            few, enough = (few, middle) if keeps(middle) else (middle, enough)
        return enough

    def _simulated(self, candidate: _Candidate) -> EngineSizing | None:
        """Return what runs say of a candidate; None where no number of machines keeps the p99."""
        layout, load, spare = candidate.layout, self._load, self._machine.spare
        kept = self._fewest(candidate)
        while kept is not None and not all(
            self._keeps(layout, kept, run) for run in range(1, _RUNS)
        ):
            kept = kept + max(1, kept // _PARTS) if kept < load.devices else None
        if kept is None:
            return None
        whole = self._runs(layout, kept + spare)
        least, most = self._within(candidate, kept)
        return EngineSizing(
            layout.engine.name,
            Fate.KEPT,
            layout,
            kept + spare,
            None if least is None else least + spare,
            None if most is None else most + spare,
            _p99(whole),
            _p99(self._runs(layout, kept)) if spare else None,
            estimate_p99_s(layout, self._each(kept + spare), load.fps, candidate.unqueued_s),
            mean(run.cloud_share for run in whole),
            self._cost(layout, kept),
        )

    def _fewest(self, candidate: _Candidate) -> int | None:
        """Return the fewest machines that keep the p99 in one run, from the formulas' guess on."""
        layout, most = candidate.layout, self._load.devices
        few, enough = self._least(layout) - 1, most + 1
        tried = max(few + 1, candidate.machines or 1)
        if not self._keeps(layout, tried, 0) and not self._keeps(layout, most, 0):
            return None
        step = max(1, tried // _PARTS)
        while enough - few > max(1, min(enough, most) // _PARTS):
            if self._keeps(layout, tried, 0):
                enough = tried
                tried = max(enough - step, (few + enough) // 2)
            else:
                few = tried
                tried = min(few + step, (few + enough + 1) // 2, most)
            step *= 2
        return enough if enough <= most else None

    def _keeps(self, layout: Layout, machines: int, run: int) -> bool:
        return self._kept(layout, machines, run) is not None

    def _kept(self, layout: Layout, machines: int, run: int) -> FleetRun | None:
        """Return a run that keeps the p99; None: it does not."""
        each = self._each(machines)
        key = layout.engine.name, layout.demand.label, each, run
        if key not in self._known:
            self._tell(layout, machines)
            fleet = self._fleet(layout, machines)
            self._known[key] = run_within(fleet, self._load.p99_s, self._sampling.seed, run)
        return self._known[key]

    def _runs(self, layout: Layout, machines: int) -> list[FleetRun]:
        """Return all runs, which keep the p99: these machines, or fewer, are known to."""
        runs = [self._kept(layout, machines, run) for run in range(_RUNS)]
        fleet = self._fleet(layout, machines)
        return [
            found or run_fleet(fleet, self._sampling.seed, run) for run, found in enumerate(runs)
        ]

    def _fleet(self, layout: Layout, machines: int) -> Fleet:
        frames = self._sampling.frames
        return layout.fleet(self._each(machines), self._load, self._uplinks, frames)

    def _tell(self, layout: Layout, machines: int) -> None:
        self._done += 1
        on = plural(machines, "machine")
        self._on_progress(f"{layout.engine.name}, {layout.demand.label} on {on}", self._done, 0)

    def _within(self, candidate: _Candidate, kept: int) -> tuple[int | None, int | None]:
        """Return the machines if requests cost as much less, and more, as the engine's figures may be off.

        A noisy profile may be off as well: by the errors of its medians, and by all that its times vary.
        """
        error = candidate.layout.engine.cost.error
        if error is None:
            return None, None
        work, found = candidate.work, list[int | None]()
        for sign, factor, real in (
            (-1, 1 - min(error, 0.99), work.undisturbed),
            (1, 1 + error, work),
        ):
            alone_s = self._alone(real.demand)
            if alone_s is None:
                return None, None
            request_s = candidate.layout.demand.cloud_s
            cloud_s = max(0.01 * request_s, request_s * factor + sign * work.cloud_error_s)
            shifted = alone_s + (cloud_s - work.demand.cloud_s) + sign * work.edge_error_s
            changed = replace(real.demand, cloud_s=cloud_s)
            wanted = self._estimated(replace(candidate.layout, demand=changed), shifted)
            found.append(wanted and max(1, round(kept * wanted / (candidate.machines or wanted))))
        return found[0], found[1]

    def _each(self, machines: int) -> int:
        """Return the devices of each of so many machines."""
        return -(-self._load.devices // machines)

    def _least(self, layout: Layout) -> int:
        """Return below how many machines the workers have too little time for all frames."""
        wanted = self._load.devices * self._load.fps * (2 * RATE_SHARE - 1)
        return max(1, math.ceil(wanted / layout.frames_per_s))

    def _cost(self, layout: Layout, machines: int) -> float | None:
        """Return a month's bill for machines beside the spare ones; None without a price."""
        paid, hour = machines + self._machine.spare, self._machine.price_month
        if hour is None:
            return None
        load = self._load
        whole = Fleet((layout.demand,), self._uplinks, load.devices, 1 / load.fps, load.window, 1)
        return paid * hour + traffic_cost_a_month(whole, Prices(gb=self._machine.price_gb))


def _p99(runs: Sequence[FleetRun]) -> Estimate:
    return summarise([{"p99_s": run.latency_s(99)} for run in runs])["p99_s"]
