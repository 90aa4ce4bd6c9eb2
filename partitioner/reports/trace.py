"""What runs over a trace come to: a table, JSON, and one CSV row a frame."""

from collections.abc import Iterator, Sequence
from typing import Any

from partitioner.common.units import format_energy, format_rate, format_size
from partitioner.planning.objective import LATENCY
from partitioner.policy.settings import PolicySettings
from partitioner.simulation.adaptive import ADAPTIVE
from partitioner.simulation.pipeline import Setup
from partitioner.simulation.replay import CLAIRVOYANT, Run
from partitioner.simulation.spending import mean_spent
from partitioner.terminal.folding_table import FoldingTable, new_table
from protos.names import CLOUD, EDGE

_BEST_FIXED = 6
"""Fixed options that a table shows beside the ends."""

FRAME_COLUMNS = (
    "policy", "frame", "arrived_s", "option", "served_by", "latency_s", "edge_wait_s", "edge_s",
    "network_s", "queue_s", "cloud_s", "upload_bytes", "uplink_bps", "timed_out", "exits_from",
)  # fmt: skip


def worth_showing(runs: Sequence[Run]) -> list[Run]:
    """Return the runs of the policies that choose, of the best fixed options, and of the two ends."""
    ranked = sorted(runs, key=lambda run: run.mean_s)
    fixed = [run for run in ranked if run.policy not in (ADAPTIVE, CLAIRVOYANT)]
    ends = [
        next((run for run in fixed if run.policy.split("/")[0] == end), None)
        for end in (CLOUD, EDGE)
    ]
    hidden = [run for run in fixed[_BEST_FIXED:] if run not in ends]
    return [run for run in runs if run not in hidden]


def runs_table(runs: Sequence[Run], setup: Setup, settings: PolicySettings) -> FoldingTable:
    """Return one row a policy, the best mean first, with joules and money where the terms know them."""
    trace, deadline_s, terms = setup.trace, settings.deadline_s, settings.terms
    beat = f"every {1e3 * setup.period_s:.4g} ms" if setup.period_s else "as fast as they are taken"
    title = (
        f"{len(runs[0].passages)} frames {beat} over {trace.name} "
        f"(mean {format_rate(trace.uplink_bps.mean)}), window {setup.window}; times in ms"
    )
    late = () if deadline_s is None else ("late",)
    lost = ("lost",) if any(run.timed_out for run in runs) else ()
    if settings.objective != LATENCY:
        title += f"; {ADAPTIVE} minimises {settings.objective}"
    spent = [
        *(["energy"] if terms.knows_energy else []),
        *(["cost"] if terms.prices is not None else []),
    ]
    exits = ("exit", "agree") if any(run.exit_share for run in runs) else ()
    found = (*late, "fps", "upload", *exits, *spent, *lost)
    columns = ("policy", "mean", "p50", "p95", "p99", *found)
    table = new_table(title, *columns, left=1)
    for run in sorted(runs, key=lambda run: run.mean_s):
        missed = () if deadline_s is None else (f"{100 * run.missed(deadline_s):.1f} %",)
        table.add_row(
            run.policy,
            f"{1e3 * run.mean_s:.1f}",
            *(f"{1e3 * run.latency_s(percent):.1f}" for percent in (50, 95, 99)),
            *missed,
            f"{run.fps:.1f}",
            format_size(run.upload_bytes),
            *(_exit_cells(run) if exits else ()),
            *_spent_cells(run, settings),
            *([str(run.timed_out)] if lost else []),
            style="bold" if run.policy in (ADAPTIVE, CLAIRVOYANT) else None,
        )
    return table


def _spent_cells(run: Run, settings: PolicySettings) -> list[str]:
    energy_j, money = mean_spent(run, settings.terms)
    cells = [] if energy_j is None else [format_energy(energy_j)]
    return cells if money is None else [*cells, f"{money:.3g}"]


def choices_text(runs: Sequence[Run]) -> str:
    """Say which options the policies that choose took, a line each."""
    return "\n".join(
        f"{run.policy}: {_mix(run)}" for run in runs if run.policy in (ADAPTIVE, CLAIRVOYANT)
    )


def runs_json(runs: Sequence[Run], setup: Setup, settings: PolicySettings) -> dict[str, Any]:
    """Return all that the table says."""
    trace = setup.trace
    return {
        "trace": {
            "name": trace.name,
            "duration_s": trace.duration_s,
            "mean_uplink_bps": trace.uplink_bps.mean,
            "at_end": trace.uplink_bps.at_end,
        },
        "frames": len(runs[0].passages),
        "period_s": setup.period_s,
        "window": setup.window,
        "workers": setup.workers,
        "timeout_s": setup.timeout_s,
        "seed": setup.seed,
        "deadline_s": settings.deadline_s,
        "objective": settings.objective.weights,
        "policies": [_run_json(run, settings) for run in runs],
    }


def frame_rows(runs: Sequence[Run], setup: Setup) -> Iterator[tuple[object, ...]]:
    """Yield a row of FRAME_COLUMNS for each frame of each run."""
    for run in runs:
        for index, passage in enumerate(run.passages):
            edge_s = passage.demand.edge_s
            yield (
                run.policy,
                index,
                passage.arrived_at,
                passage.demand.label,
                passage.served_by,
                passage.latency_s,
                passage.begun_at - passage.arrived_at,
                edge_s,
                passage.network_s,
                passage.queue_s,
                passage.cloud_s,
                passage.demand.upload_bytes,
                setup.trace.uplink_bps_at(passage.begun_at),
                int(passage.timed_out),
                passage.demand.exits_from,
            )


def _run_json(run: Run, settings: PolicySettings) -> dict[str, Any]:
    deadline_s = settings.deadline_s
    energy_j, money = mean_spent(run, settings.terms)
    return {
        "policy": run.policy,
        "mean_s": run.mean_s,
        **{f"p{percent}_s": run.latency_s(percent) for percent in (50, 95, 99)},
        "missed_share": None if deadline_s is None else run.missed(deadline_s),
        "fps": run.fps,
        "upload_bytes": run.upload_bytes,
        "energy_j": energy_j,
        "cost": money,
        "timed_out": run.timed_out,
        "switches": run.switches,
        "exit_share": run.exit_share,
        "agreement": run.agreement,
        "threshold_moves": run.threshold_moves,
        "options": run.shares,
    }


def _mix(run: Run) -> str:
    largest = [f"{label} {100 * share:.0f} %" for label, share in list(run.shares.items())[:5]]
    more = f" and {len(run.shares) - 5} more" if len(run.shares) > 5 else ""
    moves = f", the threshold {run.threshold_moves} times" if run.threshold_moves else ""
    return f"{', '.join(largest)}{more}; moved {run.switches} times{moves}"


def _exit_cells(run: Run) -> tuple[str, str]:
    agree = "" if run.agreement is None else f"{100 * run.agreement:.1f} %"
    return f"{100 * run.exit_share:.1f} %", agree
