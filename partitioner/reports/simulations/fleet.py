"""A fleet in sentences, as tables and as a picture."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from rich import box
from rich.table import Table

from partitioner.common.units import format_duration, format_rate, format_size, plural
from partitioner.simulation.fleet.figures import Estimate, workers_a_month
from partitioner.simulation.fleet.fleet_run import FleetRun
from partitioner.simulation.fleet.fleet_simulation import FleetSimulation, considered_cells
from partitioner.simulation.fleet.provision import Considered, Fate, Provision
from partitioner.terminal.figure import figure_for
from partitioner.terminal.folding_table import FoldingTable, new_table

_MOST_CONSIDERED = 8
"""Options that a table shows."""


def fleet_text(done: FleetSimulation) -> str:
    """Return in sentences how the fleet was chosen, and how it fares."""
    chosen = f"{_choice_text(done, done.provision)}\n" if done.provision else ""
    return f"{chosen}{_running_text(done)}"


def worker_text(done: FleetSimulation) -> str:
    """Say what a worker is: what it does, on which machine, and what it costs."""
    worker = done.worker
    scaled = f", times {worker['scale']:.3g}" if worker["scale"] != 1 else ""
    computes_with = worker["accelerator"] or worker["cpu"]
    threads = plural(worker["threads"], "thread")
    taking = (
        "one frame at a time"
        if done.fleet.batch == 1
        else f"up to {plural(done.fleet.batch, 'frame')} at once"
    )
    hour, month = worker["price_hour"], worker["price_month"]
    price = (
        "" if hour is None else f" It costs {hour:g} an hour, {month:,.2f} a month, busy or not."
    )
    return (
        f"A worker takes {taking}, first come, first served, and decodes and computes with {threads} of "
        f"{computes_with}, as the cloud's profile was measured{scaled}.{price}"
    )


def considered_table(provision: Provision) -> FoldingTable:
    """Return the options that were considered, the cheapest first; those that are late or behind last."""
    order = [Fate.CHOSEN, Fate.EQUAL, Fate.DEARER, Fate.LATE, Fate.BEHIND]
    ranked = sorted(
        provision.considered, key=lambda one: (order.index(one.fate), one.cost_a_month or 0.0)
    )
    more = len(ranked) - _MOST_CONSIDERED
    title = "considered" + (f" ({more} more: --json)" if more > 0 else "")
    table = new_table(title, "option", "workers", "cost a month", "p99", "", left=1)
    for one in ranked[:_MOST_CONSIDERED]:
        table.add_row(*considered_cells(one))
    return table


def _choice_text(done: FleetSimulation, provision: Provision) -> str:
    """Say which option and how many workers keep the p99, what that costs, and what else would."""
    fleet, kept = provision.fleet, f"a p99 of {format_duration(provision.p99_s)}"
    if len(provision.considered) == 1:
        if not fleet.paid_workers:
            return f"{fleet.label} keeps {kept} without any worker."
        verb = "is" if fleet.paid_workers == 1 else "are"
        return f"{plural(fleet.paid_workers, 'worker')} {verb} the fewest that keep {kept}."
    on = f" on {plural(fleet.paid_workers, 'worker')}" if fleet.paid_workers else ""
    found = f"{fleet.label}{on} is the cheapest that keeps {kept}: {_bill_text(done)}."
    return " ".join(filter(None, (found, _fastest_text(done, provision), _equal_text(provision))))


def _bill_text(done: FleetSimulation) -> str:
    cost, prices = done.cost_a_month, done.bill.prices
    if cost is None or prices is None:
        return "nothing has a price"
    if not cost:
        return "nothing a month"
    workers = workers_a_month(done.fleet, prices)
    if not done.workers:
        return f"{cost:,.2f} a month, and no worker"
    return f"{cost:,.2f} a month ({workers:,.2f} for workers, {cost - workers:,.2f} for traffic)"


def _fastest_text(done: FleetSimulation, provision: Provision) -> str:
    """Compare with the option that is the fastest where nothing waits."""
    fastest = done.plan.best.label
    if fastest == provision.fleet.label:
        return "It is the fastest option too."
    one = next((one for one in provision.considered if one.fleet.label == fastest), None)
    if one is None:
        return ""
    if one.fate in (Fate.LATE, Fate.BEHIND):
        return f"The fastest by itself, {fastest}, does not keep it with any number of workers."
    return f"The fastest by itself, {fastest}, costs {_cost_text(one)}."


def _cost_text(one: Considered) -> str:
    least = "at least " if one.is_bound else ""
    more = " or more" if one.is_bound else ""
    cost = f"{one.cost_a_month:,.2f} a month" if one.cost_a_month is not None else "as much"
    on = plural(one.fleet.paid_workers, "worker") if one.fleet.paid_workers else "no worker"
    return f"{least}{cost} on {on}{more if one.fleet.paid_workers else ''}"


def _equal_text(provision: Provision) -> str:
    equal = [one for one in provision.considered if one.fate is Fate.EQUAL]
    if not equal:
        return ""
    names = ", ".join(
        f"{one.fleet.label} (p99 {format_duration(one.p99_s)})" for one in equal if one.p99_s
    )
    return f"As cheap, but slower: {names}."


def _running_text(done: FleetSimulation) -> str:
    fleet, summary = done.fleet, done.figures
    late, lost = summary.get("missed_share"), summary["lost"].mean
    limit = done.deadline_s
    on = plural(fleet.paid_workers, "worker")
    busy = f"workers are busy {100 * summary['cloud_share'].mean:.0f} % of the time, "
    slow = min(run.taken_share for run in done.runs)
    behind = "" if all(run.keeps_rate for run in done.runs) else (
        f" The devices do not keep up: they take {100 * slow:.0f} % of the frames that are due."
    )  # fmt: skip
    return (
        f"{plural(fleet.devices, 'device')} on {on if fleet.paid_workers else 'no worker'}: "
        f"{format_duration(summary['mean_s'].mean)} a frame on average, "
        f"{format_duration(summary['p99_s'].mean)} at p99"
        f"{f', {100 * late.mean:.1f} % later than {format_duration(limit)}' if late and limit else ''}; "
        f"{busy if fleet.paid_workers else ''}uplinks {100 * summary['uplink_share'].mean:.0f} %; "
        f"{plural(round(lost), 'frame') if lost else 'no frame'} {'are' if round(lost) > 1 else 'is'} lost."
        f"{behind}"
    )


def fleet_table(done: FleetSimulation) -> Table:
    """Return the figures, a row each."""
    fleet, summary = done.fleet, done.figures
    title = (
        f"{plural(fleet.devices, 'device')}, {1 / fleet.period_s:g} fps each, {fleet.label}; "
        f"{fleet.share} on each uplink ({fleet.trace.name}, mean "
        f"{format_rate(fleet.trace.uplink_bps.mean)}); batches of up to {fleet.batch}; "
        f"{len(done.runs)} x {fleet.duration_s:g} s"
    )
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    columns = ("", "mean", "± 95 %") if len(done.runs) > 1 else ("", "one run")
    for column in columns:
        table.add_column(column, justify="right" if column else "left", no_wrap=True)
    for name, (words, show) in _SHOWN.items():
        if found := summary.get(name):
            limit = f" {format_duration(done.deadline_s)}" if done.deadline_s else ""
            said = f"{words}{limit if name == 'missed_share' else ''}"
            table.add_row(*(said, show(found.mean), _half(found, show))[: len(columns)])
    return table


def _half(found: Estimate, show: Callable[[float], str]) -> str:
    return show(found.half_width) if found.half_width else ""


def run_rows(each: Sequence[dict[str, float]]) -> Iterator[tuple[object, ...]]:
    """Yield a row for each run: its number and its figures."""
    for number, figures in enumerate(each):
        yield (number, *figures.values())


def draw_fleet(runs: Sequence[FleetRun], deadline_s: float | None, path: Path) -> None:
    """Draw the latencies' distribution, a line a run."""
    fleet = runs[0].fleet
    share = np.concatenate([np.linspace(0, 0.98, 200), np.linspace(0.98, 1, 200)])
    with figure_for(path, 8, 5) as figure:
        axes = figure.subplots()
        for number, run in enumerate(runs):
            axes.plot(1e3 * np.quantile(run.latencies_s, share), share, linewidth=1.2,
                      label=f"run {number}")  # fmt: skip
        if deadline_s is not None:
            axes.axvline(1e3 * deadline_s, color="black", linestyle=":", label="deadline")
        axes.set_xscale("log")
        axes.set_xlabel("latency (ms)")
        axes.set_ylabel("share of frames that are faster")
        axes.set_title(f"{plural(fleet.devices, 'device')}, {plural(fleet.paid_workers, 'worker')}")
        axes.legend(fontsize=8)
        axes.grid(alpha=0.2)


def _ms(seconds: float) -> str:
    return f"{1e3 * seconds:.1f} ms"


def _percent(share: float) -> str:
    return f"{100 * share:.2f} %"


_SHOWN: dict[str, tuple[str, Callable[[float], str]]] = {
    "workers": ("workers", "{:.0f}".format),
    "mean_s": ("mean latency", _ms),
    "p50_s": ("p50", _ms),
    "p95_s": ("p95", _ms),
    "p99_s": ("p99", _ms),
    "missed_share": ("later than", _percent),
    "queue_s": ("waiting for a worker", _ms),
    "cloud_share": ("workers busy", _percent),
    "uplink_share": ("uplinks used", _percent),
    "fps": ("results a second", lambda value: f"{value:.1f}"),
    "upload_bytes_a_frame": ("upload a frame", format_size),
    "traffic_bytes_a_month": ("traffic a month", format_size),
    "energy_j_a_frame": ("energy a frame", lambda value: f"{value:.3f} J"),
    "cost_a_month": ("cost a month", lambda value: f"{value:,.2f}"),
}
