"""Which check of the cloud is due, and how a new link is measured."""

import pytest

from partitioner.estimators.circuit_breaker import Breaker
from partitioner.estimators.cloud_checks import (
    GREET_S,
    SILENCE_S,
    Check,
    due_check,
    greet_patience_s,
    transfers_over_a_new_link,
)
from partitioner.estimators.transfer import Transfer
from protos.errors import UnreachableError

LONG_S = SILENCE_S + 1


def test_first_thing_that_is_due_is_done() -> None:
    well = Breaker()
    assert due_check(0.0, well, silent_s=LONG_S, greets=True, idle=True) is Check.GREET
    assert due_check(0.0, well, silent_s=LONG_S, greets=False, idle=True) is Check.LIFE
    assert due_check(0.0, well, silent_s=SILENCE_S, greets=False, idle=True) is Check.LOOK
    assert due_check(0.0, well, silent_s=0.0, greets=False, idle=False) is None


def test_cloud_that_is_away_is_only_retried() -> None:
    away = Breaker()
    away.trip(UnreachableError("gone."), 1.0)
    assert due_check(1.05, away, silent_s=LONG_S, greets=True, idle=True) is None
    assert due_check(1.2, away, silent_s=0.0, greets=False, idle=False) is Check.RETRY
    assert GREET_S < SILENCE_S  # a retry is over before another look at life would be


def test_every_third_greeting_waits_for_the_round_trips_of_a_slow_link() -> None:
    assert [greet_patience_s(failed) for failed in range(6)] == [1.0, 1.0, 5.0] * 2


def measured(bps: float, rtt_s: float, large_bytes: int) -> tuple[list[int], Transfer, Transfer]:
    """Transfers over a link, one after the other: the sizes, and what is returned."""
    transfers, now_s, sizes = transfers_over_a_new_link(large_bytes), 0.0, []
    size = next(transfers)
    while True:
        sizes.append(size)
        end_s = now_s + rtt_s + 8 * size / bps
        seen, now_s = Transfer(size, 1, now_s, end_s, 0.0), end_s
        try:
            size = transfers.send(seen)
        except StopIteration as ended:
            return sizes, *ended.value


def test_new_link_is_measured_by_what_is_felt() -> None:
    # On 10 Mbit/s 32 kB take 26 ms, which is not felt: it grows as far as it may.
    sizes, small, large = measured(1e7, 0.02, 32 << 10)
    assert sizes == [1, 1, 1, 4096, 32 << 10, 32 << 10, 32 << 10]
    assert large.network_s - small.network_s == pytest.approx(8 * ((32 << 10) - 1) / 1e7)


def test_new_link_that_is_slow_is_not_blocked_for_long() -> None:
    # On 0.1 Mbit/s 4 kB take 0.33 s, more than the patience for more looks.
    sizes, _, large = measured(1e5, 0.02, 32 << 10)
    assert sizes == [1, 1, 1, 4096]
    assert large.upload_bytes == 4096
