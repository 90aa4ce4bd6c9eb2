"""What a frame costs in seconds, joules, bytes and money, and which of these a plan is to minimise.

Pure functions over an option, its plan and the terms on which it is priced; docs/planning.md has the
formulas in one place.
"""

import math
from dataclasses import dataclass

from partitioner.planning.devices import Device, Radio, load_device, load_radio
from partitioner.planning.energy import frame_energy
from partitioner.planning.plan import Option, Plan
from partitioner.planning.thermal import sustain
from partitioner.profiles.variation import quantile_of_sum, variation_of
from protos.errors import UsageError

HOURS_A_MONTH = 730.0
"""As clouds bill: 365 * 24 / 12."""

METRICS = {
    "latency": "s",
    "p95": "s",
    "throughput": "s/frame of the slowest stage",
    "energy": "J/frame",
    "bytes": "B/frame",
    "cost": "money/frame",
}
"""What can be minimised, and the unit in which a weight multiplies it."""

SECONDS = ("latency", "p95", "throughput")
"""Those that are seconds."""

_NEEDED = {"energy": "--device NAME", "cost": "--price-worker-hour or --price-gb"}


@dataclass(frozen=True)
class Prices:
    """What the cloud bills, in any one currency: worker time, and traffic in both directions."""

    worker_hour: float = 0.0
    gb: float = 0.0

    def __post_init__(self) -> None:
        for flag, price in (("--price-worker-hour", self.worker_hour), ("--price-gb", self.gb)):
            if not 0 <= price < math.inf:
                raise UsageError(f"{flag} {price} is no price. Give 0 or more.")


@dataclass(frozen=True)
class Terms:
    """On what terms options are priced; no energy without device and radio, no money without prices."""

    device: Device | None = None
    radio: Radio | None = None
    fps: float | None = None
    """Frames a second; None: one frame by itself."""
    workers: int = 1
    """Cloud workers that serve frames at the same time."""
    prices: Prices | None = None
    sustained: bool = False
    """After hours at `fps`, as warm as the device then is."""

    def __post_init__(self) -> None:
        if self.fps is not None and not 0 < self.fps < math.inf:
            raise UsageError(f"--fps {self.fps} has no meaning. Give a rate above 0, such as 10.")
        if self.workers < 1:
            raise UsageError(f"--workers {self.workers} serve nobody. Give 1 or more.")
        if self.sustained and (self.device is None or self.fps is None):
            raise UsageError("--sustained needs a device and a rate: --device NAME --fps 10.")
        if self.radio is not None and self.device is None:
            raise UsageError("--radio needs the device that it is in: --device NAME.")

    @classmethod
    def named(
        cls,
        device: str | None = None,
        radio: str | None = None,
        *,
        price_worker_hour: float | None = None,
        price_gb: float | None = None,
        fps: float | None = None,
        workers: int = 1,
        sustained: bool = False,
    ) -> "Terms":
        """Return terms with a device and a radio by name, or from files; without `radio` the device's own.

        Raises what `load_device` and `load_radio` do.
        """
        found = load_device(device) if device else None
        name = radio or (found.radio if found else None)
        priced = price_worker_hour is not None or price_gb is not None
        return cls(
            device=found,
            radio=load_radio(name) if name else None,
            fps=fps,
            workers=workers,
            prices=Prices(price_worker_hour or 0.0, price_gb or 0.0) if priced else None,
            sustained=sustained,
        )

    @property
    def knows_energy(self) -> bool:
        """True if they say what a frame costs the device in joules."""
        return self.device is not None and self.radio is not None


NO_TERMS = Terms()
"""Seconds and bytes, and nothing that needs a device or a price."""


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
            raise _unknown(name)
        return value


@dataclass(frozen=True)
class Objective:
    """A weighted sum of metrics to minimise; one metric alone has weight 1."""

    weights: dict[str, float]

    @classmethod
    def parse(cls, text: str) -> "Objective":
        """Read `latency`, or weights such as `latency=1,energy=0.2,bytes=1e-6`."""
        weights: dict[str, float] = {}
        for part in text.split(","):
            name, _, number = part.partition("=")
            name = name.strip()
            if name not in METRICS or name in weights:
                wrong = "stands there twice" if name in weights else "cannot be minimised"
                raise UsageError(
                    f"{text!r}: {name!r} {wrong}. Choose from: {', '.join(METRICS)}; or weigh several, as "
                    "latency=1,energy=0.2."
                )
            weights[name] = _weight(number, text) if "=" in part else 1.0
        if not any(weights.values()):
            raise UsageError(f"{text!r} minimises nothing. Give a weight above 0.")
        if len(weights) > 1 and text.count("=") != len(weights):
            raise UsageError(f"{text!r} lacks a weight. Write latency=1,energy=0.2.")
        return cls(weights)

    @classmethod
    def asked(cls, minimize: str, weights: str | None) -> "Objective":
        """Return what the flags --minimize and --weights say; only one of them may."""
        if weights and minimize != "latency":
            raise UsageError("--minimize and --weights exclude each other. Give one of them.")
        return cls.parse(weights or minimize)

    def check(self, terms: Terms) -> None:
        """Raise UsageError if the terms lack a number that this needs."""
        lacking = {"energy": not terms.knows_energy, "cost": terms.prices is None}
        for name, weight in self.weights.items():
            if weight and lacking.get(name):
                raise _unknown(name)

    @property
    def seconds(self) -> float:
        """The sum of the weights of what is counted in seconds."""
        return sum(self.weights.get(name, 0.0) for name in SECONDS)

    def score(self, costs: Costs) -> float:
        """Return what is to be as small as possible."""
        return sum(weight * costs.metric(name) for name, weight in self.weights.items())

    def __str__(self) -> str:
        if len(self.weights) == 1:
            return next(iter(self.weights))
        return " + ".join(f"{weight:g}·{name}" for name, weight in self.weights.items())


def _unknown(name: str) -> UsageError:
    needed = _NEEDED[name]
    return UsageError(f"{name} is not known without {needed}. Give it, or leave {name} out.")


def parse_metrics(text: str) -> tuple[str, ...]:
    """Read two or more metrics, as `latency,energy`."""
    names = tuple(name.strip() for name in text.split(","))
    if len(set(names)) != len(names) or len(names) < 2 or not set(names) <= set(METRICS):
        raise UsageError(
            f"--pareto {text}: a front needs two different metrics or more, with commas, as "
            f"latency,energy. Choose from: {', '.join(METRICS)}."
        )
    return names


LATENCY = Objective({"latency": 1.0})


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


def _weight(number: str, text: str) -> float:
    try:
        value = float(number)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise UsageError(f"{text!r}: {number!r} is no weight. Give a number of 0 or more.")
    return value
