"""What options cost on given terms, and the Pareto front, for people and as JSON."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from partitioner.common.units import DURATIONS, ENERGIES, SIZES, ColumnUnit
from partitioner.planning.constraints import Candidate, Constraint
from partitioner.planning.metrics import METRICS
from partitioner.planning.selection import Selection
from partitioner.planning.terms import Terms
from partitioner.terminal.flag_names import flag_of, with_flags
from partitioner.terminal.folding_table import FoldingTable, new_table


def decision_json(decision: Selection) -> dict[str, Any]:
    """Return the costs of every candidate, on what terms they were priced, and what was asked for."""
    terms, constraints = decision.terms, decision.constraints
    return {
        "objective": decision.objective.weights,
        "constraints": [with_flags(str(constraint)) for constraint in constraints],
        "terms": {
            "device": terms.device.model_dump(exclude={"sources"}) if terms.device else None,
            "radio": terms.radio.model_dump(exclude={"sources"}) if terms.radio else None,
            "fps": terms.fps,
            "workers": terms.workers,
            "price_worker_hour": terms.prices.worker_hour if terms.prices else None,
            "price_gb": terms.prices.gb if terms.prices else None,
            "sustained": terms.sustained,
        },
        "costs": [_candidate_json(c, terms, constraints) for c in decision.candidates],
    }


def _candidate_json(
    candidate: Candidate, terms: Terms, constraints: Sequence[Constraint]
) -> dict[str, Any]:
    costs = candidate.costs
    return {
        "cut": candidate.option.cut,
        "codec": candidate.option.codec,
        "edge_s": costs.edge_s,
        "slowdown": costs.slowdown,
        "latency_s": costs.latency_s,
        "p95_s": costs.p95_s,
        "throughput_fps": 1 / costs.bottleneck_s if costs.bottleneck_s else None,
        "bytes": costs.bytes,
        "energy_j": costs.energy_j,
        "cost": costs.money,
        "cost_month": costs.monthly(terms.fps) if terms.fps else None,
        "depth": candidate.depth,
        "sends_input": candidate.sends_input,
        "misses": [flag_of(c.parameter) for c in constraints if not c.admits(candidate)],
    }


def costs_table(decision: Selection, shown: Sequence[Candidate]) -> FoldingTable:
    """Return what these candidates cost, and what limits they miss; the best is marked."""
    columns = [column for column in _columns(decision, shown) if any(column[1])]
    asked = with_flags(", ".join((decision.objective.goal, *map(str, decision.constraints))))
    limited = "misses" if decision.constraints else ""
    headers = ("cut", "codec", *(header for header, _ in columns), limited, "")
    table = new_table(asked, *headers, left=2, keys=2)
    for at, candidate in enumerate(shown):
        best = candidate == decision.best
        misses = [flag_of(c.parameter) for c in decision.constraints if not c.admits(candidate)]
        table.add_row(
            candidate.option.cut,
            candidate.option.codec if candidate.option.upload_bytes else "",
            *(cells[at] for _, cells in columns),
            ", ".join(misses),
            "◀" if best else "",
            style="bold green" if best else None,
        )
    return table


def _columns(
    decision: Selection, shown: Sequence[Candidate]
) -> Iterator[tuple[str, Sequence[str]]]:
    """Yield each column's header and cells, empty ones where the terms say nothing of it."""
    terms, costs = decision.terms, [candidate.costs for candidate in shown]
    times = ColumnUnit.of((one.latency_s for one in costs), DURATIONS)
    size = ColumnUnit.of((one.bytes for one in costs), SIZES)
    energy = ColumnUnit.of((one.energy_j or 0.0 for one in costs), ENERGIES)
    months = [one.monthly(terms.fps) if terms.fps else None for one in costs]
    yield times.header("latency"), [times.write(one.latency_s) for one in costs]
    yield times.header("p95"), [times.write(one.p95_s) for one in costs]
    yield "frames\n/s", [f"{one.throughput_fps:.1f}" for one in costs]
    yield size.header("bytes"), [size.write(one.bytes) for one in costs]
    yield energy.header("energy"), [_known(one.energy_j, energy.write) for one in costs]
    yield "cost", [_known(one.money, "{:.3g}".format) for one in costs]
    yield "cost\na month", [_known(month, "{:,.2f}".format) for month in months]
    yield "slower", [f"{one.slowdown:.2f}x" if terms.sustained else "" for one in costs]
    yield "depth\n%", [f"{100 * candidate.depth:.0f}" for candidate in shown]


def metric_units(shown: Sequence[Candidate], metrics: Sequence[str]) -> dict[str, ColumnUnit]:
    """Return a unit for each metric in which these candidates read well: `ms`, `mJ/frame`."""
    return {name: _metric_unit(name, [c.costs.metric(name) for c in shown]) for name in metrics}


def _metric_unit(name: str, values: Sequence[float]) -> ColumnUnit:
    base, slash, per = METRICS[name].unit.partition(" ")[0].partition("/")
    units = {"s": DURATIONS, "J": ENERGIES, "B": SIZES}.get(base, ((1.0, base),))
    unit = ColumnUnit.of(values, units)
    return replace(unit, name=f"{unit.name}{slash}{per}")


def _known(value: float | None, write: Callable[[float], str]) -> str:
    return "" if value is None else write(value)


def front_json(front: Sequence[Candidate], metrics: Sequence[str]) -> list[dict[str, Any]]:
    """Return the Pareto front, the smallest of the first metric first."""
    return [
        {
            "cut": candidate.option.cut,
            "codec": candidate.option.codec,
            **{name: candidate.costs.metric(name) for name in metrics},
        }
        for candidate in front
    ]


def front_table(front: Sequence[Candidate], metrics: Sequence[str]) -> FoldingTable:
    """Return the Pareto front, the smallest of the first metric first."""
    title = f"no option is better in one of {', '.join(metrics)} without being worse in another"
    units = metric_units(front, metrics)
    columns = (f"{name}\n{unit.name}" for name, unit in units.items())
    table = new_table(title, "cut", "codec", *columns, left=2, keys=2)
    for candidate in front:
        table.add_row(
            candidate.option.cut,
            candidate.option.codec if candidate.option.upload_bytes else "",
            *(unit.write(candidate.costs.metric(name)) for name, unit in units.items()),
        )
    return table
