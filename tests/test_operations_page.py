"""docs/operations.md names only commands and flags that there are."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from typer.main import get_command

from cloud_server.cli.main import app as cloud
from edge_client.cli.main import app as edge
from partitioner.cli.main import app as splitpoint

PAGE = (Path(__file__).parents[1] / "docs" / "operations.md").read_text()
APPS = {"splitpoint": splitpoint, "splitpoint-cloud": cloud, "splitpoint-edge": edge}
JOINED = PAGE.replace(" \\\n", " ")
LINES = re.findall(r"(?:^|`|\$ )(splitpoint(?:-\w+)? [a-z][^`#\n]*)", JOINED, re.MULTILINE)


def flags(command: Any) -> Iterator[str]:
    for one in command.params:
        yield from one.opts
    for name in getattr(command, "commands", ()):
        yield from flags(command.get_command(None, name))


def test_commands_of_the_page_are_those_that_there_are() -> None:
    assert len(LINES) > 10
    for line in LINES:
        command: Any = get_command(APPS[line.split()[0]])
        words = line.split()[1:]
        while hasattr(command, "commands") and words:
            assert words[0] in command.commands, line
            command = command.get_command(None, words.pop(0))
        said = set(re.findall(r"--[a-z][a-z0-9-]+", line))
        assert said <= set(flags(command)), line


def test_flags_of_the_page_are_those_of_some_command() -> None:
    known = {flag for app in APPS.values() for flag in flags(get_command(app))}
    ours = re.sub(r"`curl [^`]+`", "", PAGE)
    said = set(re.findall(r"--[a-z][a-z0-9-]+\b(?!…)", ours)) - {"--tls-"}
    assert said - known == set()
