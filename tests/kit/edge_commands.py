"""The command of the edge, called within this process or started as one of its own."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from edge_client.cli.main import app
from partitioner.bundle.bundle import Bundle


def invoke(*arguments: object) -> Any:
    """Call the command within this process, and return what click's runner does."""
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def run_edge(bundle: Bundle, source: Path, *more: object) -> Any:
    """Run `source` through `bundle` on the edge alone."""
    words = ["run", "--bundle", bundle.path, "--cut", "edge", "--source", source, *more]
    return invoke(*words)


def command(*arguments: object) -> list[str]:
    """The words that start the command in a process of its own."""
    code = "from edge_client.cli.main import main; main()"
    return [sys.executable, "-c", code, *map(str, arguments)]


@contextmanager
def running(*arguments: object) -> Iterator[Any]:
    """The command as a process, with its three streams; killed if a test fails before it ends."""
    streams = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    with subprocess.Popen(command(*arguments), text=True, **streams) as process:  # type: ignore[call-overload]
        try:
            yield process
        except BaseException:
            process.kill()
            raise
