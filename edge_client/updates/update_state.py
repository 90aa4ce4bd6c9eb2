"""The state of updates: where a device stands with a version that it was offered, and why."""

from dataclasses import dataclass
from enum import StrEnum


class Phase(StrEnum):
    """Where a device stands with a version that it was offered."""

    IDLE = "idle"
    FETCHING = "fetching"
    CHECKING = "checking"
    HELD = "held"
    TRIAL = "trial"
    POSTPONED = "postponed"
    REFUSED = "refused"


@dataclass(frozen=True)
class UpdateState:
    """The phase, the version that it is about (empty: none), why, and offers refused since the start."""

    phase: Phase = Phase.IDLE
    version_digest: str = ""
    reason: str = ""
    refusals: int = 0
