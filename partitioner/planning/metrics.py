"""The six metrics of a frame: latency, p95, slowest stage, joules, bytes and money.

Each is written once, over the `FrameTimes` of a frame. The plan fills them with what was profiled
(`price` in costs.py), the policy with what is expected now (`expect` in policy/expected_latency.py).
docs/planning.md has the formulas in one place.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from partitioner.devices.energy import frame_energy
from partitioner.planning.option import Option
from partitioner.planning.plan import Plan
from partitioner.planning.terms import Prices, Terms
from partitioner.profiles.variation import Variation, quantile_of_sum, variation_of
from protos.errors import UsageError


class FrameTimes(NamedTuple):
    """The seconds of a frame of one option: in total, and in every stage if it crosses.

    Where an exit answers some frames (`option.exit_rate`), `mean_s` is the mean over all frames.
    """

    option: Option
    mean_s: float
    """From start to result, with waiting for other frames."""
    risked_s: float
    """`mean_s` with a margin for what is not known of the link."""
    edge_s: float
    """Head, encoding and exit."""
    upload_s: float = 0.0
    download_s: float = 0.0
    network_s: float = 0.0
    """Upload, download and round trip."""
    queue_s: float = 0.0
    """Waiting for a worker of the cloud."""
    cloud_s: float = 0.0
    """Decoding and tail."""
    slowdown: float = 1.0
    """`edge_s` is this many times that of a cool device."""
    by_case_s: tuple[float, ...] = ()
    """`mean_s` for each way that the link may be, where it is not known; see `LinkEstimate.cases`."""
    tried_s: float = 0.0
    """Of a single frame that tries this option and is hedged when its answer is late."""


@dataclass(frozen=True, slots=True)
class Meter:
    """Measures frames by metrics: with the spread of a plan's profiles, on these terms, at this rate."""

    plan: Plan
    terms: Terms
    fps: float | None
    """Frames a second; None: one frame by itself."""

    def latency_s(self, times: FrameTimes) -> float:
        """Return the mean seconds from a frame to its result, with the margin."""
        return times.risked_s

    def p95_s(self, times: FrameTimes) -> float:
        """Return the 95th percentile of the frames that cross, where an exit answers the others.

        Device and cloud vary as profiled (profiles/variation.py), independently, as they are two
        machines; the link does not vary. Simulations draw from the same.
        """
        here, there = variations(self.plan, times.option)
        computing_s = times.edge_s + times.cloud_s
        late_s = quantile_of_sum((times.edge_s, here), (times.cloud_s, there), 0.95) - computing_s
        crossing_s = times.network_s + times.queue_s + times.cloud_s
        return times.risked_s + times.option.exit_rate * crossing_s + late_s

    def bottleneck_s(self, times: FrameTimes) -> float:
        """Return the seconds a frame of the slowest stage, which bounds the throughput.

        The stages are the edge, the uplink, the downlink, and the cloud shared by the workers. The
        round trip is no stage, as further frames are under way meanwhile. (P. Denning and J. Buzen,
        "The operational analysis of queueing network models", ACM Computing Surveys 10(3), 1978:
        the bottleneck law.)
        """
        beyond_s = max(times.upload_s, times.download_s, times.cloud_s / self.terms.workers)
        return max(times.edge_s, _crossing(times) * beyond_s)

    def energy_j(self, times: FrameTimes) -> float | None:
        """Return the device's joules a frame; None without a device and its radio."""
        device, radio = self.terms.device, self.terms.radio
        if device is None or radio is None:
            return None
        share, option = _crossing(times), times.option
        return frame_energy(
            device,
            radio,
            edge_s=times.edge_s,
            network_s=share * times.network_s + times.risked_s - times.mean_s,
            cloud_s=share * (times.queue_s + times.cloud_s),
            upload_bytes=share * option.upload_bytes,
            download_bytes=share * option.download_bytes,
            fps=self.fps,
            speed=1 / times.slowdown,
        ).total_j

    def bytes(self, times: FrameTimes) -> float:
        """Return the bytes a frame, up and down."""
        return _crossing(times) * (times.option.upload_bytes + times.option.download_bytes)

    def money(self, times: FrameTimes) -> float | None:
        """Return what a frame is billed; None without prices."""
        if self.terms.prices is None:
            return None
        return frame_money(_crossing(times) * times.cloud_s, self.bytes(times), self.terms.prices)


class Metric(NamedTuple):
    """One metric: its unit, in which a weight multiplies it, and where it is."""

    unit: str
    of: Callable[[Meter, FrameTimes], float | None]
    field: str
    """Of `Costs`."""
    needs: str = ""
    """What the terms must say; without it the metric is None."""


METRICS = {
    "latency": Metric("s", Meter.latency_s, "latency_s"),
    "p95": Metric("s", Meter.p95_s, "p95_s"),
    "throughput": Metric("s/frame of the slowest stage", Meter.bottleneck_s, "bottleneck_s"),
    "energy": Metric("J/frame", Meter.energy_j, "energy_j", "`device` NAME"),
    "bytes": Metric("B/frame", Meter.bytes, "bytes"),
    "cost": Metric("money/frame", Meter.money, "money", "`price_worker_hour` or `price_gb`"),
}
"""What can be minimised."""


def unknown_metric(name: str) -> UsageError:
    """Return the error of a metric that the terms say too little for."""
    needed = METRICS[name].needs
    return UsageError(f"{name} is not known without {needed}. Give it, or leave {name} out.")


def frame_money(cloud_s: float, traffic_bytes: float, prices: Prices) -> float:
    """Return what a frame is billed for a worker's seconds and its traffic."""
    return prices.worker_hour * cloud_s / 3600 + prices.gb * traffic_bytes / 1e9


def variations(plan: Plan, option: Option) -> tuple[Variation, Variation]:
    """Return how the option's head and tail vary on the plan's two machines."""
    here, there = plan.edge.cuts[option.cut], plan.cloud.cuts[option.cut]
    return variation_of(plan.edge, here.head), variation_of(plan.cloud, there.tail)


def _crossing(times: FrameTimes) -> float:
    """Return the share of frames that cross."""
    return 1 - times.option.exit_rate
