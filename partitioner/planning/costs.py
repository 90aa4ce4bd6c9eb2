"""What a frame of one option costs: seconds, joules, bytes and money.

Pure functions over an option, its plan and the terms on which it is priced; docs/planning.md has the
formulas in one place.
"""

import math
from dataclasses import dataclass

from partitioner.planning.energy import frame_energy
from partitioner.planning.option import Option
from partitioner.planning.plan import Plan
from partitioner.planning.terms import HOURS_A_MONTH, Prices, Terms
from partitioner.planning.thermal import sustain
from partitioner.profiles.variation import quantile_of_sum, variation_of
from protos.errors import UsageError

METRICS = {
    "latency": "s",
    "p95": "s",
    "throughput": "s/frame of the slowest stage",
    "energy": "J/frame",
    "bytes": "B/frame",
    "cost": "money/frame",
}
"""What can be minimised, and the unit in which a weight multiplies it."""
_NEEDED = {"energy": "--device NAME", "cost": "--price-worker-hour or --price-gb"}


def unknown_metric(name: str) -> UsageError:
    """Return the error of a metric that the terms say too little for."""
    needed = _NEEDED[name]
    return UsageError(f"{name} is not known without {needed}. Give it, or leave {name} out.")


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
        value = {
            "latency": self.latency_s,
            "p95": self.p95_s,
            "throughput": self.bottleneck_s,
            "energy": self.energy_j,
            "bytes": self.bytes,
            "cost": self.money,
        }[name]
        if value is None:
            raise unknown_metric(name)
        return value


def price(option: Option, plan: Plan, terms: Terms) -> Costs:
    """Return what a frame of `option` costs on the plan's link and on these terms.

    p95: the link is taken to be without jitter and loss; device and cloud vary as profiled
    (partitioner/profiles/variation.py), independently, as they are two machines. Simulations draw from
    the same.

    Throughput: no pipeline is faster than its slowest stage (P. Denning and J. Buzen, "The
    operational analysis of queueing network models", ACM Computing Surveys 10(3), 1978: the
    bottleneck law): the edge, the uplink, the downlink, and the cloud shared by the workers. The
    round trip is no stage, as further frames are under way meanwhile.

    Where exits answer some frames all is the mean over frames, but p95 is that of a frame that crosses.
    """
    network_s, cloud_s = option.network_s, option.cloud_s
    option = option.expected
    slowdown, edge_s = _edge(option, terms)
    link = plan.link
    stages = (
        edge_s,
        8 * option.upload_bytes / link.uplink_bps,
        8 * option.download_bytes / link.downlink_bps,
        option.cloud_s / terms.workers,
    )
    latency_s = edge_s + option.network_s + option.cloud_s
    head, tail = plan.edge.cuts[option.cut].head, plan.cloud.cuts[option.cut].tail
    here = edge_s, variation_of(plan.edge, head)
    there = cloud_s, variation_of(plan.cloud, tail)
    return Costs(
        edge_s=edge_s,
        latency_s=latency_s,
        p95_s=network_s + quantile_of_sum(here, there, 0.95),
        bottleneck_s=max(stages),
        bytes=option.upload_bytes + option.download_bytes,
        energy_j=_energy_j(option, terms, edge_s, slowdown),
        money=frame_money(
            option.cloud_s, option.upload_bytes + option.download_bytes, terms.prices
        ),
        slowdown=slowdown,
    )


def _edge(option: Option, terms: Terms) -> tuple[float, float]:
    """Return the slowdown by heat, and the edge's seconds with it."""
    if not terms.sustained or terms.device is None or terms.fps is None:
        return 1.0, option.edge_s
    slowdown = sustain(terms.device, option.edge_s, terms.fps).slowdown
    return slowdown, option.edge_s * slowdown


def _energy_j(option: Option, terms: Terms, edge_s: float, slowdown: float) -> float | None:
    if terms.device is None or terms.radio is None:
        return None
    return frame_energy(
        terms.device,
        terms.radio,
        edge_s=edge_s,
        network_s=option.network_s,
        cloud_s=option.cloud_s,
        upload_bytes=option.upload_bytes,
        download_bytes=option.download_bytes,
        fps=terms.fps,
        speed=1 / slowdown,
    ).total_j


def frame_money(cloud_s: float, traffic_bytes: float, prices: Prices | None) -> float | None:
    """Return what a frame is billed for a worker's seconds and its traffic; None without prices."""
    if prices is None:
        return None
    return prices.worker_hour * cloud_s / 3600 + prices.gb * traffic_bytes / 1e9
