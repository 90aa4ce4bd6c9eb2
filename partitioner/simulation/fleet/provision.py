"""What to provide for a fleet: the option and the workers that keep a p99 at the least cost.

A branch and bound over options and workers, each judged by simulation. Options come in the order of the least
that they may cost (bounds.py); one whose least is above the best bill found is not simulated, and of the
others no more workers are tried than that bill would pay. For one option the least number of workers is
found by bisection: more workers do not make frames wait longer, but by luck in runs of few frames (a batch
varies as its first frame does).
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from statistics import mean

from partitioner.common.units import plural
from partitioner.planning.terms import HOURS_A_MONTH, Prices
from partitioner.simulation.fleet.bounds import (
    keeps_up,
    least_workers,
    unqueued_s,
)
from partitioner.simulation.fleet.figures import cost_a_month, traffic_cost_a_month
from partitioner.simulation.fleet.fleet import Fleet
from partitioner.simulation.fleet.fleet_run import FleetRun
from protos.errors import InfeasibleError

_ROUNDING = 1e-9
"""Of a sum of seconds: what a run keeps to the last digit, its sum must not seem to exceed."""
_EQUAL = 1e-6
"""Bills that differ by no more than this share are equal."""

Runs = tuple[FleetRun, ...]
Try = Callable[[Fleet, float], Runs | None]
"""Simulates a fleet, run after run: None as soon as one does not keep the p99."""
Measure = Callable[[Fleet], Runs]
"""Simulates a fleet to its end."""


class Fate(StrEnum):
    """What became of an option."""

    CHOSEN = "chosen"
    EQUAL = "equal"
    """It costs as much as the one that was chosen, and is slower."""
    DEARER = "dearer"
    LATE = "late"
    """No number of workers keeps the p99."""
    BEHIND = "behind"
    """Its devices or uplinks are too slow for the frame rate."""


@dataclass(frozen=True)
class Considered:
    """One option (or several that devices take in turn), and what it would take."""

    fleet: Fleet
    """With the workers that it was judged with: the fewest that do, or no more than a bound."""
    fate: Fate
    cost_a_month: float | None
    """None: it keeps the p99 with no workers at all, or nothing has a price."""
    p99_s: float | None
    """None: it was not simulated to its end."""
    is_bound: bool = False
    """Workers and cost are at least these, and the p99 too."""


@dataclass(frozen=True)
class Provision:
    """The cheapest way to keep a p99, its runs, and what became of the other options."""

    runs: Runs
    p99_s: float
    """What was to be kept."""
    considered: tuple[Considered, ...]
    """Every option, the cheapest first."""

    @property
    def fleet(self) -> Fleet:
        """The fleet that was chosen."""
        return self.runs[0].fleet

    @property
    def chosen(self) -> Considered:
        """What was chosen."""
        return next(one for one in self.considered if one.fate is Fate.CHOSEN)


def provide(
    fleets: Sequence[Fleet], p99_s: float, prices: Prices | None, attempt: Try, measure: Measure
) -> Provision:
    """Return the cheapest of these fleets, with as many workers as it takes, that keeps a p99.

    Their own workers count for nothing. Of equal bills the one with the smaller p99 is taken. Without
    `prices` workers alone count. Raises InfeasibleError with the nearest miss where none keeps the p99.
    """
    billed = prices or Prices(worker_hour=1.0)
    search = _Search(p99_s, billed, attempt)
    for fleet in sorted(fleets, key=lambda one: (search.least_cost(one), unqueued_s(one))):
        search.consider(fleet)
    if search.best is None:
        raise _nothing_keeps(fleets, p99_s, measure)
    return search.provision(priced=prices is not None)


class _Search:
    """The best bill so far, and what became of each option."""

    def __init__(self, p99_s: float, prices: Prices, attempt: Try) -> None:
        self._p99_s, self._prices, self._attempt = p99_s, prices, attempt
        self.best: Runs | None = None
        self._kept: list[Runs] = []
        self._others: list[Considered] = []

    def least_cost(self, fleet: Fleet) -> float:
        """Return what a month of a fleet costs at least, if it keeps the frame rate."""
        return self._cost(least_workers(fleet, self._p99_s), fleet)

    def consider(self, fleet: Fleet) -> None:
        """Find the fewest workers that keep the p99, and no more than the best bill pays."""
        if not keeps_up(fleet) or unqueued_s(fleet) > self._p99_s * (1 + _ROUNDING):
            self._reject(fleet, Fate.LATE if keeps_up(fleet) else Fate.BEHIND)
        elif self._most_paid(fleet) < least_workers(fleet, self._p99_s):
            self._reject(fleet, Fate.DEARER)
        elif runs := self._fewest(fleet):
            self._keep(runs)
        else:
            late = self._most_paid(fleet) >= fleet.most_workers or not fleet.paid_workers
            self._reject(fleet, Fate.LATE if late else Fate.DEARER)

    def provision(self, *, priced: bool) -> Provision:
        """Return what was found."""
        if self.best is None:
            raise ValueError("nothing was found")
        kept = [self._judged(runs, priced=priced) for runs in self._kept]
        others = [one if priced else replace(one, cost_a_month=None) for one in self._others]
        ranked = sorted(kept, key=lambda one: (one.fate is not Fate.CHOSEN, one.cost_a_month or 0))
        return Provision(self.best, self._p99_s, (*ranked, *others))

    def _judged(self, runs: Runs, *, priced: bool) -> Considered:
        cost, best_cost = self._bill(runs), self._bill(self.best or runs)
        equal = abs(cost - best_cost) <= _EQUAL * best_cost
        fate = Fate.CHOSEN if runs is self.best else Fate.EQUAL if equal else Fate.DEARER
        fleet = runs[0].fleet
        return Considered(fleet, fate, cost if priced else None, _p99_s(runs))

    def _keep(self, runs: Runs) -> None:
        self._kept.append(runs)
        if self.best is None:
            self.best = runs
            return
        cost, best_cost = self._bill(runs), self._bill(self.best)
        if abs(cost - best_cost) <= _EQUAL * best_cost:
            self.best = min(self.best, runs, key=_p99_s)
        elif cost < best_cost:
            self.best = runs

    def _reject(self, fleet: Fleet, fate: Fate) -> None:
        workers = least_workers(fleet, self._p99_s)
        if fate is Fate.DEARER and self.best:
            workers = max(workers, self._most_paid(fleet) + 1)
        judged = replace(fleet, workers=max(1, workers))
        slow_s = unqueued_s(fleet) if fate is Fate.LATE else None
        cost = self._cost(workers, fleet) if fate is Fate.DEARER else None
        self._others.append(Considered(judged, fate, cost, slow_s, is_bound=True))

    def _fewest(self, fleet: Fleet) -> Runs | None:
        """Return the runs with the fewest workers that keep the p99; None: not within what may be paid."""
        if not fleet.paid_workers:
            return self._try(fleet, 1)
        few, most = least_workers(fleet, self._p99_s) - 1, self._most_paid(fleet)
        enough = self._try(fleet, most)
        if enough is None:
            return None
        step = 1
        while most - few > 1:  # by steps that double while no number is known that is near
            middle = min(few + step, (few + most) // 2) if step else (few + most) // 2
            if found := self._try(fleet, middle):
                enough, most, step = found, middle, 0
            else:
                few, step = middle, 2 * step
        return enough

    def _try(self, fleet: Fleet, workers: int) -> Runs | None:
        return self._attempt(replace(fleet, workers=workers), self._p99_s)

    def _most_paid(self, fleet: Fleet) -> int:
        """Return how many workers cost no more than the best bill; all that can help where none is known."""
        if self.best is None or not self._prices.worker_hour:
            return fleet.most_workers
        rest = self._bill(self.best) * (1 + _EQUAL) - self._cost(0, fleet)
        paid = math.floor(rest / (self._prices.worker_hour * HOURS_A_MONTH))
        return max(-1, min(fleet.most_workers, paid))

    def _cost(self, workers: int, fleet: Fleet) -> float:
        hired = workers * self._prices.worker_hour * HOURS_A_MONTH
        return hired + traffic_cost_a_month(fleet, self._prices)

    def _bill(self, runs: Runs) -> float:
        return mean(cost_a_month(run, self._prices) for run in runs)


def _p99_s(runs: Runs) -> float:
    """Return the p99 of the run in which it is largest."""
    return max(run.latency_s(99) for run in runs)


def _nothing_keeps(fleets: Sequence[Fleet], p99_s: float, measure: Measure) -> InfeasibleError:
    """Return the error that names the nearest miss: the smallest p99 of those that keep the frame rate."""
    nearest: Runs | None = None
    behind: Runs | None = None
    for fleet in sorted(fleets, key=unqueued_s):
        if nearest and unqueued_s(fleet) >= _p99_s(nearest):
            break  # nor is any of those behind it nearer
        if not keeps_up(fleet):
            continue
        runs = measure(replace(fleet, workers=fleet.most_workers))
        if not all(run.keeps_rate for run in runs):
            behind = behind or runs
        elif nearest is None or _p99_s(runs) < _p99_s(nearest):
            nearest = runs
    return _too_slow(p99_s, nearest) if nearest else _too_many_frames(fleets, behind)


def _too_slow(p99_s: float, runs: Runs) -> InfeasibleError:
    fleet, found_s = runs[0].fleet, _p99_s(runs)
    with_all = (
        f" with {fleet.most_workers} of them, for which no frame waits"
        if fleet.paid_workers
        else ""
    )
    return InfeasibleError(
        f"no number of workers brings the p99 to {1e3 * p99_s:.0f} ms. The nearest is {fleet.label}: "
        f"{1e3 * found_s:.0f} ms{with_all}. Allow that, or take another option, a lower frame rate or a "
        "faster link.",
        _document(p99_s, {"options": fleet.label.split(", "), "p99_s": found_s}),
    )


def _too_many_frames(fleets: Sequence[Fleet], behind: Runs | None) -> InfeasibleError:
    fps = 1 / fleets[0].period_s
    if behind is None:
        lightest = min(fleets, key=lambda one: max(d.edge_s for d in one.used))
        why = f"Even {lightest.label} takes a device or its uplink longer than a frame lasts"
    else:
        taken = min(run.taken_share for run in behind)
        why = f"The nearest is {behind[0].fleet.label}, which takes {fps * taken:.3g} a second"
    return InfeasibleError(
        f"no option keeps up with {plural(fps, 'frame')} a second of {plural(fleets[0].devices, 'device')}. "
        f"{why}. Lower the frame rate, or give faster devices or uplinks.",
        _document(None, None),
    )


def _document(p99_s: float | None, nearest: dict[str, object] | None) -> dict[str, object]:
    return {"infeasible": {"p99_s": p99_s, "nearest": nearest}}
