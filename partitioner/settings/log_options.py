"""How any command of ours logs, declared once for all."""

from dataclasses import dataclass
from typing import Literal, get_args

from partitioner.settings.declaration import Options, option
from partitioner.settings.kinds import one_of
from partitioner.settings.panels import LOGS

Level = Literal["debug", "info", "warning", "error"]
Format = Literal["text", "json"]


@dataclass(frozen=True)
class LogOptions(Options):
    """What a command says of its work on stderr, and how."""

    log_level: Level = option(
        "info",
        "The least that is said on stderr, remarks included; of libraries, warnings and errors at most.",
        one_of(*get_args(Level)),
        panel=LOGS,
    )
    log_format: Format = option(
        "text",
        "Lines on stderr: text for people, or json, one object an event, remarks included.",
        one_of(*get_args(Format)),
        panel=LOGS,
    )
