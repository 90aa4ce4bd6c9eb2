"""How a program of ours is told what to do: flags over environment over file over the defaults."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, ValidationError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from partitioner.common.defaults import DEFAULT_MAX_MESSAGE
from partitioner.common.units import parse_duration, parse_size
from protos.errors import UsageError
from protos.rpc.addresses import split_address
from protos.rpc.message_limits import LEAST_MESSAGE_BYTES


def _check_address(text: str) -> str:
    split_address(text)
    return text


def _check_message(text: str) -> str:
    if (found := parse_size(text)) < LEAST_MESSAGE_BYTES:
        raise UsageError(
            f"a message limit of {found} bytes lets nothing through. Give at least 1KiB; "
            f"{DEFAULT_MAX_MESSAGE} suits most models."
        )
    return text


def _check_memory(text: str | None) -> str | None:
    if text is not None:
        parse_size(text)
    return text


def _check_duration(text: str) -> str:
    parse_duration(text)
    return text


Address = Annotated[str, AfterValidator(_check_address)]
"""HOST:PORT to listen on."""

MessageSize = Annotated[str, AfterValidator(_check_message)]
"""The largest message that is taken, such as 64MiB."""

MemorySize = Annotated[str | None, AfterValidator(_check_memory)]
"""Such as 500MB; None: not bounded."""

Duration = Annotated[str, AfterValidator(_check_duration)]
"""Such as 10s."""


class Settings(BaseSettings):
    """The base of each program's one settings class; `env_prefix` is in its model_config."""

    model_config = SettingsConfigDict(frozen=True, extra="forbid")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Flags over environment over the file, if one is given."""
        del dotenv_settings, file_secret_settings
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls)


S = TypeVar("S", bound=Settings)


def load(kind: type[S], config: Path | None, given: dict[str, Any]) -> S:
    """Return the settings from flags (None: not given), the environment and the TOML file `config`.

    Raises UsageError, which names the setting and what is wrong with it.
    """
    chosen = {name: value for name, value in given.items() if value is not None}
    try:
        return _with_file(kind, config)(**chosen)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(map(str, first["loc"]))
        raise UsageError(_sentence(kind, name, first)) from error
    except (OSError, ValueError) as error:  # no TOML, or no text at all
        raise UsageError(f"the settings file {config} cannot be read: {error}.") from error


def _with_file(kind: type[S], config: Path | None) -> type[S]:
    if config is None:
        return kind
    if not config.is_file():
        raise UsageError(f"there is no settings file {config}. Give a TOML file, or no --config.")
    model_config = SettingsConfigDict(**{**kind.model_config, "toml_file": config})
    return type("_FromFile", (kind,), {"model_config": model_config, "__module__": __name__})


def _sentence(kind: type[Settings], name: str, error: Mapping[str, object]) -> str:
    flag, problem = f"--{name.replace('_', '-')}", error["type"]
    if problem == "missing":
        variable = f"{kind.model_config.get('env_prefix', '')}{name}".upper()
        return f"{flag} is missing. Give it, or set {variable}."
    if problem == "extra_forbidden":
        return f"there is no setting {name!r}. There are: {', '.join(kind.model_fields)}."
    return f"{flag} is wrong: {error['msg']}, and {error['input']!r} was given."
