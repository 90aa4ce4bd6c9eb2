"""The settings of `splitpoint-cloud serve`: a server's options, and what only the command has."""

from dataclasses import dataclass

from cloud_server import defaults
from cloud_server.options import ServerOptions
from partitioner.settings.declaration import Options, group, option
from partitioner.settings.kinds import ADDRESS
from partitioner.settings.loader import CLOUD_PREFIX, Program
from partitioner.settings.panels import LINK


@dataclass(frozen=True, kw_only=True)
class ServeSettings(Options):
    """All settings of `splitpoint-cloud serve`; each may come as SPLITPOINT_CLOUD_<NAME>."""

    server: ServerOptions = group(ServerOptions, listen=defaults.LISTEN, watch=True)
    http: str | None = option(
        None, "Address of REST: inference, health, metrics.", ADDRESS, none="off", panel=LINK
    )


PROGRAM = Program("splitpoint-cloud", CLOUD_PREFIX, {"serve": ServeSettings})
