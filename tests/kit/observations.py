"""Results to observe, and what is made of them."""

from dataclasses import replace
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from edge_client.frames.result import Result, ServedBy, Timings
from edge_client.telemetry.observer import Clocks
from tests.kit.clocks import FakeClock

CUT = "cut-02"


def clocks_of(time: FakeClock) -> Clocks:
    """Both clocks; the wall's runs 1000 s ahead."""
    return Clocks(time, lambda: time() + 1000)


def result(latency_s: float, served_by: ServedBy = ServedBy.CLOUD, **more: Any) -> Result:
    timings = Timings(latency_s, edge_s=latency_s / 2, network_s=latency_s / 2)
    made = Result(0, {}, served_by, "why", CUT, "raw", 100, 10, timings)
    return replace(made, **more)


def families(text: str) -> dict[str, dict[tuple[str, ...], float]]:
    """Samples by name, then by the labels' values without edge and bundle."""
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = [v for k, v in sorted(sample.labels.items()) if k not in ("edge", "bundle")]
            found.setdefault(sample.name, {})[tuple(labels)] = sample.value
    return found


def unread(_record: dict[str, Any]) -> None:
    """Nobody reads."""
