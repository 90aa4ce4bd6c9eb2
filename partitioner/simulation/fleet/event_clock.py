"""SimPy's clock, with callbacks at a time."""

from collections.abc import Callable
from typing import Any

import simpy


class Clock:
    """SimPy's environment, with callbacks at a time: cheaper than a process for each frame."""

    def __init__(self) -> None:
        self._env = simpy.Environment()

    @property
    def now(self) -> float:
        """Seconds since the start."""
        return self._env.now

    def call_at(self, time_s: float, callback: Callable[[Any], None], value: object) -> None:
        """Call `callback(event)` at a time, or now if it has passed; `event.value` is `value`."""
        event = self._env.timeout(max(0.0, time_s - self._env.now), value)
        if event.callbacks is not None:
            event.callbacks.append(callback)

    def run(self) -> None:
        """Run until nothing is left to come."""
        self._env.run()
