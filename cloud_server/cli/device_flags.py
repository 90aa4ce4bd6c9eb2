"""Flags that the commands `splitpoint-cloud devices …` share."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from partitioner.settings.panels import LIMITS, OUTPUT, SECURITY
from partitioner.terminal.flags import flag
from protos.errors import UsageError

if TYPE_CHECKING:
    from cloud_server.security.registered_device import Limits

N = TypeVar("N", int, float)

ROLES = ("infer", "fetch", "telemetry", "profile", "admin")

DevicesFile = Annotated[
    Path,
    flag(
        "The file of devices, as splitpoint-cloud serve takes it; made if there is none.",
        "FILE",
        "--devices",
        envvar="SPLITPOINT_CLOUD_DEVICES",
    ),
]
DeviceName = Annotated[str, typer.Argument(metavar="NAME", help="The device.", show_default=False)]
TokenFile = Annotated[
    Path | None,
    flag(
        "Write the token there, for its owner alone, and not on stdout.",
        "FILE",
        panel=OUTPUT,
        default="stdout",
    ),
]
Expires = Annotated[
    str | None,
    flag(
        "For how long the token is good.", "TIME", "--expires", panel=SECURITY, default="for ever"
    ),
]
Models = Annotated[
    list[str] | None,
    flag(
        "A model that it may use, with its tails; * and ? stand for letters. May be repeated.",
        "NAME",
        "--model",
        panel=SECURITY,
        default="all",
    ),
]


_LIFTED = "default"
_AS_SAID = "as it is; of a new device as the server says"


@dataclass(frozen=True)
class LimitFlags:
    """What one device may take; None: nothing is said, `default`: as the server says from now on."""

    streams: Annotated[
        str | None,
        flag(
            "Calls that stay open at once, or default for what the server says.",
            "N|default",
            panel=LIMITS,
            default=_AS_SAID,
        ),
    ] = None
    requests_per_s: Annotated[
        str | None,
        flag("Requests in a second, or default.", "N|default", panel=LIMITS, default=_AS_SAID),
    ] = None
    bytes_per_s: Annotated[
        str | None,
        flag(
            "Bytes of requests in a second, as 10MiB, or default.",
            "SIZE|default",
            panel=LIMITS,
            default=_AS_SAID,
        ),
    ] = None

    def read(self) -> "Limits":
        """Return the limits; UsageError for one that lets nothing through, or is none."""
        from cloud_server.security.registered_device import Limits
        from partitioner.common.units import parse_size

        return Limits(
            streams=_limit("--streams", self.streams, int),
            requests_per_s=_limit("--requests-per-s", self.requests_per_s, float),
            bytes_per_s=_limit("--bytes-per-s", self.bytes_per_s, parse_size),
        )

    @property
    def lifted(self) -> frozenset[str]:
        """The limits that are to be as the server says."""
        return frozenset(name for name, given in vars(self).items() if given == _LIFTED)


def _limit(name: str, text: str | None, read: Callable[[str], N]) -> N | None:
    if text is None or text == _LIFTED:
        return None
    try:
        limit = read(text)
    except ValueError:
        raise UsageError(
            f"{name} {text} is no limit. Give a number above 0, or {_LIFTED} for what the server says."
        ) from None
    if not 0 < limit < float("inf"):
        raise UsageError(
            f"a limit of {limit:g} lets nothing through. Give a number above 0, or {_LIFTED} for what the "
            "server says."
        )
    return limit
