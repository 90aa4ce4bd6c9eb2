"""What the parser of a command line refuses, said as all our errors are: `error:` and a sentence."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import typer
from typer.exceptions import TyperException

from partitioner.common.faults import plain_words
from partitioner.terminal.console import complain
from protos.errors import UsageError


@contextmanager
def refusals_as_errors(command: Any, args: Sequence[str]) -> Iterator[None]:
    """Say what the parser refuses of `args` in one line, and end with the status of a wrong usage."""
    given = list(args)
    try:
        yield
    except TyperException as error:
        shows_help = not given and hasattr(command, "commands")
        if shows_help or not hasattr(error, "format_message"):
            raise
        complain(_sentence(command, given, error))
        raise typer.Exit(UsageError.exit_status) from error


def _sentence(command: Any, given: list[str], error: Any) -> str:
    flag, context = getattr(error, "param", None), getattr(error, "ctx", None)
    said = error.format_message()
    if flag is not None and error.message and context is not None:
        values, *_ = command.make_parser(context).parse_args(args=given)
        fault = {"type": "", "msg": error.message, "input": values.get(flag.name)}
        name = flag.opts[0] if flag.param_type_name == "option" else flag.make_metavar(context)
        said = f"{name} is wrong: {plain_words(fault)}"
    end = "" if said.endswith(("?", ".")) else "."
    more = f" See {context.command_path} --help." if context is not None else ""
    return f"{said}{end}{more}"
