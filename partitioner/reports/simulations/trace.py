"""What runs over a trace come to, as a table."""

from collections.abc import Iterator, Sequence

from partitioner.common.units import (
    DURATIONS,
    ENERGIES,
    SIZES,
    ColumnUnit,
    compare,
    format_duration,
    format_energy,
    format_rate,
    plural,
)
from partitioner.planning.objective import LATENCY
from partitioner.policy.settings import PolicySettings
from partitioner.simulation.adaptive import ADAPTIVE
from partitioner.simulation.replay import CLAIRVOYANT, Run
from partitioner.simulation.simulation import Simulation
from partitioner.simulation.spending import mean_spent
from partitioner.terminal.folding_table import FoldingTable, new_table


def runs_text(runs: Sequence[Run], settings: PolicySettings) -> str:
    """Return in a sentence what adapting came to, beside the fastest fixed option and the clairvoyant."""
    adaptive = next(run for run in runs if run.policy == ADAPTIVE)
    fixed = min(
        (run for run in runs if run.policy not in (ADAPTIVE, CLAIRVOYANT)),
        key=lambda run: run.mean_s,
    )
    seer = next((run for run in runs if run.policy == CLAIRVOYANT), None)
    known = (
        ""
        if seer is None
        else (f", and {compare(adaptive.mean_s, seer.mean_s)} one that knows the future")
    )
    return (
        f"The adaptive policy takes {format_duration(adaptive.mean_s)} a frame on average, "
        f"{compare(adaptive.mean_s, fixed.mean_s)} the fastest fixed option ({fixed.policy}, "
        f"{format_duration(fixed.mean_s)}){known}{_late_text(adaptive, fixed, settings)}."
    )


def _late_text(adaptive: Run, fixed: Run, settings: PolicySettings) -> str:
    """Say which share of the frames misses the deadline, and what frames cost, where that was asked for."""
    texts = []
    if (deadline_s := settings.deadline_s) is not None:
        late, other = (100 * run.missed(deadline_s) for run in (adaptive, fixed))
        texts.append(
            f"{late:.1f} % of its frames are later than the deadline ({fixed.policy}: {other:.1f} %)"
        )
    here, there = (mean_spent(run, settings.terms) for run in (adaptive, fixed))
    if here.energy_j is not None and there.energy_j is not None:
        texts.append(
            f"{format_energy(here.energy_j)} a frame ({fixed.policy}: {format_energy(there.energy_j)})"
        )
    return "".join(f"; {text}" for text in texts)


def runs_table(done: Simulation, runs: Sequence[Run]) -> FoldingTable:
    """Return one row a run, the best mean first, with joules and money where the terms know them."""
    setup, settings = done.setup, done.settings
    trace, ranked = setup.trace, sorted(runs, key=lambda run: run.mean_s)
    beat = f"every {format_duration(setup.period_s)}" if setup.period_s else "as fast as taken"
    title = (
        f"{plural(len(runs[0].passages), 'frame')} {beat} over {trace.name} "
        f"(mean {format_rate(trace.uplink_bps.mean)}), window {setup.window}"
    )
    if settings.objective != LATENCY:
        title += f"; {ADAPTIVE} minimises {settings.objective}"
    columns = [column for column in _columns(ranked, settings) if any(column[1])]
    table = new_table(title, "policy", *(header for header, _ in columns), left=1)
    for at, run in enumerate(ranked):
        table.add_row(
            run.policy,
            *(cells[at] for _, cells in columns),
            style="bold" if run.policy in (ADAPTIVE, CLAIRVOYANT) else None,
        )
    return table


def _columns(runs: Sequence[Run], settings: PolicySettings) -> Iterator[tuple[str, Sequence[str]]]:
    """Yield each column's header and cells, empty ones where there is nothing to say."""
    spent = [mean_spent(run, settings.terms) for run in runs]
    times = ColumnUnit.of((run.mean_s for run in runs), DURATIONS)
    size = ColumnUnit.of((run.upload_bytes for run in runs), SIZES)
    energy = ColumnUnit.of((one.energy_j or 0.0 for one in spent), ENERGIES)
    late_s = settings.deadline_s
    yield times.header("mean"), [times.write(run.mean_s) for run in runs]
    for percent in (50, 95, 99):
        yield times.header(f"p{percent}"), [times.write(run.latency_s(percent)) for run in runs]
    yield "late\n%", ["" if late_s is None else f"{100 * run.missed(late_s):.1f}" for run in runs]
    yield "frames\n/s", [f"{run.fps:.1f}" for run in runs]
    yield size.header("upload"), [size.write(run.upload_bytes) for run in runs]
    if any(run.exit_share for run in runs):
        yield "exit\n%", [f"{100 * run.exit_share:.1f}" for run in runs]
        agreeing = [run.agreement for run in runs]
        yield "agree\n%", ["" if share is None else f"{100 * share:.1f}" for share in agreeing]
    joules = [one.energy_j for one in spent]
    yield energy.header("energy"), ["" if one is None else energy.write(one) for one in joules]
    yield "cost", ["" if one.money is None else f"{one.money:.3g}" for one in spent]
    if any(run.timed_out for run in runs):
        yield "lost", [str(run.timed_out) for run in runs]
    if any(run.hedged for run in runs):
        yield "hedged", [str(run.hedged) for run in runs]
        yield "won\nhere", [str(run.hedges_won) for run in runs]


def choices_text(runs: Sequence[Run]) -> str:
    """Say which options the policies that choose took, a line each."""
    return "\n".join(
        f"{run.policy}: {_mix(run)}" for run in runs if run.policy in (ADAPTIVE, CLAIRVOYANT)
    )


def _mix(run: Run) -> str:
    largest = [f"{label} {100 * share:.0f} %" for label, share in list(run.shares.items())[:5]]
    more = f" and {len(run.shares) - 5} more" if len(run.shares) > 5 else ""
    moves = f", the threshold {plural(run.threshold_moves, 'time')}" if run.threshold_moves else ""
    return f"{', '.join(largest)}{more}; moved {plural(run.switches, 'time')}{moves}"
