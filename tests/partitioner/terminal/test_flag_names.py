"""Flags in what commands say, where the planner names parameters."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.main import get_command

from cloud_server.cli.main import app as cloud
from edge_client.cli.main import app as edge
from partitioner.cli.main import app as splitpoint
from partitioner.terminal.app import new_app
from partitioner.terminal.flag_names import document_with_flags, flag_of, with_flags
from protos.errors import InfeasibleError, UsageError

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(
    ("parameter", "flag"),
    [
        ("fps", "--fps"),
        ("accuracy_drop", "--accuracy-drop"),
        ("deadline_s", "--deadline"),  # people write the unit with the value
        ("replace", "--force"),
    ],
)
def test_parameter_has_the_flag_that_sets_it(parameter: str, flag: str) -> None:
    assert flag_of(parameter) == flag
    assert with_flags(f"`{parameter}` 0 has no meaning.") == f"{flag} 0 has no meaning."


def test_other_words_in_backticks_stay() -> None:
    said = "Use `async with`, or `seconds Mbit/s` a line."
    assert with_flags(said) == said


def test_command_names_flags_and_the_planner_parameters() -> None:
    app = new_app()

    @app.callback()
    def group() -> None: ...

    @app.command()
    def fail() -> None:
        raise UsageError("`accuracy_drop` 200 has no meaning.")

    with pytest.raises(UsageError, match="^--accuracy-drop 200 has no meaning.$"):
        typer.main.get_command(app)(["fail"], standalone_mode=False)


def _said(module: Path) -> Iterator[str]:
    """Return the texts of a module that are no docstrings."""
    nodes = list(ast.walk(ast.parse(module.read_text())))
    documented = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
    for node in nodes:
        if isinstance(node, ast.Constant) and id(node) not in documented:
            yield from [node.value] if isinstance(node.value, str) else []


def _flags(command: Any) -> Iterator[str]:
    for one in command.params:
        yield from one.opts
    for name in getattr(command, "commands", ()):
        yield from _flags(command.get_command(None, name))


def test_every_word_in_backticks_that_a_command_says_is_a_flag() -> None:
    known = {flag for app in (splitpoint, edge, cloud) for flag in _flags(get_command(app))}
    packages = ("partitioner", "edge_client", "cloud_server", "protos")
    said = {
        flag
        for package in packages
        for module in (ROOT / package).rglob("*.py")
        for text in _said(module)
        for flag in re.findall("--[a-z-]+", with_flags(" ".join(re.findall("`[a-z_]+`", text))))
    }
    assert said - known == set()


def test_document_names_flags_too() -> None:
    change = {"parameter": "max_energy", "from": 0.5}
    error = InfeasibleError("no", {"constraints": ["`max_energy` 500mJ"], "relax": [change]})
    assert document_with_flags(error.document) == {
        "constraints": ["--max-energy 500mJ"],
        "relax": [{"flag": "--max-energy", "from": 0.5}],
    }
