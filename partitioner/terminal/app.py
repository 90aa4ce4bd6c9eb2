"""The manners that all our commands share: completion, flags refused, words in the help."""

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any, ClassVar

import typer
import typer.main
from typer.core import TyperCommand, TyperGroup

from partitioner.common.units import plural
from partitioner.terminal.flag_names import flags_in_errors
from partitioner.terminal.flags import spread
from partitioner.terminal.refusals import refusals_as_errors
from partitioner.terminal.settings_flags import logged
from protos.errors import UsageError


def _without_types(params: list[Any]) -> list[Any]:
    """Leave out of the help that a flag without a value is a `bool`, and BUNDLE a `path`."""
    for one in params:
        if getattr(one, "is_flag", False) and one.metavar is None:
            one.metavar = ""
        if one.param_type_name == "argument" and one.metavar:
            one.display_type_rich = _no_type
    return params


def _no_type(ctx: Any) -> str:  # noqa: ARG001 - as typer calls it
    return ""


class _Command(TyperCommand):
    """Refuses a flag whose value is given twice, as the last would win without a word; and
    one whose value is empty, as of a variable that is not set, where that has no meaning."""

    def get_params(self, ctx: Any) -> list[Any]:
        return _without_types(super().get_params(ctx))

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if not ctx.resilient_parsing:  # and not while a shell completes what is half written
            self._check(ctx, args)
        return super().parse_args(ctx, args)

    def make_context(self, info_name: str | None, args: list[str], *rest: Any, **more: Any) -> Any:
        with flags_in_errors(), refusals_as_errors(self, args):
            return super().make_context(info_name, args, *rest, **more)

    def invoke(self, ctx: Any) -> Any:
        with flags_in_errors():
            return super().invoke(ctx)

    def _check(self, ctx: Any, args: list[str]) -> None:
        found, _, given = self.make_parser(ctx).parse_args(args=list(args))
        values: list[Any] = [
            one for one in given if one.param_type_name == "option" and not one.multiple
        ]
        for one in values:
            if values.count(one) > 1 and not one.is_flag and not one.count:
                raise UsageError(
                    f"{one.opts[0]} is given {plural(values.count(one), 'time')}. Give it once."
                )
            if found[one.name] == "" != one.default:
                raise UsageError(f"{one.opts[0]} is empty. Give a value, or leave it out.")


class _Group(TyperGroup):
    """Loads a command when it is asked for, so that none waits for the others' flags."""

    homes: ClassVar[Mapping[str, str]] = {}

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        unloaded: dict[str, Any] = dict.fromkeys(self.homes)
        self.commands = {**unloaded, **self.commands}

    def make_context(self, info_name: str | None, args: list[str], *rest: Any, **more: Any) -> Any:
        with refusals_as_errors(self, args):
            return super().make_context(info_name, args, *rest, **more)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        with refusals_as_errors(self, args):
            return super().resolve_command(ctx, args)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name in self.homes and self.commands[cmd_name] is None:
            self.commands[cmd_name] = _load(cmd_name, self.homes[cmd_name])
        return super().get_command(ctx, cmd_name)

    def get_params(self, ctx: Any) -> list[Any]:
        return _without_types(super().get_params(ctx))


def _load(name: str, home: str) -> Any:
    module, _, attribute = home.partition(":")
    found = getattr(import_module(module), attribute)
    if isinstance(found, typer.Typer):
        command: Any = typer.main.get_group(found)
    else:
        alone = _App(add_completion=False, rich_markup_mode="rich")
        alone.command(name)(found)
        command = typer.main.get_command(alone)
    command.name = name
    return command


class _App(typer.Typer):
    def command(self, name: str | None = None, **settings: Any) -> Any:
        """Register a command, with its groups of flags spread and those of logs; the function stays."""
        register = super().command(name, **{"cls": _Command, **settings})

        def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
            register(logged(spread(command)))
            return command

        return decorate


def new_app(commands: Mapping[str, str] | None = None, **settings: Any) -> typer.Typer:
    """Return a command group with the manners that all our commands share.

    `commands`: the name of each, in the order of the help, and its home, as `package.module:function`, or
    `package.module:app` of a group within.
    """
    return _App(
        cls=type("_Commands", (_Group,), {"homes": commands or {}}),
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode="rich",
        **settings,
    )
