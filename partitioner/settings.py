"""How a program of ours is told what to do: flags over environment over file over the defaults."""

import tomllib
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from protos.errors import UsageError


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
        raise UsageError(_sentence(kind, name, first["type"], first["msg"])) from error
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"the settings file {config} cannot be read: {error}.") from error


def _with_file(kind: type[S], config: Path | None) -> type[S]:
    if config is None:
        return kind
    if not config.is_file():
        raise UsageError(f"there is no settings file {config}. Give a TOML file, or no --config.")
    model_config = SettingsConfigDict(**{**kind.model_config, "toml_file": config})
    return type("_FromFile", (kind,), {"model_config": model_config, "__module__": __name__})


def _sentence(kind: type[Settings], name: str, problem: str, message: str) -> str:
    flag = f"--{name.replace('_', '-')}"
    if problem == "missing":
        variable = f"{kind.model_config.get('env_prefix', '')}{name}".upper()
        return f"{flag} is missing. Give it, or set {variable}."
    if problem == "extra_forbidden":
        return f"there is no setting {name!r}. There are: {', '.join(kind.model_fields)}."
    return f"{flag} is wrong: {message}."
