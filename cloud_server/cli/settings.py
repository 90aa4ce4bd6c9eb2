"""What the server can be told: flags over environment over file over the defaults."""

import math
import os
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field
from pydantic_settings import NoDecode, SettingsConfigDict

from cloud_server import defaults
from partitioner.common.settings import Address, Duration, MemorySize, MessageSize, Settings, load
from partitioner.common.units import parse_duration, parse_size

ENV_PREFIX = "SPLITPOINT_CLOUD_"


def available_cores() -> int:
    """Return the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _split_list(value: object) -> object:
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


class ServeSettings(Settings):
    """All settings of `splitpoint-cloud serve`; each may come as SPLITPOINT_CLOUD_<NAME>."""

    model_config = SettingsConfigDict(env_prefix=ENV_PREFIX)

    bundles: Path
    """A folder of bundle folders, or one bundle."""
    listen: Address = defaults.LISTEN
    workers: int = Field(default_factory=available_cores, ge=1)
    """Inferences that run at the same time; default: one for each core."""
    threads: int = Field(default=defaults.THREADS, ge=1)
    """Intra-op threads of one inference."""
    provider: str = defaults.PROVIDER
    max_message: MessageSize = defaults.MAX_MESSAGE
    """Larger requests are refused."""
    max_decoded: MemorySize = None
    """Requests whose coded inputs unfold to more are refused, unless it is one sample; not given: as much
    as a message may hold."""
    max_sessions: int = Field(default=defaults.MAX_SESSIONS, ge=1)
    """Tails kept in memory; the one not used for longest goes first."""
    memory: MemorySize = None
    """What all loaded tails may take together, such as 2GiB; not given: only their number counts."""
    stream_window: int = Field(default=defaults.STREAM_WINDOW, ge=1)
    """Requests of one stream that are in the server at the same time."""
    max_queue: int = Field(default=defaults.MAX_QUEUE, ge=1)
    """Requests that may be in the server at the same time; more are refused, to be tried elsewhere."""
    preload: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split_list)] = ()
    """Cuts (of every bundle that has them) or model names to load before the first request."""
    drain: Duration = defaults.DRAIN
    """How long requests in flight may take to finish once the server is told to stop."""
    http: str = ""
    """HOST:PORT of the REST health, metadata and metrics; empty: off."""
    log_level: Literal["debug", "info", "warning", "error"] = defaults.LOG_LEVEL

    @property
    def max_message_bytes(self) -> int:
        """`max_message` in bytes."""
        return parse_size(self.max_message)

    @property
    def max_decoded_bytes(self) -> int:
        """`max_decoded` in bytes; `max_message` if it is not given."""
        return parse_size(self.max_decoded) if self.max_decoded else self.max_message_bytes

    @property
    def memory_bytes(self) -> float:
        """`memory` in bytes; infinite if it is not given."""
        return parse_size(self.memory) if self.memory else math.inf

    @property
    def drain_s(self) -> float:
        """`drain` in seconds."""
        return parse_duration(self.drain)


def load_settings(config: Path | None = None, **given: Any) -> ServeSettings:
    """Return the settings from arguments (None: not given), the environment and the TOML file `config`.

    Raises UsageError, which names the setting and what is wrong with it.
    """
    return load(ServeSettings, config, given)
