"""Flags in what commands say, where the planner names parameters."""

import pytest
import typer

from partitioner.terminal.app import new_app
from partitioner.terminal.flag_names import document_with_flags, flag_of, with_flags
from protos.errors import InfeasibleError, UsageError


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


def test_document_names_flags_too() -> None:
    change = {"parameter": "max_energy", "from": 0.5}
    error = InfeasibleError("no", {"constraints": ["`max_energy` 500mJ"], "relax": [change]})
    assert document_with_flags(error.document) == {
        "constraints": ["--max-energy 500mJ"],
        "relax": [{"flag": "--max-energy", "from": 0.5}],
    }
