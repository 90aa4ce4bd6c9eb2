"""Checks of a cloud that no frame looks after: which is due, and how a link is measured after an outage.

Pure: the running edge and the simulator call the same.
"""

from collections.abc import Generator
from enum import StrEnum

from partitioner.estimators.circuit_breaker import Breaker
from partitioner.estimators.transfer import Transfer

TICK_S = 0.1
"""Between the end of one look at what is due and the next."""
SILENCE_S = 2.0
"""Requests that wait without a sign of life for so long make the link presumed dead."""
MOST_LOOKS = 3
"""Transfers of one look at the link: a small one, and those that it makes worth their bytes."""
GREET_S = 1.0
"""A greeting of a cloud that is away has failed where it is not answered in so long,"""
PATIENT_GREET_S = 5.0
"""or in so long, every third time: three round trips over a slow link take more than a second."""
_PATIENT_EVERY = 3
GREET_EVERY_S = 5.0
"""While the cloud has another calibration: it may be restarted so quickly that no frame fails."""
PROBE_FRAMING = 200
"""Bytes of a probe beside its payload, and of its answer."""
_FIRST_BYTES, _GROWTH = 4096, 8
_FELT_S = 0.1
"""Over a new link: so many bytes at first, then so many times as many, until they take so long."""
_MORE_LOOKS, _PATIENCE_S = 2, 0.25


class Check(StrEnum):
    """What the edge does about a cloud beside sending frames."""

    RETRY = "retry"
    """Greet a cloud that is away, and measure the link to it."""
    GREET = "greet"
    """Greet it again: it has another calibration."""
    LIFE = "life"
    """Tell a dead connection from a slow one by a probe."""
    LOOK = "look"
    """Measure a link that no frame uses."""


def due_check(
    now_s: float, breaker: Breaker, *, silent_s: float, greets: bool, idle: bool
) -> Check | None:
    """Return what is due now; None: nothing.

    `silent_s`: how long requests have waited without a sign of the cloud. `greets`: its calibration is to be
    asked for again. `idle`: no frame has used the link for long enough.
    """
    if breaker.is_due(now_s):
        return Check.RETRY
    if breaker.is_open:
        return None
    if greets:
        return Check.GREET
    if silent_s > SILENCE_S:
        return Check.LIFE
    return Check.LOOK if idle else None


def greet_patience_s(failed: int) -> float:
    """Return how long to wait for a greeting after so many in a row that have failed."""
    return PATIENT_GREET_S if failed % _PATIENT_EVERY == _PATIENT_EVERY - 1 else GREET_S


Transfers = Generator[int, Transfer, tuple[Transfer, Transfer]]
"""Yields the bytes to transfer, wants what came of it, and returns a small transfer and a larger one."""


def transfers_over_a_new_link(large_bytes: int) -> Transfers:
    """Measure a link of which nothing is known any more, by a small and a larger transfer.

    The larger one grows until its bytes are felt: what fitted the link of before may block this one for long.
    Each is the fastest of a few, since the first ones pay for a server and a connection that have just begun.
    """
    small = yield from _fastest(1, (yield 1))
    size = min(_FIRST_BYTES, large_bytes)
    large = yield size
    while size < large_bytes and large.network_s - small.network_s < _FELT_S:
        size = min(_GROWTH * size, large_bytes)
        large = yield size
    return small, (yield from _fastest(size, large))


def _fastest(size: int, first: Transfer) -> Generator[int, Transfer, Transfer]:
    """Return the fastest of a few transfers like the first one, unless that took long."""
    fastest, last = first, first
    for _ in range(_MORE_LOOKS):
        if last.received_at - first.begun_at > _PATIENCE_S:
            break
        last = yield size
        fastest = min(fastest, last, key=lambda seen: seen.network_s)
    return fastest
