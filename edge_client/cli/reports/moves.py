"""The moves of the cut on stderr: each in a line of its own, and those that follow closely in one."""

from collections.abc import Callable
from time import monotonic

from edge_client.frames.choice import Choice
from partitioner.common.units import format_duration, plural
from partitioner.terminal import console

_APART_S = 5.0
"""Between two lines."""


class MoveTeller:
    """Says where the cut, or its exit's threshold, has moved to, with the reason, and not too often.

    A move is said at once if none was in the last seconds. Those that come sooner are said together, when
    the time has passed or at the end: the last of them, and how many there were.
    """

    def __init__(self, choice: Choice, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._choice = choice
        self._said_at = self._since = float("-inf")
        self._held = 0

    def note(self, choice: Choice) -> None:
        """Note where the cut is now, and say what is to be said."""
        before, self._choice = self._choice, choice
        if choice.label != before.label or choice.exits_from != before.exits_from:
            if self._held == 0:
                self._since = self._clock()
            self._held += 1
        if self._held and self._clock() - self._said_at >= _APART_S:
            self.finish()

    def finish(self) -> None:
        """Say what has been held back."""
        if self._held == 0:
            return
        now_s, choice = self._clock(), self._choice
        several = (
            f" (the last of {plural(self._held, 'move')} in {format_duration(now_s - self._since)})"
        )
        console.remark(f"cut {choice.label}: {choice.reason}{several if self._held > 1 else ''}")
        self._said_at, self._held = now_s, 0
