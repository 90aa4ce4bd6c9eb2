"""How a command of ours is told what to do: flags over environment over file over the defaults."""

import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from partitioner.common.faults import plain_words
from partitioner.common.nearest import nearest
from partitioner.settings.declaration import Declared, make, writable
from partitioner.settings.log_options import LogOptions
from partitioner.settings.panels import SECURITY
from protos.errors import FileError, UsageError, reason

PREFIX = "SPLITPOINT_"
EDGE_PREFIX, CLOUD_PREFIX = f"{PREFIX}EDGE_", f"{PREFIX}CLOUD_"

MASK = "***"
"""What is shown of a secret that was told."""

S = TypeVar("S")

# NAME=value of what orchestrators tell a container of services that are called as our programs.
_OF_A_SERVICE = (
    r"(?s).*_SERVICE_(HOST|PORT(_\w+)?)=.*|.*_PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?=.*"
    r"|.*_PORT=(tcp|udp|sctp)://.*|.*_NAME=/.*|.*_ENV_\w+=.*"
)


@dataclass(frozen=True)
class Program:
    """A program's commands that take settings: their classes by name, and what its variables begin with."""

    name: str
    prefix: str
    commands: Mapping[str, type]

    @property
    def keys(self) -> list[str]:
        """The settings that any of its commands has, as a file names them."""
        return list(dict.fromkeys(one.key for kind in self.commands.values() for one in told(kind)))

    @property
    def secrets(self) -> list[str]:
        """Those that only a variable gives."""
        return [one.key for kind in self.commands.values() for one in told(kind) if one.is_secret]

    def variable(self, key: str) -> str:
        """Return the variable that gives a setting."""
        return f"{self.prefix}{key}".upper()


@dataclass(frozen=True)
class Loaded(Generic[S]):
    """What a command was told."""

    settings: S
    logs: LogOptions
    written: dict[str, Any]
    """The same as people write it, by key; secrets masked."""


def told(kind: type) -> tuple[Declared, ...]:
    """Return all that a command with settings of this class can be told: these, and how it logs.

    How it is secured comes after the rest.
    """
    own = sorted(writable(kind), key=lambda one: one.about.panel == SECURITY)
    return (*own, *writable(LogOptions))


def load(
    program: Program, kind: type[S], given: Mapping[str, Any], config: Path | None = None
) -> Loaded[S]:
    """Return what a command is told.

    `given`: from flags, None where one is not given; `config`: a TOML file, whose keys are flags' names with
    `-` or `_`. A key of the file that only another command of the program knows is left to that one.
    Raises UsageError, which names the setting as it was given, and what is wrong with it; FileError for a
    file that is missing or no TOML.
    """
    in_file = _read(config, program) if config else {}

    def called(key: str) -> str:
        """Return what gave a setting: the flag, the variable, or the key in the file."""
        if given.get(key) is None and os.environ.get(program.variable(key)):
            return f"the variable {program.variable(key)}"
        if given.get(key) is None and key in in_file:
            return f"{key.replace('_', '-')} in {config}"
        return f"--{key.replace('_', '-')}"

    written = _gather(program, kind, given, in_file, called)
    values = {one.name: one.read(written[one.key], called(one.key)) for one in told(kind)}
    shown = written | {one.key: MASK for one in told(kind) if one.is_secret and written[one.key]}
    return Loaded(make(kind, values), make(LogOptions, values), shown)


def _gather(
    program: Program,
    kind: type,
    given: Mapping[str, Any],
    in_file: Mapping[str, Any],
    called: Callable[[str], str],
) -> dict[str, Any]:
    from pydantic import ValidationError

    _check_variables(program)
    chosen = {name: value for name, value in given.items() if value is not None}
    _check_keys(chosen, [one.key for one in told(kind)], "")
    model = _model(kind.__name__, told(kind), in_file)
    try:
        gathered: dict[str, Any] = model(_env_prefix=program.prefix, **chosen).model_dump(
            mode="json"
        )
    except ValidationError as error:
        raise UsageError(_sentence(program, error.errors()[0], called)) from error
    return gathered


def _read(config: Path, program: Program) -> dict[str, Any]:
    if not config.is_file():
        raise FileError(f"there is no settings file {config}. Give a TOML file, or no --config.")
    import tomllib

    try:
        with config.open("rb") as file:
            found = tomllib.load(file)
    except OSError as error:
        raise FileError(
            f"the settings file {config} cannot be read: {reason(error)}. Let this user read it."
        ) from error
    except ValueError as error:  # no TOML, or no text at all
        raise FileError(
            f"the settings file {config} is no TOML: {reason(error)}. docs/settings.md has a sample."
        ) from error
    _check_keys(found, program.keys, f"{config}: ")
    _check_spellings(found, config)
    for key in map(_plain, found):
        if key in program.secrets:
            raise UsageError(
                f"{config}: {key!r} is a secret, and does not belong into a file of settings. Give "
                f"{key}-file instead, or the variable {program.variable(key)}."
            )
    return {_plain(key): _joined(value) for key, value in found.items()}


def _check_spellings(found: Iterable[str], config: Path) -> None:
    first: dict[str, str] = {}
    for key in found:
        other = first.setdefault(_plain(key), key)
        if other != key:
            raise UsageError(f"{config}: {other!r} and {key!r} are one setting. Give it once.")


def _plain(key: str) -> str:
    return key.replace("-", "_")


def _joined(value: Any) -> Any:
    is_list = isinstance(value, list) and all(type(one) in (str, int) for one in value)
    return ",".join(map(str, value)) if is_list else value


def _model(name: str, options: Iterable[Declared], in_file: Mapping[str, Any]) -> Any:
    """Return a pydantic model of settings as they are written; what the file says are its defaults."""
    from pydantic import create_model
    from pydantic_settings import BaseSettings, SettingsConfigDict

    class Written(BaseSettings):
        model_config = SettingsConfigDict(
            extra="forbid", coerce_numbers_to_str=True, env_ignore_empty=True
        )

    fields: dict[str, Any] = {}
    for one in options:
        default = in_file.get(one.key, ... if one.required else one.written_default)
        fields[one.key] = (one.kind.base if one.required else one.kind.base | None, default)
    return create_model(name, __base__=Written, **fields)


def _check_keys(found: Iterable[str], known: list[str], where: str) -> None:
    for key in found:
        if _plain(key) not in known:
            names = [name.replace("_", "-") if "-" in key else name for name in known]
            raise UsageError(
                f"{where}there is no setting {key!r}. The nearest is {nearest(key, names)}; there are: "
                f"{', '.join(names)}."
            )


def _check_variables(program: Program) -> None:
    """Refuse variables that look like ours and are none.

    Other programs see to their own; empty ones count as not set; those of a service are the orchestrator's.
    """
    known = [program.variable(key) for key in program.keys]
    others = tuple({EDGE_PREFIX, CLOUD_PREFIX} - {program.prefix})
    for name, value in ((name.upper(), value) for name, value in os.environ.items()):
        ours = name.startswith(PREFIX) and not name.startswith(others) and name not in known
        if ours and value and not re.fullmatch(_OF_A_SERVICE, f"{name}={value}"):
            raise UsageError(
                f"the variable {name} is no setting of {program.name}. The nearest is "
                f"{nearest(name, known)}: call it so, or unset it."
            )


def _sentence(program: Program, error: Mapping[str, Any], called: Callable[[str], str]) -> str:
    key = ".".join(map(str, error["loc"]))
    if error["type"] == "missing":
        return f"{called(key)} is missing. Give it, or set {program.variable(key)}."
    return f"{called(key)} is wrong: {plain_words(error)}."
