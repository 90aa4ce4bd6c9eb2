"""Joules and money that frames over a trace cost, by the planner's formulas."""

from collections.abc import Callable
from typing import NamedTuple

from partitioner.devices.energy import frame_energy
from partitioner.planning.metrics import frame_money
from partitioner.planning.terms import Terms
from partitioner.simulation.pipeline import Passage
from partitioner.simulation.replay import Run


class Spent(NamedTuple):
    """Means a frame; None where the terms do not say enough."""

    energy_j: float | None
    money: float | None


def mean_spent(run: Run, terms: Terms) -> Spent:
    """Return what a frame of one run took on average; a radio's tail ends with the next frame's beat."""
    fps = 1 / run.period_s if run.period_s else None

    def mean(of: Callable[[Passage], float | None]) -> float | None:
        found = [value for passage in run.passages if (value := of(passage)) is not None]
        return sum(found) / len(found) if found else None

    return Spent(
        mean(lambda passage: _energy_j(passage, terms, fps)),
        mean(lambda passage: _money(passage, terms)),
    )


def _energy_j(passage: Passage, terms: Terms, fps: float | None) -> float | None:
    if terms.device is None or terms.radio is None:
        return None
    demand = passage.demand
    return frame_energy(
        terms.device,
        terms.radio,
        edge_s=demand.edge_s + passage.device_s,
        network_s=passage.network_s,
        cloud_s=passage.queue_s + passage.cloud_s,
        upload_bytes=demand.upload_bytes,
        download_bytes=0.0 if passage.timed_out else demand.download_bytes,
        fps=fps,
    ).total_j


def _money(passage: Passage, terms: Terms) -> float | None:
    if terms.prices is None:
        return None
    demand = passage.demand
    traffic = demand.upload_bytes + (0.0 if passage.timed_out else demand.download_bytes)
    return frame_money(passage.cloud_s, traffic, terms.prices)
