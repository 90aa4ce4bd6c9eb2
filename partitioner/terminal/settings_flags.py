"""Flags of commands that take settings: derived from the options, which know all that a flag says."""

import inspect
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Concatenate, TypeVar

from partitioner.settings.declaration import Declared, make, writable
from partitioner.settings.kinds import SWITCH
from partitioner.settings.loader import Program, load, told
from partitioner.settings.log_options import LogOptions
from partitioner.settings.panels import SETTINGS
from partitioner.terminal import console, flags

S = TypeVar("S")

Choices = Callable[[], Iterable[str]]

_Config = Annotated[
    Path | None,
    flags.flag(
        "A TOML file of settings; flags and environment go before it.", "FILE.toml", panel=SETTINGS
    ),
]
_ShowConfig = Annotated[
    bool, flags.flag("Print the settings as JSON and end.", None, "--show-config", panel=SETTINGS)
]


def takes_settings(
    program: Program, kind: type[S], **choices: Choices
) -> Callable[[Callable[Concatenate[S, ...], None]], Callable[..., None]]:
    """Give a command, whose first parameter is its settings, a flag for each of them.

    `--config` and `--show-config` come with them. `choices`: what completion offers for some, by key.
    """

    def decorate(command: Callable[Concatenate[S, ...], None]) -> Callable[..., None]:
        options = told(kind)

        def called(config: Path | None, show_config: bool, **given: Any) -> None:
            written = {one.key: given.pop(one.key, None) for one in options}
            console.set_up_logs(_logs_of(written))  # for what is said while the rest is read
            loaded = load(program, kind, written, config)
            if show_config:
                console.print_json(loaded.written)
                return
            console.set_up_logs(loaded.logs)
            command(loaded.settings, **given)

        called.__name__, called.__doc__ = command.__name__, command.__doc__
        _, *own = inspect.signature(command, eval_str=True).parameters.values()
        called.__signature__ = inspect.Signature(  # type: ignore[attr-defined]  # typer reads it
            [
                *(flag_from(one, choices.get(one.key)) for one in options if not one.is_secret),
                _keyword("config", _Config, None),
                _keyword("show_config", _ShowConfig, False),
                *(one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in own),
            ]
        )
        return called

    return decorate


def logged(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the flags of its logs, unless its settings have them."""
    own = inspect.signature(command, eval_str=True).parameters
    options = writable(LogOptions)
    if options[0].key in own:
        return command

    def called(**given: Any) -> Any:
        console.set_up_logs(_logs_of({one.key: given.pop(one.key) for one in options}))
        return command(**given)

    called.__name__, called.__doc__ = command.__name__, command.__doc__
    keyword = inspect.Parameter.KEYWORD_ONLY
    called.__signature__ = inspect.Signature(  # type: ignore[attr-defined]  # typer reads it
        [*(one.replace(kind=keyword) for one in own.values()), *map(flag_from, options)]
    )
    return called


def _logs_of(written: Mapping[str, Any]) -> LogOptions:
    known = writable(LogOptions)
    values = {one.name: one.read(written[one.key] or one.written_default) for one in known}
    return make(LogOptions, values)


def flag_from(declared: Declared, choices: Choices | None = None) -> inspect.Parameter:
    """Return the flag of an option as typer takes it: None when it is not given."""
    kind, known = declared.kind, declared.kind.choices
    switch = kind is SWITCH
    found = flags.flag(
        declared.written_sentence,
        None if switch else declared.metavar,
        f"{declared.flag}/--no-{declared.flag.removeprefix('--')}" if switch else declared.flag,
        panel=declared.about.panel or None,
        default=default_text(declared),
        choices=(lambda: known) if known else choices,
    )
    annotation: Any = Annotated[kind.base | None, found]
    return _keyword(declared.key, annotation, None)


def default_text(declared: Declared) -> str:
    """Return the default in words; empty where there is none."""
    if declared.about.shown or declared.required:
        return declared.about.shown
    written = declared.written_default
    if isinstance(written, bool):
        return (
            declared.flag.removeprefix("--")
            if written
            else f"no-{declared.flag.removeprefix('--')}"
        )
    return "" if written is None else f"{written:g}" if isinstance(written, float) else str(written)


def _keyword(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    keyword = inspect.Parameter.KEYWORD_ONLY
    return inspect.Parameter(name, keyword, annotation=annotation, default=default)
