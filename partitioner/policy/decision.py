"""The decision for the next frame: its option, and why."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Self

from partitioner.common.units import format_duration
from partitioner.estimators.experience import Promise
from partitioner.planning.option import Option
from partitioner.policy.conditions import Conditions
from partitioner.policy.exploration import NOTHING_SPENT, Spending


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
    habit: Option | None = None
    """What frames take otherwise, where this one takes `option` for a look at the link,"""
    habit_said: str | Callable[[], str] = ""
    """and why they do."""
    spent: Spending = NOTHING_SPENT
    """On frames and on looks, lately."""
    owed: float = 0.0
    """What staying has cost since another option has become worth a move, in the objective's unit."""
    promise: Promise | None = None
    """What the move to the option was to bring, where it was for being faster; else None."""

    @property
    def reason(self) -> str:
        """Why this is the option, by what was known when it was decided."""
        return self.said if isinstance(self.said, str) else self.said()

    @property
    def look_bytes(self) -> float:
        """What a frame that tries another option sends beyond the option in use; 0 for all other frames."""
        if self.habit is None:
            return 0.0
        return max(0.0, self.option.upload_bytes - self.habit.upload_bytes)

    @property
    def usual(self) -> Option:
        """The option that frames take, whether this one looks at the link or not."""
        return self.habit or self.option

    def without_look(self) -> Self:
        """Return the same for a frame that takes what the others do."""
        if self.habit is None:
            return self
        return replace(self, option=self.habit, habit=None, said=self.habit_said)

    def __repr__(self) -> str:
        late = "" if self.meets_deadline else ", too late"
        return (
            f"<Decision for {self.option.label}, {format_duration(self.expected_s)} expected{late}: "
            f"{self.reason}>"
        )
