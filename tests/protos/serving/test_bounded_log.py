"""Logs that others cannot fill."""

import logging

import pytest

from protos.serving.bounded_log import LINES_AT_ONCE, LINES_PER_MINUTE, BoundedLog
from tests.kit.clocks import FakeClock

LOG = logging.getLogger("tests.bounded_log")


def test_flood_is_a_few_lines_and_then_a_count(caplog: pytest.LogCaptureFixture) -> None:
    clock = FakeClock()
    log = BoundedLog(LOG, clock=clock)
    for number in range(1_000):
        log.write(f"failure {number}")
    assert [record.getMessage() for record in caplog.records] == [
        f"failure {number}" for number in range(LINES_AT_ONCE)
    ]
    clock.now_s += 60 / LINES_PER_MINUTE
    log.write("one more")
    assert caplog.messages[-1] == (
        f"one more (and {1_000 - LINES_AT_ONCE} more such lines that were left out before it)"
    )
    clock.now_s += 60 / LINES_PER_MINUTE
    log.write("the next")
    assert caplog.messages[-1] == "the next"


def test_line_forges_no_second_one(caplog: pytest.LogCaptureFixture) -> None:
    BoundedLog(LOG).write("a\n2026 ERROR b\x1b[2J")
    assert caplog.messages == ["a\\n2026 ERROR b\\x1b[2J"]
