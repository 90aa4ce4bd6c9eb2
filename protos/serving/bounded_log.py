"""A log of what others cause: at most so many lines a minute, and then how many were left out."""

import logging
import time
from collections.abc import Callable

from protos.rpc.printable import printable
from protos.serving.allowance import Allowance

LINES_AT_ONCE = 10
LINES_PER_MINUTE = 10.0


class BoundedLog:
    """Writes lines to `log`, ten at once and ten a minute, so that nobody can fill a disk with them.

    What is left out is counted, and the next line that is written says how many. Any thread may write:
    where two do at once, a line more or less gets through.
    """

    def __init__(
        self,
        log: logging.Logger,
        level: int = logging.WARNING,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._log = log
        self._level = level
        self._allowance = Allowance(LINES_PER_MINUTE / 60, LINES_AT_ONCE, clock)
        self._left_out = 0

    def write(self, text: object, error: BaseException | None = None) -> None:
        """Write one line, made safe for a log, and where `error` was raised; or count it."""
        if self._allowance.wait_s() > 0:
            self._left_out += 1
            return
        self._allowance.take()
        left_out, self._left_out = self._left_out, 0
        more = (
            f" (and {left_out:,} more such lines that were left out before it)" if left_out else ""
        )
        self._log.log(self._level, "%s%s", printable(text), more, exc_info=error)
