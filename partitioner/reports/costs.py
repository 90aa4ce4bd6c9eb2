"""What options cost on given terms, and the Pareto front, for people and as JSON."""

from collections.abc import Sequence
from typing import Any

from partitioner.common.units import format_energy, format_size
from partitioner.planning.constraints import Candidate, Constraint
from partitioner.planning.metrics import METRICS
from partitioner.planning.selection import Selection
from partitioner.planning.terms import Terms
from partitioner.terminal.folding_table import FoldingTable, new_table


def decision_json(decision: Selection) -> dict[str, Any]:
    """Return the costs of every candidate, on what terms they were priced, and what was asked for."""
    terms, constraints = decision.terms, decision.constraints
    return {
        "objective": decision.objective.weights,
        "constraints": [str(constraint) for constraint in constraints],
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
        "misses": [c.flag for c in constraints if not c.admits(candidate)],
    }


def costs_table(decision: Selection) -> FoldingTable:
    """Return the costs of each cut's best option and of its raw one, and what limits they miss."""
    headers = (
        "latency\nms",
        "p95\nms",
        "frames\n/s",
        "bytes",
        "energy",
        "cost",
        "a month",
        "slower",
        "depth",
    )
    found = _worth_a_row(decision)
    rows = [_cells(candidate, decision.terms) for candidate in found]
    shown = [at for at in range(len(headers)) if any(row[at] for row in rows)]
    asked = ", ".join(map(str, (decision.objective, *decision.constraints)))
    names = [headers[at] for at in shown]
    columns = ("cut", "codec", *names, "misses", "")
    table = new_table(f"smallest {asked}", *columns, left=2, keys=2)
    for candidate, row in zip(found, rows, strict=True):
        best = candidate == decision.best
        misses = [c.flag for c in decision.constraints if not c.admits(candidate)]
        table.add_row(
            candidate.option.cut,
            candidate.option.codec if candidate.option.upload_bytes else "",
            *(row[at] for at in shown),
            ", ".join(misses),
            "◀" if best else "",
            style="bold green" if best else None,
        )
    return table


def _worth_a_row(decision: Selection) -> list[Candidate]:
    """Return each cut's raw candidate, and the one that misses the fewest limits and scores best."""

    def rank(candidate: Candidate) -> tuple[int, float]:
        misses = sum(not constraint.admits(candidate) for constraint in decision.constraints)
        return misses, decision.objective.score(candidate.costs)

    ranked = sorted(decision.candidates, key=rank, reverse=True)
    best = {candidate.option.cut: candidate for candidate in ranked}
    return [c for c in decision.candidates if c.option.codec == "raw" or c is best[c.option.cut]]


def _cells(candidate: Candidate, terms: Terms) -> tuple[str, ...]:
    costs = candidate.costs
    month = costs.monthly(terms.fps) if terms.fps else None
    return (
        f"{1e3 * costs.latency_s:.1f}",
        f"{1e3 * costs.p95_s:.1f}",
        f"{costs.throughput_fps:.1f}",
        format_size(costs.bytes),
        "" if costs.energy_j is None else format_energy(costs.energy_j),
        "" if costs.money is None else f"{costs.money:.3g}",
        "" if month is None else f"{month:,.2f}",
        f"{costs.slowdown:.2f}x" if terms.sustained else "",
        f"{100 * candidate.depth:.0f} %",
    )


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
    columns = (f"{name}\n{METRICS[name].unit.partition(' ')[0]}" for name in metrics)
    table = new_table(title, "cut", "codec", *columns, left=2, keys=2)
    for candidate in front:
        table.add_row(
            candidate.option.cut,
            candidate.option.codec if candidate.option.upload_bytes else "",
            *(f"{candidate.costs.metric(name):.4g}" for name in metrics),
        )
    return table
