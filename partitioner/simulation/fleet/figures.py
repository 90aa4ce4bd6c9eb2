"""Figures of a fleet: latencies, loads, joules and a month's bill, with confidence intervals over runs."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean, stdev

from partitioner.devices.device import Device
from partitioner.devices.energy import compute_power_w, frame_energy
from partitioner.devices.radio import Radio
from partitioner.planning.terms import HOURS_A_MONTH, Prices
from partitioner.simulation.fleet.fleet import Fleet
from partitioner.simulation.fleet.fleet_run import FleetRun

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
        "workers": float(fleet.paid_workers),
        "mean_s": float(run.latencies_s.mean()),
        **{f"p{percent}_s": run.latency_s(percent) for percent in (50, 95, 99)},
        "fps": run.in_time / fleet.duration_s,
        "cloud_share": run.cloud_share,
        "uplink_share": run.uplink_share,
        "queue_s": run.queue_s,
        "upload_bytes_a_frame": run.upload_bytes / frames,
        "traffic_bytes_a_month": traffic_a_month(run),
        "lost": float(run.lost),
    }
    if deadline_s is not None:
        found["missed_share"] = run.missed(deadline_s)
    if bill.device and bill.radio:
        found["energy_j_a_frame"] = _energy_j(run, bill.device, bill.radio)
    if bill.prices:
        found["cost_a_month"] = cost_a_month(run, bill.prices)
    return found


def cost_a_month(run: FleetRun, prices: Prices) -> float:
    """Return a month's bill: workers by the hour, busy or not, and traffic both ways."""
    return workers_a_month(run.fleet, prices) + prices.gb * traffic_a_month(run) / 1e9


def traffic_cost_a_month(fleet: Fleet, prices: Prices) -> float:
    """Return the traffic's part of the bill of every run that keeps the frame rate."""
    return prices.gb * _a_month(fleet.due_traffic_bps / 8) / 1e9


def traffic_a_month(run: FleetRun) -> float:
    """Return a month's bytes, up and down: of all frames due if the run keeps the rate, else of its results.

    So no fleet that keeps the rate pays less because of what its duration happens to end with.
    """
    if run.keeps_rate:
        return _a_month(run.fleet.due_traffic_bps / 8)
    return _a_month(run.traffic_bytes / run.fleet.duration_s)


def workers_a_month(fleet: Fleet, prices: Prices) -> float:
    """Return what a month of the fleet's workers costs; nothing where nothing crosses."""
    return fleet.paid_workers * prices.worker_hour * HOURS_A_MONTH


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


def _a_month(a_second: float) -> float:
    return a_second * 3600 * HOURS_A_MONTH


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
