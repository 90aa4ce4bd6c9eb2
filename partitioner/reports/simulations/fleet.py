"""What the runs of a fleet come to: means with confidence intervals, as a table, JSON, CSV and a picture."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np
from rich import box
from rich.table import Table

from partitioner.common.units import format_duration, format_rate, format_size, plural
from partitioner.devices.device import Device
from partitioner.devices.energy import compute_power_w, frame_energy
from partitioner.devices.radio import Radio
from partitioner.planning.terms import HOURS_A_MONTH, Prices
from partitioner.simulation.fleet.fleet import FleetRun
from partitioner.terminal.figure import figure_for

# Student's t at 97.5 % for 1, 2, … degrees of freedom; beyond them the normal's is near enough.
_T = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160,
      2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086)  # fmt: skip
_NORMAL = 1.96


@dataclass(frozen=True)
class Bill:
    """By what energy and money are counted; None: not at all."""

    device: Device | None = None
    radio: Radio | None = None
    prices: Prices | None = None


@dataclass(frozen=True)
class Estimate:
    """A mean over runs, and the half width of its 95 % confidence interval (None: one run)."""

    mean: float
    half_width: float | None


def measures(run: FleetRun, deadline_s: float | None, bill: Bill) -> dict[str, float]:
    """Return one run's figures, in SI units, by name."""
    fleet, frames = run.fleet, len(run.latencies_s)
    found = {
        "mean_s": float(run.latencies_s.mean()),
        **{f"p{percent}_s": run.latency_s(percent) for percent in (50, 95, 99)},
        "fps": run.in_time / fleet.duration_s,
        "cloud_share": run.cloud_share,
        "uplink_share": run.uplink_share,
        "queue_s": run.queue_s,
        "upload_bytes_a_frame": run.upload_bytes / frames,
        "traffic_bytes_a_month": _a_month(run, run.traffic_bytes),
        "lost": float(run.lost),
    }
    if deadline_s is not None:
        found["missed_share"] = run.missed(deadline_s)
    if bill.device and bill.radio:
        found["energy_j_a_frame"] = _energy_j(run, bill.device, bill.radio)
    if bill.prices:
        workers = fleet.workers * bill.prices.worker_hour * HOURS_A_MONTH
        found["cost_a_month"] = workers + bill.prices.gb * found["traffic_bytes_a_month"] / 1e9
    return found


def summarise(runs: Sequence[dict[str, float]]) -> dict[str, Estimate]:
    """Return mean and 95 % confidence interval (Student's t) of each figure over independent runs."""
    summary = {}
    for name in runs[0]:
        values = [run[name] for run in runs]
        half_width = None
        if len(values) > 1:
            free = len(values) - 1
            quantile = _T[free - 1] if free <= len(_T) else _NORMAL
            half_width = quantile * stdev(values) / math.sqrt(len(values))
        summary[name] = Estimate(mean(values), half_width)
    return summary


def fleet_text(
    runs: Sequence[FleetRun], summary: dict[str, Estimate], asked_p99_s: float | None
) -> str:
    """Return in a sentence how the fleet fares; `asked_p99_s`: its workers are the fewest that keep that."""
    fleet = runs[0].fleet
    late = summary.get("missed_share")
    fewest = (
        f"{plural(fleet.workers, 'worker')} {'is' if fleet.workers == 1 else 'are'} the fewest that keep a "
        f"p99 of {format_duration(asked_p99_s)}. "
        if asked_p99_s is not None
        else ""
    )
    lost = summary["lost"].mean
    return (
        f"{fewest}{plural(fleet.devices, 'device')} on {plural(fleet.workers, 'worker')}: "
        f"{format_duration(summary['mean_s'].mean)} a frame on average, "
        f"{format_duration(summary['p99_s'].mean)} at p99"
        f"{f', {100 * late.mean:.1f} % later than the deadline' if late else ''}; workers are busy "
        f"{100 * summary['cloud_share'].mean:.0f} % of the time, uplinks "
        f"{100 * summary['uplink_share'].mean:.0f} %; "
        f"{plural(round(lost), 'frame') if lost else 'no frame'} {'are' if round(lost) > 1 else 'is'} lost."
    )


def fleet_table(runs: Sequence[FleetRun], summary: dict[str, Estimate]) -> Table:
    """Return the figures, a row each."""
    fleet = runs[0].fleet
    options = ", ".join(demand.label for demand in fleet.demands)
    title = (
        f"{plural(fleet.devices, 'device')}, {1 / fleet.period_s:g} fps each, {options}; "
        f"{fleet.share} on each uplink ({fleet.trace.name}, mean "
        f"{format_rate(fleet.trace.uplink_bps.mean)}); "
        f"{plural(fleet.workers, 'worker')}, batches of up to {fleet.batch}; {len(runs)} x "
        f"{fleet.duration_s:g} s"
    )
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    columns = ("", "mean", "± 95 %") if len(runs) > 1 else ("", "one run")
    for column in columns:
        table.add_column(column, justify="right" if column else "left", no_wrap=True)
    for name, (words, show) in _SHOWN.items():
        if found := summary.get(name):
            half = "" if found.half_width is None else show(found.half_width)
            table.add_row(*(words, show(found.mean), half)[: len(columns)])
    return table


def fleet_json(
    runs: Sequence[FleetRun], each: Sequence[dict[str, float]], seed: int
) -> dict[str, Any]:
    """Return the fleet, the figures with their intervals, and those of every run."""
    fleet = runs[0].fleet
    return {
        "fleet": {
            "devices": fleet.devices,
            "options": [demand.label for demand in fleet.demands],
            "fps": 1 / fleet.period_s,
            "share": fleet.share,
            "window": fleet.window,
            "workers": fleet.workers,
            "batch": fleet.batch,
            "batch_cost": fleet.batch_cost,
            "duration_s": fleet.duration_s,
            "trace": fleet.trace.name,
            "mean_uplink_bps": fleet.trace.uplink_bps.mean,
        },
        "seed": seed,
        "frames": sum(len(run.latencies_s) for run in runs),
        "figures": {
            name: {"mean": found.mean, "ci95": found.half_width}
            for name, found in summarise(each).items()
        },
        "runs": list(each),
    }


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
        axes.set_title(f"{plural(fleet.devices, 'device')}, {plural(fleet.workers, 'worker')}")
        axes.legend(fontsize=8)
        axes.grid(alpha=0.2)


def _a_month(run: FleetRun, amount: float) -> float:
    return amount / run.fleet.duration_s * 3600 * HOURS_A_MONTH


def _energy_j(run: FleetRun, device: Device, radio: Radio) -> float:
    """Return the devices' energy of a mean frame: what all compute, and what those add that cross."""
    computing_j = run.edge_s * compute_power_w(device)
    if not run.crossed:
        return computing_j
    crossing = frame_energy(
        device,
        radio,
        edge_s=0.0,
        network_s=run.network_s,
        cloud_s=run.queue_s + run.cloud_s,
        upload_bytes=run.upload_bytes / run.crossed,
        download_bytes=run.download_bytes / run.crossed,
        fps=1 / run.fleet.period_s,
    )
    return computing_j + crossing.total_j * run.crossed / len(run.latencies_s)


def _ms(seconds: float) -> str:
    return f"{1e3 * seconds:.1f} ms"


def _percent(share: float) -> str:
    return f"{100 * share:.2f} %"


_SHOWN = {
    "mean_s": ("mean latency", _ms),
    "p50_s": ("p50", _ms),
    "p95_s": ("p95", _ms),
    "p99_s": ("p99", _ms),
    "missed_share": ("later than the deadline", _percent),
    "queue_s": ("waiting for a worker", _ms),
    "cloud_share": ("workers busy", _percent),
    "uplink_share": ("uplinks used", _percent),
    "fps": ("results a second", lambda value: f"{value:.1f}"),
    "upload_bytes_a_frame": ("upload a frame", format_size),
    "traffic_bytes_a_month": ("traffic a month", format_size),
    "energy_j_a_frame": ("energy a frame", lambda value: f"{value:.3f} J"),
    "cost_a_month": ("cost a month", lambda value: f"{value:,.2f}"),
}
