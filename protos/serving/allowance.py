"""An allowance: how much somebody may take, which comes back with time."""

import time
from collections.abc import Callable


class Allowance:
    """So much a second, and at once what has gathered: `burst` at most (default: what one second brings).

    It is a token bucket (Turner, IEEE Communications Magazine 1986). What is larger than the whole bucket
    needs a full one and is paid for afterwards: one request over a second's bytes gets through, and the rate
    is kept.
    """

    def __init__(
        self,
        rate_per_s: float,
        burst: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._rate_per_s = rate_per_s
        self._burst = max(rate_per_s, 1.0) if burst is None else burst
        self._left = self._burst
        self._clock = clock
        self._at_s = clock()

    @property
    def state(self) -> tuple[float, float]:
        """What is left, and when that was by the clock; another allowance of this clock may have it."""
        return self._left, self._at_s

    @state.setter
    def state(self, state: tuple[float, float]) -> None:
        self._left, self._at_s = state

    def wait_s(self, amount: float = 1.0) -> float:
        """Return the seconds until `amount` may be taken; 0 when it may be now."""
        now_s = self._clock()
        gathered = self._left + (now_s - self._at_s) * self._rate_per_s
        self._left, self._at_s = min(self._burst, gathered), now_s
        return max(0.0, min(amount, self._burst) - self._left) / self._rate_per_s

    def take(self, amount: float = 1.0) -> None:
        """Take `amount`, whether it is there or not: what is owed comes back with time, too."""
        self._left -= amount
