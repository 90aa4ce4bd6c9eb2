"""The settings of `splitpoint-edge run` and `serve`: a client's options, and those of the commands.

It imports little, so that `--help` is fast; heavy modules are imported where a setting is used.
"""

from dataclasses import dataclass, field, replace
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_client import defaults
from edge_client.client.options import ClientOptions
from edge_client.sources.pace import Pace
from partitioner.settings.declaration import Options, about, group, option, worked_out
from partitioner.settings.kinds import ADDRESS, FILE, TIME, number, words
from partitioner.settings.listener_options import tls_files
from partitioner.settings.loader import EDGE_PREFIX, Program
from partitioner.settings.panels import CHOICE, DATA, LINK, OUTPUT, POWER, SECURITY, TERMS
from partitioner.settings.serving_limits import ServingLimits

if TYPE_CHECKING:
    from partitioner.planning.objective import Objective
    from partitioner.planning.terms import Terms
    from partitioner.policy.power_rules import PowerRules
    from protos.security.tls_files import TlsFiles

NONE, AUTO = "none", "auto"
_OFTEN_S = 1.0
_PRICE: dict[str, Any] = {
    "holds": lambda price: 0 <= price < inf,
    "wrong": "{} is no price. Give 0 or more.",
}


def _is_name(text: str) -> bool:
    return 1 <= len(text) <= 64 and text.isascii() and text.isprintable()


def _host_name() -> str:
    import socket

    return socket.gethostname()[:64] or "edge"


@dataclass(frozen=True)
class ObjectiveSettings(Options):
    """The objective to minimise, and what joules and money are computed from."""

    minimize: str = option(
        "latency",
        "latency, p95, throughput (the slowest stage), energy, bytes or cost.",
        words("METRIC"),
        panel=CHOICE,
    )
    weights: str | None = option(
        None,
        "A weighted sum instead, as latency=1,energy=0.2,bytes=1e-6.",
        words("METRIC=WEIGHT,…"),
        none=NONE,
        panel=CHOICE,
    )
    device: str | None = option(
        None,
        "What this device is, for its energy: raspberry-pi-4, raspberry-pi-5, jetson-orin-nano, phone, "
        "laptop or FILE.toml.",
        words("DEVICE"),
        none=NONE,
        panel=TERMS,
    )
    radio: str | None = option(
        None,
        "lte, 5g, wifi or FILE.toml.",
        words("RADIO"),
        shown="the device's own",
        panel=TERMS,
    )
    price_worker_hour: float | None = option(
        None, "Money for an hour of a busy cloud worker.", number("MONEY"), panel=TERMS, **_PRICE
    )
    price_gb: float | None = option(
        None, "Money for a GB (10^9 bytes), up or down.", number("MONEY"), panel=TERMS, **_PRICE
    )

    @property
    def objective(self) -> "Objective":
        """The objective that `minimize` or `weights` name. Raises UsageError."""
        from partitioner.planning.objective import Objective

        return Objective.asked(self.minimize, self.weights)

    def terms_with(self, threads: int) -> "Terms":
        """Return the device, with so many threads, and the prices.

        Raises UsageError, UnknownNameError or FileError.
        """
        from partitioner.planning.terms import Terms

        return Terms.named(
            self.device,
            self.radio,
            price_worker_hour=self.price_worker_hour,
            price_gb=self.price_gb,
            threads=threads,
        )


@dataclass(frozen=True)
class PowerSettings(Options):
    """Rules for battery and heat, and where these are read."""

    power: str | None = option(
        None,
        "Rules for a low battery and heat: auto (those of docs/power.md), FILE.toml, FILE.json or none.",
        words("auto|none|FILE"),
        shown="none; auto with one of the next two",
        panel=POWER,
    )
    battery: str | None = option(
        None,
        "Where its level comes from: auto (the system), none, a file such as /sys/class/power_supply/BAT0, "
        "or a number such as 20%.",
        words("auto|none|FILE|LEVEL"),
        shown="the system, if it has one",
        panel=POWER,
    )
    temperature: str | None = option(
        None,
        "The same for degrees Celsius: auto, none, a file such as /sys/class/thermal/thermal_zone0/temp, or "
        "70.",
        words("auto|none|FILE|DEGREES"),
        shown="the system, if it tells",
        panel=POWER,
    )

    @property
    def rules(self) -> "PowerRules | None":
        """The rules for battery and heat; None for none. Raises FileError."""
        from partitioner.policy.power_rules import DEFAULT_RULES, load_rules

        told = self.battery is not None or self.temperature is not None
        power = self.power or (AUTO if told else NONE)
        if power == NONE:
            return None
        return DEFAULT_RULES if power == AUTO else load_rules(Path(power))


@dataclass(frozen=True)
class ReportSettings(Options):
    """The settings of records, heartbeat, metrics and telemetry."""

    output: Path | None = option(
        None, "Write a JSON line a frame to this file.", FILE, none=NONE, panel=OUTPUT
    )
    heartbeat: Path | None = option(
        None,
        "Touch this file with every result of run, and while serve can answer, for health checks.",
        FILE,
        none=NONE,
        panel=OUTPUT,
    )
    name: str = worked_out(
        _host_name,
        "What this edge calls itself in metrics and telemetry.",
        words("NAME"),
        shown="the host's name",
        panel=OUTPUT,
        holds=_is_name,
        wrong="{!r} is no name. Give 1 to 64 printable ASCII characters.",
    )
    metrics: str | None = option(
        None, "Address of Prometheus metrics.", ADDRESS, none="off", panel=OUTPUT
    )
    telemetry_s: float | None = option(
        None,
        "Write and send to the cloud what was observed this often, as 10s.",
        TIME,
        none=NONE,
        panel=OUTPUT,
        holds=lambda seconds: seconds >= _OFTEN_S,
        wrong=f"telemetry every {{:g}} s is too often. Give {_OFTEN_S:g}s or more, or {NONE}.",
    )


@dataclass(frozen=True)
class ListenSettings(Options):
    """By what files this edge's own server speaks TLS."""

    listen_tls_cert: Path | None = option(
        None,
        "Certificate of this edge's own server, in PEM; read anew when it changes. Programs then have to "
        "speak TLS.",
        FILE,
        none=NONE,
        panel=SECURITY,
    )
    listen_tls_key: Path | None = option(
        None, "Its private key, in PEM, not encrypted.", FILE, none=NONE, panel=SECURITY
    )
    listen_tls_client_ca: Path | None = option(
        None,
        "Authorities, in PEM, by one of which every program has to show a certificate.",
        FILE,
        none=NONE,
        panel=SECURITY,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        _ = self.tls

    @property
    def tls(self) -> "TlsFiles | None":
        """The files of TLS; None: it is not spoken. Raises UsageError for half of them."""
        return tls_files(
            self.listen_tls_cert, self.listen_tls_key, self.listen_tls_client_ca, prefix="listen_"
        )


@dataclass(frozen=True, kw_only=True)
class EdgeSettings(Options):
    """The settings of every command that runs frames; each may come as SPLITPOINT_EDGE_<NAME>."""

    client: ClientOptions = group(ClientOptions, cloud=None)
    aims: ObjectiveSettings = group(ObjectiveSettings)
    power: PowerSettings = group(PowerSettings)
    reports: ReportSettings = group(ReportSettings)

    @property
    def terms(self) -> "Terms":
        """On what terms options are priced. Raises UsageError, UnknownNameError or FileError."""
        return self.aims.terms_with(self.client.threads)

    @property
    def power_rules(self) -> "PowerRules | None":
        """The rules that a command can keep; one whose frames come from callers cannot slow them down."""
        rules = self.power.rules
        return rules.without_rates() if rules else None


@dataclass(frozen=True, kw_only=True)
class RunSettings(EdgeSettings):
    """All settings of `splitpoint-edge run`."""

    source: str = field(
        metadata=about(
            "Folder of images, image, .npy, .npz, video, camera's number, rtsp:// or http:// address, or - "
            "for stdin.",
            words("SOURCE"),
            panel=DATA,
        )
    )
    pace: Pace = group(Pace)
    save_outputs: Path | None = option(
        None,
        "Save the outputs of every frame in this folder, new or empty, as FRAME.npz.",
        FILE,
        none=NONE,
        panel=OUTPUT,
    )
    labels: Path | None = option(
        None, "A CSV of file,label to compare with.", FILE, none=NONE, panel=DATA
    )

    @property
    def terms(self) -> "Terms":
        """Those of every command, and the rate."""
        return replace(super().terms, fps=self.pace.fps)

    @property
    def power_rules(self) -> "PowerRules | None":
        """All rules, as a source can be told to wait."""
        return self.power.rules


@dataclass(frozen=True, kw_only=True)
class LocalServeSettings(EdgeSettings):
    """All settings of `splitpoint-edge serve`."""

    listen: str = option(
        "127.0.0.1:8001", "Where programs of this device ask, by gRPC.", ADDRESS, panel=LINK
    )
    listener: ListenSettings = group(ListenSettings)
    limits: ServingLimits = group(ServingLimits, max_queue=defaults.MAX_QUEUE)


PROGRAM = Program("splitpoint-edge", EDGE_PREFIX, {"run": RunSettings, "serve": LocalServeSettings})
