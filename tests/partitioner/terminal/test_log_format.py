"""Logs of servers: words from the network neither forge lines nor drive a terminal."""

import logging
import sys

import pytest

from cloud_server.observability.edge_book import EdgeBook
from partitioner.terminal.log_format import PlainFormatter
from protos.rpc.printable import printable
from protos.telemetry import Telemetry

EVIL = "all well\n12:00 edge cam-2 is healthy\x1b[2J\u202e\x9b"


def record(words: str, error: BaseException | None = None) -> logging.LogRecord:
    caught = (type(error), error, error.__traceback__) if error else None
    return logging.LogRecord("x", logging.ERROR, "x.py", 1, "said: %s", (words,), caught)


def test_control_characters_are_escaped_and_letters_of_any_language_kept() -> None:
    assert printable("naïve 名\t\x1b[1m\r\n") == "naïve 名\\t\\x1b[1m\\r\\n"


def test_length_is_bounded_after_escaping() -> None:
    assert printable("\x00" * 5_000, 10) == "\\x00\\x00\\x" + "…"
    assert printable("a" * 5_000, 10) == "a" * 10 + "…"
    assert printable("a" * 10, 10) == "a" * 10


def test_record_is_one_line_whatever_it_says() -> None:
    line = PlainFormatter("%(message)s").format(record(EVIL))
    assert line.isprintable()
    assert line.startswith("said: all well\\n12:00")


def test_lines_of_a_traceback_stand_behind_a_margin() -> None:
    try:
        raise ValueError(EVIL)
    except ValueError as error:
        text = PlainFormatter("%(message)s").format(record("it failed", error))
    first, *others = text.split("\n")
    assert first == "said: it failed"
    assert others
    assert all(line.startswith("  | ") and line.isprintable() for line in others)
    assert sys.exc_info() == (None, None, None)


async def test_what_an_edge_calls_its_trouble_stays_on_its_line(
    caplog: pytest.LogCaptureFixture,
) -> None:
    seen = Telemetry(
        edge="cam-1", bundle="b", started_s=1.0, number=0, time_s=2.0, interval_s=1.0,
        health="degraded", health_reason=EVIL, cut="\x1b]0;title\x07", reason="", served_by={},
        fallbacks={}, switches=0, upload_bytes=0, download_bytes=0, lost_snapshots=0, stages={},
    )  # fmt: skip
    with caplog.at_level(logging.INFO):
        await EdgeBook().take([seen.model_dump_json()])
    (message,) = caplog.messages
    assert message.isprintable()
    assert "\\x1b]0;title\\x07" in message
