"""Logs of all commands: one event a line, with time and zone, as text or JSON."""

import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime
from typing import Literal

import pytest

from partitioner.settings.log_options import LogOptions
from partitioner.terminal import console
from partitioner.terminal.logs import set_up_logs

COMMANDS = {
    "splitpoint": ("partitioner.cli.main", "verify", "nowhere"),
    "splitpoint-edge": ("edge_client.cli.main", "run", "--bundle", "nowhere", "--source", "x"),
    "splitpoint-cloud": ("cloud_server.cli.main", "serve", "--bundles", "nowhere"),
}
LONG = "a word and another " * 30


@pytest.fixture
def lines() -> Iterator[list[str]]:
    found: list[str] = []
    yield found
    set_up_logs(LogOptions(), found.append)


def stderr_of(command: str, *more: str) -> list[str]:
    module, *words = COMMANDS[command]
    code = f"from {module} import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, *words, *more], capture_output=True, text=True, check=False
    )
    assert done.returncode not in (0, 1)
    return done.stderr.splitlines()


def has_zone(text: str) -> bool:
    return datetime.fromisoformat(text).utcoffset() is not None


def test_text_is_one_line_with_time_zone_level_and_logger(lines: list[str]) -> None:
    set_up_logs(LogOptions(), lines.append)
    logging.getLogger("edge_client.test").info("%s\nand so on", LONG)
    (line,) = lines
    time, level, logger, message = line.split(" ", 3)
    assert has_zone(time)
    assert (level, logger) == ("INFO", "edge_client.test:")
    assert message == f"{LONG}\\nand so on"


def test_json_is_one_object_an_event_with_the_traceback_in_it(lines: list[str]) -> None:
    set_up_logs(LogOptions(log_format="json"), lines.append)
    try:
        raise ValueError("broken\x1b[1m")
    except ValueError:
        logging.getLogger("protos.test").exception("it failed")
    (line,) = lines
    event = json.loads(line)
    assert line.isprintable()
    assert has_zone(event["time"])
    assert (event["level"], event["logger"], event["message"]) == (
        "error", "protos.test", "it failed",
    )  # fmt: skip
    assert event["traceback"].startswith("Traceback")


def test_level_holds_for_our_records_and_of_libraries_only_warnings_come(lines: list[str]) -> None:
    set_up_logs(LogOptions(log_level="debug"), lines.append)
    logging.getLogger("partitioner.test").debug("ours")
    logging.getLogger("uvicorn").info("theirs")
    logging.getLogger("uvicorn").warning("their trouble")
    set_up_logs(LogOptions(log_level="error"), lines.append)
    logging.getLogger("partitioner.test").warning("ours")
    logging.getLogger("uvicorn").warning("their trouble")
    assert [line.split(": ")[1] for line in lines] == ["ours", "their trouble"]


@pytest.mark.parametrize("command", COMMANDS)
def test_errors_of_every_command_are_events_when_logs_are_json(command: str) -> None:
    (line,) = stderr_of(command, "--log-format", "json")
    event = json.loads(line)
    assert has_zone(event["time"])
    assert event["level"] == "error"
    assert "nowhere" in event["message"]


@pytest.mark.parametrize("command", COMMANDS)
def test_level_of_every_command_is_one_of_four(command: str) -> None:
    text = " ".join(stderr_of(command, "--log-level", "loud"))
    assert "--log-level is wrong: 'loud' is none of: debug, info, warning, error." in text


@pytest.mark.parametrize("form", ["text", "json"])
def test_remarks_keep_to_the_level_of_the_logs(
    form: Literal["text", "json"], capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        console.set_up_logs(LogOptions(log_level="warning", log_format=form))
        console.remark("4 of 108 options are shown")
        console.warn("the cloud is away")
        console.set_up_logs(LogOptions(log_level="error", log_format=form))
        console.warn("the cloud is late")
        console.complain("there is no such cut")
    finally:
        console.set_up_logs(LogOptions())
    console.remark("and so on")
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 3
    for line, wanted in zip(said, ("is away", "no such cut", "and so on"), strict=True):
        assert wanted in line


def test_client_that_goes_away_writes_no_traceback(lines: list[str]) -> None:
    """gRPC itself logs one for each, so that whoever hangs up in a loop would fill the disk."""
    for _ in range(2):
        set_up_logs(LogOptions(), lines.append)
    log = logging.getLogger("grpc._cython.cygrpc")
    log.error("ExecuteBatchError raised in core by servicer method [/a.B/C]", exc_info=True)
    log.error("Unexpected [ValueError] raised by servicer method [/a.B/C]")
    (line,) = lines
    assert "ValueError" in line
