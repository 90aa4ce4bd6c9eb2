"""Flags that the commands `splitpoint-cloud devices …` share."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from partitioner.settings.panels import LIMITS, OUTPUT, SECURITY
from partitioner.terminal.flags import flag
from protos.errors import UsageError

if TYPE_CHECKING:
    from cloud_server.security.registered_device import Limits

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


@dataclass(frozen=True)
class LimitFlags:
    """What one device may take; None: as the server says."""

    streams: Annotated[
        int | None,
        flag(
            "Calls that stay open at once.", "N", panel=LIMITS, default="as the server says", min=1
        ),
    ] = None
    requests_per_s: Annotated[
        float | None,
        flag("Requests in a second.", "N", panel=LIMITS, default="as the server says"),
    ] = None
    bytes_per_s: Annotated[
        str | None,
        flag(
            "Bytes of requests in a second, as 10MiB.",
            "SIZE",
            panel=LIMITS,
            default="as the server says",
        ),
    ] = None

    def read(self) -> "Limits":
        """Return the limits; UsageError for one that lets nothing through."""
        from cloud_server.security.registered_device import Limits
        from partitioner.common.units import parse_size

        size = None if self.bytes_per_s is None else parse_size(self.bytes_per_s)
        return Limits(
            streams=self.streams,
            requests_per_s=_above_zero(self.requests_per_s),
            bytes_per_s=_above_zero(size),
        )


def _above_zero(limit: float | None) -> float | None:
    if limit is not None and not 0 < limit < float("inf"):
        raise UsageError(f"a limit of {limit:g} a second lets nothing through. Give more than 0.")
    return limit
