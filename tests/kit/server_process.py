"""A process of `splitpoint-cloud serve`."""

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import IO, Any

import pytest

COMMAND = (sys.executable, "-c", "from cloud_server.cli.main import main; main()")


@contextmanager
def running(program: Sequence[str], *arguments: str) -> Iterator[tuple[Any, dict[str, Any]]]:
    """A server process that is ready, and what it said then."""
    command = [*program, "serve", "--listen", "127.0.0.1:0", "--json", *arguments]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    with process:
        try:
            line = process.stdout.readline()
            if not line:
                pytest.fail(f"no ready line: {process.stderr.read()}")
            yield process, json.loads(line)
        finally:
            process.kill()


def wait_for_line(stream: IO[str], text: str) -> None:
    """Read on until a line says `text`."""
    if not any(text in line for line in stream):
        pytest.fail(f"{text!r} was never said")
