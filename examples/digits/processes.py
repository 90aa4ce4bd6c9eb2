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

Cores = set[int]
Command = list[str]


@contextmanager
def started(cores: Cores, out: Path, *words: object) -> Iterator[Any]:
    """Run a server of ours until the end of the block; give the JSON line that says it is ready, and under
    `process` itself."""
    command = [*program(str(words[0]), cores), *map(str, words[1:]), "--json"]
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


def run_command(*words: object, slowly: Cores | None = None) -> str:
    """Run one of our commands and return what it printed."""
    return finish(begin(*words, slowly=slowly))


def begin(*words: object, slowly: Cores | None = None) -> "subprocess.Popen[str]":
    """Start one of our commands, as wide as this terminal."""
    command = [*program(str(words[0]), slowly), *map(str, words[1:])]
    environment = {**os.environ, "COLUMNS": str(console.width)}
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=environment)


def finish(process: "subprocess.Popen[str]") -> str:
    """Wait for a command and return what it printed; CalledProcessError when it failed."""
    with process:
        printed, problem = process.communicate()
    if process.returncode:
        console.print(problem, markup=False)
        raise subprocess.CalledProcessError(process.returncode, process.args)
    return printed.strip("\n")


def follow(command: Command, errors: Path) -> Iterator[dict[str, Any]]:
    """Run a command and yield the JSON objects that it prints; CalledProcessError when it failed."""
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


def program(name: str, cores: Cores | None = None) -> Command:
    """Return the command line of one of our commands, which binds itself to `cores` once it is loaded."""
    package, heavy = {
        "splitpoint": ("partitioner", "partitioner.profiles.profiler, partitioner.profiles.remote"),
        "splitpoint-edge": ("edge_client", "edge_client.cli.run"),
        "splitpoint-cloud": ("cloud_server", "cloud_server.server"),
    }[name]
    bind = f"import os, {heavy}; os.sched_setaffinity(0, {cores}); " if cores else ""
    return [sys.executable, "-c", f"{bind}from {package}.cli.main import main; main()"]
