"""The health of the edge: healthy, degraded or offline, as a pure function of signs, with hysteresis.

OFFLINE: the cloud has been away for some time, and everything is done here. DEGRADED: it is there and fails
frames or answers them too late, or frames get no answer at all, or it has been away for a moment only.
HEALTHY: neither. It takes more
to become healthy than to stay so.
"""

from dataclasses import dataclass
from enum import StrEnum

from edge_client import defaults
from partitioner.common.units import format_duration


class Health(StrEnum):
    """The states of an edge."""

    HEALTHY = "healthy"
    DEGRADED = "degraded"
    OFFLINE = "offline"


NO_FRAME = "no frame has come yet"
_ONE_PERCENT = 0.01


@dataclass(frozen=True, slots=True)
class HealthSettings:
    """The thresholds."""

    offline_after_s: float = defaults.OFFLINE_AFTER_S
    """The cloud may be away for so long before the edge is offline."""
    degraded_share: float = defaults.DEGRADED_SHARE
    """From this share of the last frames failing, the edge is degraded."""
    healthy_share: float = defaults.HEALTHY_SHARE
    """A degraded edge may become healthy again once the share is down to this …"""
    settle_s: float = defaults.SETTLE_S
    """… and has stayed there for so long."""


@dataclass(frozen=True, slots=True)
class Signs:
    """The signs by which health is judged."""

    failing_share: float = 0.0
    """Share of the last frames that the cloud failed, or that got no answer."""
    away_s: float | None = None
    """Seconds since the cloud was found to be away; None while it is there, or none is needed."""
    lost_share: float = 0.0
    """Share of the last frames without an answer. The rest of those that failed were finished here."""
    late: str = ""
    """How the cloud's answers are late, in words; empty while they are not, or while it is away."""
    absence: str = "the cloud is away"
    """Why the cloud is not used while it is away, as a clause."""
    frames: int = 0
    """Results so far."""


@dataclass(frozen=True, slots=True)
class State:
    """A health, why, and since when."""

    health: Health
    reason: str
    since_s: float
    well_since_s: float | None = None
    """Since when all signs have been good; None while they are not."""
    was_away: bool = False
    """True once the cloud was away or late, until all has been well for long enough."""
    cause: str = ""
    """What keeps frames from the cloud, as a clause without figures; empty while nothing does."""
    cause_since_s: float = 0.0
    """Since when it has been this cause: one that fails may come to fail in another way."""


def judge(
    signs: Signs, before: State, now_s: float, settings: HealthSettings | None = None
) -> State:
    """Return the state at `now_s`, in seconds of any one clock."""
    limits = settings or HealthSettings()
    well = signs.away_s is None and not signs.late and signs.failing_share <= limits.healthy_share
    well_since_s = (now_s if before.well_since_s is None else before.well_since_s) if well else None
    was_away = before.was_away or signs.away_s is not None or bool(signs.late)
    cause = _cause(signs)
    cause_since_s = _cause_since_s(cause, signs, before, now_s)
    health, reason = _verdict(signs, before, limits, now_s - cause_since_s)
    settled = well_since_s is not None and now_s - well_since_s >= limits.settle_s
    if health is Health.HEALTHY and before.health is not Health.HEALTHY:
        if not settled:
            health, reason = Health.DEGRADED, _settling(signs, was_away, limits)
        elif was_away:
            reason = f"the cloud is back, and {reason}"
    since_s = before.since_s if health is before.health else now_s
    was_away = was_away and health is not Health.HEALTHY
    return State(health, reason, since_s, well_since_s, was_away, cause, cause_since_s)


def _cause(signs: Signs) -> str:
    if signs.away_s is not None:
        return signs.absence
    return "the cloud answers too late" if signs.late else ""


def _cause_since_s(cause: str, signs: Signs, before: State, now_s: float) -> float:
    """Return since when it has been this cause; 0 where there is none."""
    if not cause:
        return 0.0
    if cause == before.cause:
        return before.cause_since_s
    return now_s if before.cause else now_s - (signs.away_s or 0.0)


def _verdict(
    signs: Signs, before: State, limits: HealthSettings, cause_s: float
) -> tuple[Health, str]:
    if signs.away_s is not None:
        gone = before.health is Health.OFFLINE or signs.away_s >= limits.offline_after_s
        if gone:
            since = f", for {format_duration(cause_s)} by now" if cause_s > 0 else ""
            return Health.OFFLINE, signs.absence + since
        return Health.DEGRADED, signs.absence
    if signs.late:
        return Health.DEGRADED, signs.late
    if signs.failing_share >= limits.degraded_share:
        return Health.DEGRADED, _failures(signs)
    if not signs.frames:
        return Health.HEALTHY, NO_FRAME
    if signs.failing_share >= _ONE_PERCENT:
        return Health.HEALTHY, _failures(signs)
    return Health.HEALTHY, "frames are served as they are meant to be"


def _settling(signs: Signs, was_away: bool, limits: HealthSettings) -> str:
    """Say why what no longer is bad is not good yet."""
    if signs.failing_share > limits.healthy_share:
        return _failures(signs)
    if was_away:
        return "the cloud is back, and has to show that it stays"
    return "frames no longer fail, and that has to last"


def _failures(signs: Signs) -> str:
    failing, lost = f"{signs.failing_share:.0%}", f"{signs.lost_share:.0%}"
    if lost == "0%":
        return f"{failing} of the last frames were finished here"
    if lost == failing:
        return f"{lost} of the last frames were served by nobody"
    return f"{failing} of the last frames were not served by the cloud, {lost} by nobody"


class FailingShare:
    """The share of the last frames that failed: a ratio of two sums that fade with time.

    Below one frame that is remembered there is nothing left to have a share of, and it goes to 0.
    """

    def __init__(self, half_life_s: float = defaults.FAILING_HALF_LIFE_S) -> None:
        self._half_life_s = half_life_s
        self._failed = self._frames = 0.0
        self._seen_at: float | None = None

    def add(self, failed: bool, now_s: float) -> None:
        """Note one frame."""
        faded = self._faded(now_s)
        self._failed = faded * self._failed + failed
        self._frames = faded * self._frames + 1
        self._seen_at = now_s

    def value(self, now_s: float) -> float:
        """Return the share as of now, from 0 to 1."""
        faded = self._faded(now_s)
        return faded * self._failed / max(1.0, faded * self._frames)

    def _faded(self, now_s: float) -> float:
        if self._seen_at is None:
            return 1.0
        return float(2 ** (min(0.0, self._seen_at - now_s) / self._half_life_s))
