"""The flags by which a command that asks a server is told how its connection is secured."""

import inspect
import os
from collections.abc import Callable
from typing import Any

from partitioner.settings.connection_options import ConnectionOptions
from partitioner.settings.declaration import Declared, make, writable
from partitioner.settings.loader import EDGE_PREFIX
from partitioner.terminal.settings_flags import flag_from
from protos.errors import UsageError

_YES = ("1", "true", "yes", "on")
_NO = ("0", "false", "no", "off")


def secures_connections(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command these flags in place of its parameter `security`, a ChannelSecurity.

    Where a flag is not given, the variable counts by which `splitpoint-edge run` is told the same.
    """
    options = writable(ConnectionOptions)

    def called(**given: Any) -> Any:
        values = {one.name: _value(one, given.pop(one.key, None)) for one in options}
        return command(**given, security=make(ConnectionOptions, values).security)

    called.__name__, called.__doc__ = command.__name__, command.__doc__
    own = inspect.signature(command, eval_str=True).parameters
    keyword = inspect.Parameter.KEYWORD_ONLY
    called.__signature__ = inspect.Signature(  # type: ignore[attr-defined]  # typer reads it
        [
            *(one.replace(kind=keyword) for one in own.values() if one.name != "security"),
            *(flag_from(one) for one in options if not one.is_secret),
        ]
    )
    return called


def _value(one: Declared, given: Any) -> Any:
    variable = f"{EDGE_PREFIX}{one.key}".upper()
    told = os.environ.get(variable)
    if given is not None or not told:
        return one.read(one.written_default if given is None else given)
    if one.kind.base is not bool:
        return one.read(told, f"the variable {variable}")
    if told.lower() not in (*_YES, *_NO):
        raise UsageError(f"the variable {variable} is {told!r}. Give true or false.")
    return told.lower() in _YES
