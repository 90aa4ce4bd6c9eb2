"""What `splitpoint-edge run` and `serve` can be told: flags over environment over file over the defaults."""

import socket
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, Field, field_validator
from pydantic_settings import SettingsConfigDict

from edge_client import defaults
from edge_client.sources.source import MAX_FPS, MIN_FPS, Pace
from partitioner.common.settings import Address, Duration, MemorySize, MessageSize, Settings, load
from partitioner.common.units import parse_duration, parse_size
from partitioner.exits.ladder import parse_threshold
from partitioner.network.link import Link
from partitioner.planning.objective import Objective
from partitioner.planning.terms import Terms
from partitioner.policy.power_rules import DEFAULT_RULES, PowerRules, load_rules
from protos.errors import UsageError

ENV_PREFIX = "SPLITPOINT_EDGE_"
MEASURE = "measure"
NONE, AUTO = "none", "auto"
_OFTEN_S = 1.0


def parse_link(text: str) -> Link | None:
    """Return the link in `10mbit,20ms` or `UP/DOWN,RTT`; None for `measure`. Raises UsageError."""
    if text == MEASURE:
        return None
    try:
        return Link.parse(text)
    except UsageError as error:
        raise UsageError(f"{error} Or write {MEASURE}.") from error


def _check_link(text: str) -> str:
    parse_link(text)
    return text


def _check_timeout(text: str) -> str:
    if parse_duration(text) <= 0:
        raise UsageError(f"a timeout of {text} leaves no time for an answer. Give more than 0.")
    return text


def _check_deadline(text: str) -> str:
    if text != NONE and parse_duration(text) <= 0:
        raise UsageError(f"a deadline of {text} cannot be met. Give more than 0, or {NONE}.")
    return text


def _check_latency(text: str) -> str:
    if text != NONE and parse_duration(text) <= 0:
        raise UsageError(f"a latency of {text} cannot be kept. Give more than 0, or {NONE}.")
    return text


def _check_telemetry(text: str) -> str:
    if text != NONE and parse_duration(text) < _OFTEN_S:
        raise UsageError(
            f"telemetry every {text} is too often. Give {_OFTEN_S:g}s or more, or {NONE}."
        )
    return text


def _host_name() -> str:
    return socket.gethostname()[:64] or "edge"


def _check_threshold(text: str) -> str:
    parse_threshold(text)
    return text


class EdgeSettings(Settings):
    """What every command that runs frames can be told; each may come as SPLITPOINT_EDGE_<NAME>."""

    model_config = SettingsConfigDict(env_prefix=ENV_PREFIX)

    cloud: str | None = None
    """HOST:PORT of the server; needed by every cut but `edge`."""
    bundle: Path
    cut: str = defaults.CUT
    codec: str | None = None
    accuracy_drop: float | None = Field(default=None, ge=0, le=100)
    """Of `auto`: percentage points that an option may have been measured to lose."""
    link: Annotated[str, AfterValidator(_check_link)] = defaults.LINK
    window: int = Field(default=defaults.WINDOW, ge=1)
    output: Path | None = None
    heartbeat: Path | None = None
    """A file that every result of `run` touches, and `serve` while it can answer, for health checks."""
    timeout: Annotated[str, AfterValidator(_check_timeout)] = f"{defaults.TIMEOUT_S:g}s"
    deadline: Annotated[str, AfterValidator(_check_deadline)] = defaults.DEADLINE
    """From a frame's arrival to its result; `none`: it may take as long as it takes."""
    adapt: bool | None = None
    """Move the cut as conditions change; not given: with the cut `auto`."""
    memory: MemorySize = None
    """What all loaded heads and tails may take together; not given: the last few of each stay."""
    exit_threshold: Annotated[str, AfterValidator(_check_threshold)] = defaults.EXIT_THRESHOLD
    """Confidence from which an exit answers early; `own`: each exit's own; `auto`: that too, but under a
    deadline as high as it allows; `none`: none does."""
    latency: Annotated[str, AfterValidator(_check_latency)] = defaults.DEADLINE
    """What a frame may be expected to take, the mean of all, by cut, codec and thresholds; or `none`."""
    exit_floor: float | None = Field(default=None, gt=0, le=1)
    """Of `auto`: the agreement below which no threshold goes; not given: what exits were trained for."""
    on_failure: defaults.OnFailure = defaults.ON_FAILURE
    threads: int = Field(default=defaults.THREADS, ge=1)
    provider: str = defaults.PROVIDER
    minimize: str = defaults.MINIMIZE
    weights: str | None = None
    """A weighted sum instead, such as latency=1,energy=0.2."""
    device: str | None = None
    """For joules: a device by name, or a TOML file."""
    radio: str | None = None
    price_worker_hour: float | None = Field(default=None, ge=0)
    price_gb: float | None = Field(default=None, ge=0)
    power: str | None = None
    """Rules for battery and heat: `auto` for ours, a file, or `none`; not given: ours if one of the next
    two is."""
    battery: str | None = None
    """A file or a number, `auto` for the system's, or `none`; not given: the system's, if it has one."""
    temperature: str | None = None
    name: str = Field(default_factory=_host_name, min_length=1, max_length=64, pattern=r"^[ -~]+$")
    """What this edge calls itself in metrics and telemetry; not given: the host's name."""
    metrics: Address | None = None
    """HOST:PORT of Prometheus metrics; not given: off."""
    telemetry: Annotated[str, AfterValidator(_check_telemetry)] = defaults.TELEMETRY
    """How often what was observed is written as a JSON line and sent to the cloud, such as 10s; or none."""

    takes_frames: ClassVar[bool] = False
    """True where frames are taken from a source, which can be told to wait."""

    @property
    def objective(self) -> Objective:
        """What `minimize` or `weights` say. Raises UsageError."""
        return Objective.asked(self.minimize, self.weights)

    @property
    def terms(self) -> Terms:
        """The device and the prices. Raises UsageError, UnknownNameError or FileError."""
        return Terms.named(
            self.device,
            self.radio,
            price_worker_hour=self.price_worker_hour,
            price_gb=self.price_gb,
        )

    @property
    def power_rules(self) -> PowerRules | None:
        """The rules for battery and heat; None for none. Raises FileError."""
        told = self.battery is not None or self.temperature is not None
        power = self.power or (AUTO if told else NONE)
        if power == NONE:
            return None
        rules = DEFAULT_RULES if power == AUTO else load_rules(Path(power))
        return rules if self.takes_frames else rules.without_rates()

    @property
    def timeout_s(self) -> float:
        """`timeout` in seconds."""
        return parse_duration(self.timeout)

    @property
    def deadline_s(self) -> float | None:
        """`deadline` in seconds; None for none."""
        return None if self.deadline == NONE else parse_duration(self.deadline)

    @property
    def latency_s(self) -> float | None:
        """`latency` in seconds; None for none."""
        return None if self.latency == NONE else parse_duration(self.latency)

    @property
    def exit_confidence(self) -> defaults.ExitThreshold:
        """`exit_threshold` as the client takes it."""
        return parse_threshold(self.exit_threshold)

    @property
    def telemetry_s(self) -> float | None:
        """`telemetry` in seconds; None for none."""
        return None if self.telemetry == NONE else parse_duration(self.telemetry)

    @property
    def memory_bytes(self) -> int | None:
        """`memory` in bytes."""
        return parse_size(self.memory) if self.memory else None


class RunSettings(EdgeSettings):
    """All settings of `splitpoint-edge run`."""

    takes_frames = True

    source: str
    fps: float | None = Field(default=None, ge=MIN_FPS, le=MAX_FPS)
    loop: bool = False
    drop: bool = False
    """A paced source drops its oldest frames when the window is full, as a camera does."""
    max_frames: int | None = Field(default=None, ge=1)
    labels: Path | None = None

    @field_validator("source", mode="before")
    @classmethod
    def _number_or_name(cls, value: object) -> object:
        return str(value) if isinstance(value, int) else value  # a camera's number in TOML

    @property
    def terms(self) -> Terms:
        """Those of every command, and the rate."""
        return replace(super().terms, fps=self.fps)

    @property
    def pace(self) -> Pace:
        """How the source is played."""
        return Pace(self.fps, self.loop, self.max_frames, self.drop)


class LocalServeSettings(EdgeSettings):
    """All settings of `splitpoint-edge serve`."""

    listen: Address = defaults.LISTEN
    max_queue: int = Field(default=defaults.MAX_QUEUE, ge=1)
    """Requests that may be in the server at the same time; more are refused."""
    max_message: MessageSize = defaults.MAX_MESSAGE
    """Larger requests are refused."""
    drain: Duration = defaults.DRAIN
    """How long requests in flight may take to finish once the server is told to stop."""

    @property
    def max_message_bytes(self) -> int:
        """`max_message` in bytes."""
        return parse_size(self.max_message)

    @property
    def drain_s(self) -> float:
        """`drain` in seconds."""
        return parse_duration(self.drain)


def load_settings(config: Path | None = None, **given: Any) -> RunSettings:
    """Return the settings from flags (None: not given), the environment and the TOML file `config`.

    Raises UsageError, which names the setting and what is wrong with it.
    """
    return load(RunSettings, config, given)


def load_serve_settings(config: Path | None = None, **given: Any) -> LocalServeSettings:
    """Return the settings of `serve`, as load_settings does."""
    return load(LocalServeSettings, config, given)
