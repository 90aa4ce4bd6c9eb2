"""The sentence that a fleet begins with."""

from types import SimpleNamespace
from typing import cast

from partitioner.reports.simulations.fleet import Estimate, fleet_text
from partitioner.simulation.fleet.fleet import FleetRun


def runs(devices: int, workers: int) -> list[FleetRun]:
    return [
        cast(FleetRun, SimpleNamespace(fleet=SimpleNamespace(devices=devices, workers=workers)))
    ]


def summary(lost: float = 0.0, **more: float) -> dict[str, Estimate]:
    figures = {
        "mean_s": 0.06,
        "p99_s": 0.18,
        "cloud_share": 0.63,
        "uplink_share": 0.2,
        "lost": lost,
    }
    return {name: Estimate(value, None) for name, value in (figures | more).items()}


def test_fleet_is_described_by_its_latency_and_how_busy_it_is() -> None:
    assert fleet_text(runs(1, 1), summary(), None) == (
        "1 device on 1 worker: 60.0 ms a frame on average, 180 ms at p99; workers are busy 63 % of the time, "
        "uplinks 20 %; no frame is lost."
    )


def test_fewest_workers_come_first_and_late_and_lost_frames_are_counted() -> None:
    text = fleet_text(runs(100, 3), summary(2, missed_share=0.012), 0.2)
    assert text.startswith(
        "3 workers are the fewest that keep a p99 of 200 ms. 100 devices on 3 workers:"
    )
    assert "1.2 % later than the deadline" in text
    assert text.endswith("2 frames are lost.")
