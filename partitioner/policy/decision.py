"""The decision for the next frame: its option, and why."""

from collections.abc import Callable
from dataclasses import dataclass

from partitioner.common.units import format_duration
from partitioner.planning.option import Option
from partitioner.policy.conditions import Conditions


@dataclass(frozen=True, slots=True)
class Decision:
    """The option of the next frame, why in words, and its expected latency."""

    option: Option
    said: str | Callable[[], str]
    """The reason, or what words it when it is asked for: most of an option that stays never are."""
    expected_s: float
    conditions: Conditions
    """What it was decided on; the next decision tells what has changed."""
    since_s: float
    """When the option was taken."""
    meets_deadline: bool = True
    """False: no option is expected to meet it."""
    owed: float = 0.0
    """What staying has cost since another option has become worth a move, in the objective's unit."""
    instead_s: float | None = None
    """What staying was expected to take, where the option was moved to for being faster; else None."""

    @property
    def reason(self) -> str:
        """Why this is the option, by what was known when it was decided."""
        return self.said if isinstance(self.said, str) else self.said()

    def __repr__(self) -> str:
        late = "" if self.meets_deadline else ", too late"
        return (
            f"<Decision for {self.option.label}, {format_duration(self.expected_s)} expected{late}: "
            f"{self.reason}>"
        )
