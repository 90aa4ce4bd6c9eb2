"""What runs over a trace come to, as a table."""

from collections.abc import Sequence

from partitioner.common.units import format_energy, format_rate, format_size
from partitioner.planning.objective import LATENCY
from partitioner.policy.settings import PolicySettings
from partitioner.simulation.adaptive import ADAPTIVE
from partitioner.simulation.replay import CLAIRVOYANT, Run
from partitioner.simulation.simulation import Simulation
from partitioner.simulation.spending import mean_spent
from partitioner.terminal.folding_table import FoldingTable, new_table


def runs_table(done: Simulation, runs: Sequence[Run]) -> FoldingTable:
    """Return one row a run, the best mean first, with joules and money where the terms know them."""
    setup, settings = done.setup, done.settings
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


def _mix(run: Run) -> str:
    largest = [f"{label} {100 * share:.0f} %" for label, share in list(run.shares.items())[:5]]
    more = f" and {len(run.shares) - 5} more" if len(run.shares) > 5 else ""
    moves = f", the threshold {run.threshold_moves} times" if run.threshold_moves else ""
    return f"{', '.join(largest)}{more}; moved {run.switches} times{moves}"


def _exit_cells(run: Run) -> tuple[str, str]:
    agree = "" if run.agreement is None else f"{100 * run.agreement:.1f} %"
    return f"{100 * run.exit_share:.1f} %", agree
