"""Flags of commands: one flag described, and groups of them that several commands share.

A group is a frozen dataclass whose fields are flags. A command takes it as one parameter:

    @dataclass(frozen=True)
    class RuntimeFlags:
        threads: Annotated[int, flag("Intra-op threads.", "N", panel="Runtime")] = 1

    def verify(bundle: BundleArgument, runtime: RuntimeFlags) -> None: ...
"""

import inspect
from collections.abc import Callable, Iterable
from dataclasses import MISSING, fields, is_dataclass
from typing import Any, Final, get_type_hints

import typer

READERS_TELL: Final = False
"""`readable` of every path: who reads a file knows what it is, and says better why it cannot be read."""


def flag(
    about: str,
    metavar: str | None = None,
    *names: str,
    panel: str | None = None,
    default: str = "",
    choices: Callable[[], Iterable[str]] | None = None,
    **more: Any,
) -> Any:
    """Return a flag for an Annotated type.

    `metavar` is the word for its value; None for a flag without one. `default` says in words what holds
    where it is not given; empty: the default value is shown, if there is one. `choices` returns what
    completion offers.
    """
    return typer.Option(
        *names,
        help=about,
        metavar=metavar,
        show_default=default or True,
        rich_help_panel=panel,
        autocompletion=_completion(choices) if choices else None,
        **{"readable": READERS_TELL, **more},
    )


def _completion(choices: Callable[[], Iterable[str]]) -> Callable[[str], list[str]]:
    def complete(incomplete: str) -> list[str]:
        return [word for word in choices() if word.startswith(incomplete)]

    return complete


def spread(command: Callable[..., Any]) -> Callable[..., Any]:
    """Return `command` as typer shall see it: with a flag for each field of its groups.

    A parameter whose default is an instance of its group has that instance's values as defaults. A
    command without groups is returned as it is.
    """
    parameters = inspect.signature(command, eval_str=True).parameters.values()
    groups: dict[str, Any] = {
        one.name: one.annotation for one in parameters if is_dataclass(one.annotation)
    }
    if not groups:
        return command

    def called(**given: Any) -> Any:
        for name, kind in groups.items():
            given[name] = kind(**{field.name: given.pop(field.name) for field in fields(kind)})
        return command(**given)

    called.__name__, called.__doc__ = command.__name__, command.__doc__
    flat = [each for one in parameters for each in _flags_of(one, groups.get(one.name))]
    called.__signature__ = inspect.Signature(flat)  # type: ignore[attr-defined]  # typer reads it
    return called


def _flags_of(parameter: inspect.Parameter, group: Any) -> Iterable[inspect.Parameter]:
    """Return the parameter, or the fields of its group, as parameters by keyword."""
    keyword = inspect.Parameter.KEYWORD_ONLY
    if group is None:
        return [parameter.replace(kind=keyword)]
    hints = get_type_hints(group, include_extras=True)
    usual = None if parameter.default is inspect.Parameter.empty else parameter.default
    return [
        inspect.Parameter(
            field.name,
            keyword,
            annotation=hints[field.name],
            default=_default(field) if usual is None else getattr(usual, field.name),
        )
        for field in fields(group)
    ]


def _default(field: Any) -> Any:
    return inspect.Parameter.empty if field.default is MISSING else field.default
