"""The telemetry document of an edge, for its JSON lines, its metrics and the cloud."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from protos.errors import UsageError, plural

MAX_SNAPSHOTS = 64
"""That one report to the cloud may bring."""
MAX_SNAPSHOT_BYTES = 16 << 10
MAX_MOVES = 16
"""That one snapshot tells of; what moved before is in the counts alone."""

DIGEST_SHOWN = 12
"""Characters of a digest by which people, records and telemetry tell one version from the other."""

MAX_REASON = 512
"""Characters of a reason that a snapshot repeats."""

MAX_ADDRESS = 255
"""Characters of a server's address that a snapshot repeats."""

STAGES = ("latency", "edge", "network", "queue", "cloud", "wait")
"""The whole of a frame, and its parts, as a result's timings name them."""

BUCKETS_S = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
"""Upper ends of the histograms of stages, in seconds; one more bucket takes what is above."""

_Name = Field(min_length=1, max_length=64, pattern=r"^[ -~]+$")
_Word = Field(max_length=128)
_Text = Field(max_length=MAX_REASON)
_MOST = 2**53
"""Beyond it a float, which is all that metrics know, tells no number from the next."""
_Count = Field(ge=0, le=_MOST)
_Frames = Annotated[int, Field(ge=0, le=_MOST)]
_Seconds = Field(ge=0, allow_inf_nan=False)


class _Document(BaseModel):
    # Fields are only added: what a newer edge says beyond this is left out.
    model_config = ConfigDict(frozen=True, extra="ignore")


class StageTimes(_Document):
    """Seconds of one stage."""

    p50_s: float | None = _Seconds
    p95_s: float | None = _Seconds
    """Of the interval; None where no frame was served in it."""
    total_s: float = _Seconds
    """Since the edge's start, as are the buckets."""
    buckets: tuple[_Frames, ...] = Field(
        min_length=len(BUCKETS_S) + 1, max_length=len(BUCKETS_S) + 1
    )
    """Frames by BUCKETS_S, each counted once."""


class Move(_Document):
    """A decision that moved the cut, or the threshold of its exit."""

    time_s: float = _Seconds
    """Unix time."""
    cut: str = _Word
    """With the codec: `cut-05/q2`."""
    exits_from: float | None = Field(default=None, ge=0, le=1)
    """As below; a move may be that of this threshold alone."""
    reason: str = _Text


class EstimatesSeen(_Document):
    """The edge's estimates of the link and of both machines."""

    uplink_bps: float = _Seconds
    downlink_bps: float = _Seconds
    rtt_s: float = _Seconds
    uplink_spread: float | None = None
    """Standard deviation, as a share of the uplink."""
    rtt_spread_s: float | None = None
    """Standard deviation."""
    edge_load: float | None = _Seconds
    cloud_load: float | None = _Seconds
    """Measured over profiled seconds; None without a plan."""
    cloud_queue_s: float | None = _Seconds


class HedgesSeen(_Document):
    """Frames that the device began to finish, too, as the cloud's answer was late; since the edge's start."""

    device_first: int = _Count
    """The device has answered them,"""
    cloud_first: int = _Count
    """or the cloud, so that the device's work was dropped."""
    dropped_s: float = _Seconds
    """Seconds of the device that came to nothing."""
    unused_answers: int = _Count
    """Answers of the cloud that came after the device's."""
    unused_cloud_s: float = _Seconds
    """Seconds that the cloud has computed for them."""


class LooksSeen(_Document):
    """Looks at the link, which is not believed to be as it was; since the edge's start."""

    tries: int = _Count
    """Frames that tried another option."""
    probes: int = _Count
    """Messages that belong to no frame."""
    sent_bytes: int = _Count
    """What both sent beside what frames of the options in use send."""


class PowerSeen(_Document):
    """Battery and heat of the device, and what the rules that hold ask for."""

    battery: float | None = Field(default=None, ge=0, le=1)
    """The share of a full one; None: not known."""
    charging: bool | None = None
    temperature_c: float | None = Field(default=None, allow_inf_nan=False)
    rules: tuple[Annotated[str, _Word], ...] = Field(default=(), max_length=16)
    """The names of those that hold."""
    energy_factor: float = Field(default=1.0, ge=1, allow_inf_nan=False)
    max_fps: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """Frames a second that are taken at most; None: as many as come."""


class VersionSeen(_Document):
    """The version of the bundle that runs, how its frames fare, and what becomes of one that was offered."""

    digest: str = Field(pattern=r"^[0-9a-f]{1,64}$")
    """The beginning of its digest."""
    frames: int = _Count
    """With a result, since it serves here."""
    fallbacks: int = _Count
    """That the cloud was meant to serve and did not."""
    faults: int = _Count
    """That failed by what a version may be to blame for."""
    phase: str = Field(default="idle", max_length=16)
    """Where it stands with what it was offered: fetching, checking, held, trial, postponed, refused."""
    offered: str = Field(default="", pattern=r"^[0-9a-f]{0,64}$")
    """The beginning of that one's digest; empty: none was."""
    refusals: int = Field(default=0, ge=0, le=_MOST)
    """Offers that it has refused since its start: when a version is rolled back, nothing else tells of it."""
    reason: str = Field(default="", max_length=MAX_REASON)


class CertificateSeen(_Document):
    """Unix times between which a certificate holds; before 1970 for one that holds since ever."""

    not_before_s: float = Field(allow_inf_nan=False)
    not_after_s: float = Field(allow_inf_nan=False)


class UpkeepSeen(_Document):
    """What runs out on a device one day: its certificates, and its disk."""

    certificates: dict[str, CertificateSeen] = Field(default_factory=dict, max_length=4)
    """The device's `own`, that of its `listener`, and the last of the `authorities` that it trusts."""
    disk_free_bytes: int | None = Field(default=None, ge=0, le=_MOST)
    """Of the disk that has the bundle."""


class Telemetry(_Document):
    """One interval of an edge's life. Counts are since its start, spreads of the interval."""

    edge: str = _Name
    """The name of the edge."""
    bundle: str = Field(min_length=1, max_length=255, pattern=r"^[ -~]+$")
    started_s: float = _Seconds
    """Unix time of the edge's start; with `number` it tells one snapshot from any other."""
    number: int = _Count
    time_s: float = _Seconds
    """Unix time of the interval's end."""
    interval_s: float = _Seconds
    health: Literal["healthy", "degraded", "offline"]
    health_reason: str = _Text
    cut: str = _Word
    reason: str = _Text
    """The reason for the cut."""
    exits_from: float | None = Field(default=None, ge=0, le=1)
    """Confidence from which the exit at the cut answers early; None: none does."""
    served_by: dict[str, _Frames] = Field(max_length=8)
    """Frames by who ran the last layer; `none`: there was no answer."""
    fallbacks: dict[str, _Frames] = Field(max_length=32)
    """Frames that the cloud was meant to serve and did not, by what it failed with."""
    hedges: HedgesSeen | None = None
    """None from an edge that knows none."""
    looks: LooksSeen | None = None
    switches: int = _Count
    upload_bytes: int = _Count
    download_bytes: int = _Count
    lost_snapshots: int = _Count
    """Oldest ones that made way while the cloud was away, and those that it refused."""
    source_stops: int = Field(default=0, ge=0, le=_MOST)
    """How often the camera has stopped; it is opened again by itself."""
    stages: dict[str, StageTimes] = Field(max_length=len(STAGES))
    moves: tuple[Move, ...] = Field(default=(), max_length=MAX_MOVES)
    """The last ones of the interval."""
    estimates: EstimatesSeen | None = None
    """None while nothing is known of the link."""
    server: str = Field(default="", max_length=MAX_ADDRESS)
    """The address of the server in use, of several; empty where there is no choice."""
    version: VersionSeen | None = None
    """None from an edge that does not say."""
    power: PowerSeen | None = None
    """None where battery and heat are not watched."""
    upkeep: UpkeepSeen | None = None
    """None from an edge that does not say."""


def read_snapshot(text: str) -> Telemetry:
    """Return the snapshot in JSON that an edge has sent; UsageError says what is wrong with it."""
    if len(text) > MAX_SNAPSHOT_BYTES:
        raise UsageError(
            f"a snapshot of {plural(len(text), 'byte')} is over the limit of {MAX_SNAPSHOT_BYTES:,}. Send "
            "it in parts."
        )
    try:
        return Telemetry.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the document"
        raise UsageError(
            f"a snapshot is no telemetry: {where}: {first['msg']}. Check that edge and cloud are of "
            "versions that go together."
        ) from error
