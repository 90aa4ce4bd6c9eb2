"""A process of `splitpoint-cloud serve`."""

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

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
