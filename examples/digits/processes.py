"""Running the project's commands for the demo: servers beside it, commands to their end, and edges whose
frames are followed as they come."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from rich.console import Console

console = Console(highlight=False)

_STARTS = {
    "splitpoint": "partitioner.terminal.entrypoint",
    "splitpoint-edge": "edge_client.cli.entrypoint",
    "splitpoint-cloud": "cloud_server.cli.entrypoint",
}


@contextmanager
def started(out: Path, *words: object) -> Iterator[Any]:
    """Run a server of ours until the end of the block; give the JSON line that says it is ready, and under
    `process` itself."""
    command = [*command_line(*words), "--json"]
    log = out / f"{words[1]}.log"
    with (
        log.open("a") as errors,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True) as process,
    ):
        try:
            line = process.stdout.readline() if process.stdout else ""
            if not line:
                console.print(log.read_text(), markup=False)
                raise subprocess.CalledProcessError(process.wait(), command)
            yield {**json.loads(line), "process": process}
        finally:
            process.terminate()


def run_command(*words: object) -> str:
    """Run one of our commands, as wide as this terminal, and return what it printed.

    Raises CalledProcessError when it failed.
    """
    command, environment = command_line(*words), {**os.environ, "COLUMNS": str(console.width)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        console.print(done.stderr, markup=False)
        raise subprocess.CalledProcessError(done.returncode, command)
    return done.stdout.strip("\n")


def follow(errors: Path, *words: object) -> Iterator[dict[str, Any]]:
    """Run a command and yield the JSON objects that it prints; CalledProcessError when it failed."""
    command = command_line(*words)
    with (
        errors.open("w") as log,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True) as process,
    ):
        try:
            for line in process.stdout or ():
                with suppress(json.JSONDecodeError):
                    yield json.loads(line)
        except BaseException:
            process.terminate()
            raise
    if process.returncode:
        console.print(errors.read_text(), markup=False)
        raise subprocess.CalledProcessError(process.returncode, command)


def command_line(*words: object) -> list[str]:
    """Return how one of our commands is started with these words; the first is its name."""
    name, *rest = map(str, words)
    return [sys.executable, "-c", f"from {_STARTS[name]} import main; main()", *rest]
