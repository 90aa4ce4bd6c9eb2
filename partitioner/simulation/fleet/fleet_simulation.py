"""What if, of a fleet: its runs, their figures, and what else was considered for it."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from partitioner.common.tables import data_frame, html_table, text_table
from partitioner.common.units import format_duration, plural
from partitioner.planning.plan import Plan
from partitioner.planning.terms import HOURS_A_MONTH
from partitioner.simulation.fleet.figures import Bill, Estimate, measures, summarise
from partitioner.simulation.fleet.fleet import Fleet
from partitioner.simulation.fleet.fleet_run import FleetRun
from partitioner.simulation.fleet.provision import Considered, Provision


@dataclass(frozen=True, eq=False, repr=False)
class FleetSimulation:
    """Independent runs of one fleet, and how it was chosen."""

    plan: Plan
    """On the mean share of an uplink."""
    runs: tuple[FleetRun, ...]
    provision: Provision | None
    """What was considered; None: the fleet was given."""
    bill: Bill
    deadline_s: float | None
    """After which a frame counts as late: the deadline, or else the p99."""
    seed: int

    def __repr__(self) -> str:
        p99 = format_duration(self.figures["p99_s"].mean)
        cost = self.figures.get("cost_a_month")
        billed = f", {cost.mean:,.2f} a month" if cost else ""
        return (
            f"<FleetSimulation of {plural(self.fleet.devices, 'device')} with {self.fleet.label} on "
            f"{plural(self.fleet.paid_workers, 'worker')}: p99 {p99}{billed}>"
        )

    @property
    def fleet(self) -> Fleet:
        """The fleet that was run."""
        return self.runs[0].fleet

    @property
    def workers(self) -> int:
        """Workers of the cloud; 0 where nothing crosses."""
        return self.fleet.paid_workers

    @cached_property
    def each(self) -> list[dict[str, float]]:
        """The figures of every run, in SI units."""
        return [measures(run, self.deadline_s, self.bill) for run in self.runs]

    @cached_property
    def figures(self) -> dict[str, Estimate]:
        """The figures over all runs."""
        return summarise(self.each)

    @property
    def cost_a_month(self) -> float | None:
        """A month's bill; None without prices."""
        found = self.figures.get("cost_a_month")
        return found.mean if found else None

    @property
    def worker(self) -> dict[str, Any]:
        """What a worker is: the machine of the cloud's profile, what it does, and its price."""
        machine, prices = self.plan.cloud.machine, self.bill.prices
        hour = prices.worker_hour if prices else None
        return {
            "cpu": machine.cpu,
            "threads": machine.threads,
            "provider": machine.provider,
            "accelerator": machine.accelerator or None,
            "scale": self.plan.cloud.scale,
            "frames_at_once": self.fleet.batch,
            "price_hour": hour,
            "price_month": None if hour is None else hour * HOURS_A_MONTH,
        }

    def to_dict(self) -> dict[str, Any]:
        """Return the fleet, the figures with their intervals, those of every run, and what was considered."""
        fleet = self.fleet
        found = {
            "fleet": {
                "devices": fleet.devices,
                "options": [demand.label for demand in fleet.demands],
                "fps": 1 / fleet.period_s,
                "share": fleet.share,
                "window": fleet.window,
                "workers": fleet.paid_workers,
                "batch": fleet.batch,
                "batch_cost": fleet.batch_cost,
                "duration_s": fleet.duration_s,
                "trace": fleet.trace.name,
                "mean_uplink_bps": fleet.trace.uplink_bps.mean,
            },
            "worker": self.worker,
            "seed": self.seed,
            "frames": sum(len(run.latencies_s) for run in self.runs),
            "figures": {
                name: {"mean": estimate.mean, "ci95": estimate.half_width}
                for name, estimate in self.figures.items()
            },
            "runs": list(self.each),
        }
        if self.provision:
            found["p99_to_keep_s"] = self.provision.p99_s
            found["considered"] = [_considered_row(one) for one in self.provision.considered]
        return found

    def to_pandas(self) -> Any:
        """Return a pandas.DataFrame with a row for each run; UsageError where pandas is missing."""
        return data_frame(self.each)

    def __str__(self) -> str:
        return text_table(*self._table())

    def _repr_html_(self) -> str:
        return html_table(*self._table())

    def _table(self) -> tuple[str, Sequence[str], Sequence[Sequence[str]]]:
        """Return title, header and cells: what was considered, or else the fleet alone."""
        title = repr(self)[1:-1]
        considered = self.provision.considered if self.provision else ()
        header = ("option", "workers", "cost a month", "p99", "")
        rows = [considered_cells(one) for one in considered]
        if not rows:
            p99, cost = self.figures["p99_s"].mean, self.cost_a_month
            rows = [
                (self.fleet.label, str(self.workers), _money(cost), format_duration(p99), "given")
            ]
        return title, header, rows


def considered_cells(one: Considered) -> tuple[str, ...]:
    """Return option, workers, cost, p99 and fate as people read them; a bound has a sign before it."""
    sign = "≥ " if one.is_bound else ""
    cost = sign + _money(one.cost_a_month) if one.cost_a_month is not None else ""
    p99 = sign + format_duration(one.p99_s) if one.p99_s is not None else ""
    shows_workers = not one.is_bound or one.cost_a_month is not None
    workers = f"{sign}{one.fleet.paid_workers}" if shows_workers else ""
    return one.fleet.label, workers, cost, p99, one.fate.value


def _considered_row(one: Considered) -> dict[str, Any]:
    return {
        "options": [demand.label for demand in one.fleet.demands],
        "fate": one.fate.value,
        "workers": one.fleet.paid_workers,
        "cost_a_month": one.cost_a_month,
        "p99_s": one.p99_s,
        "is_bound": one.is_bound,
    }


def _money(value: float | None) -> str:
    return "" if value is None else f"{value:,.2f}"
