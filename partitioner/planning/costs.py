"""Costs of a frame of one option, on the plan's link and on given terms."""

import math
from dataclasses import dataclass

from partitioner.devices.thermal import sustain
from partitioner.planning.metrics import METRICS, FrameTimes, Meter, unknown_metric
from partitioner.planning.option import Option
from partitioner.planning.plan import Plan
from partitioner.planning.terms import HOURS_A_MONTH, Terms


@dataclass(frozen=True)
class Costs:
    """What one frame of one option costs; None where the terms do not say enough."""

    edge_s: float
    """As slow as a warm device makes it, if the terms are of sustained load."""
    latency_s: float
    p95_s: float
    bottleneck_s: float
    """Seconds a frame that the slowest stage takes."""
    bytes: float
    """Up and down."""
    energy_j: float | None = None
    money: float | None = None
    slowdown: float = 1.0
    """Edge times are this many times those of a cool device."""

    @property
    def throughput_fps(self) -> float:
        """Frames a second when the stream never pauses; infinite if no stage takes time."""
        return 1 / self.bottleneck_s if self.bottleneck_s else math.inf

    def monthly(self, fps: float) -> float | None:
        """Return the cost of a month of `fps` frames a second, day and night."""
        return None if self.money is None else self.money * fps * 3600 * HOURS_A_MONTH

    def metric(self, name: str) -> float:
        """Return one of METRICS in its unit; UsageError says what to add if the terms lack it."""
        value: float | None = getattr(self, METRICS[name].field)
        if value is None:
            raise unknown_metric(name)
        return value


def price(option: Option, plan: Plan, terms: Terms) -> Costs:
    """Return what a frame of `option` costs: the mean over frames, where exits answer some of them."""
    times, meter = _profiled(option, plan, terms), Meter(plan, terms, terms.fps)
    return Costs(
        edge_s=times.edge_s,
        latency_s=meter.latency_s(times),
        p95_s=meter.p95_s(times),
        bottleneck_s=meter.bottleneck_s(times),
        bytes=meter.bytes(times),
        energy_j=meter.energy_j(times),
        money=meter.money(times),
        slowdown=times.slowdown,
    )


def _profiled(option: Option, plan: Plan, terms: Terms) -> FrameTimes:
    edge_s = option.edge_s + option.exit_s
    slowdown = _slowdown(edge_s, terms)
    edge_s *= slowdown
    total_s = edge_s + (1 - option.exit_rate) * (option.network_s + option.cloud_s)
    return FrameTimes(
        option,
        total_s,
        total_s,
        edge_s,
        8 * option.upload_bytes / plan.link.uplink_bps,
        8 * option.download_bytes / plan.link.downlink_bps,
        option.network_s,
        cloud_s=option.cloud_s,
        slowdown=slowdown,
    )


def _slowdown(edge_s: float, terms: Terms) -> float:
    """Return by how much heat slows the edge down."""
    if not terms.sustained or terms.device is None or terms.fps is None:
        return 1.0
    return sustain(terms.device, edge_s, terms.fps).slowdown
