"""The settings of `splitpoint-cloud serve`: a server's options, and what only the command has."""

from dataclasses import dataclass

from cloud_server import defaults
from cloud_server.cluster.options import ClusterOptions
from cloud_server.options import ServerOptions
from partitioner.settings.declaration import Options, group, option
from partitioner.settings.kinds import ADDRESS, TIME, count, words
from partitioner.settings.listener_options import insecure_option
from partitioner.settings.loader import CLOUD_PREFIX, Program
from partitioner.settings.panels import CLUSTER, LINK


@dataclass(frozen=True, kw_only=True)
class ServeSettings(Options):
    """All settings of `splitpoint-cloud serve`; each may come as SPLITPOINT_CLOUD_<NAME>."""

    server: ServerOptions = group(ServerOptions, listen=defaults.LISTEN, watch=True)
    http: str | None = option(
        None, "Address of REST: inference, health, metrics.", ADDRESS, none="off", panel=LINK
    )


@dataclass(frozen=True, kw_only=True)
class ClusterSettings(Options):
    """All settings of `splitpoint-cloud cluster`; each may come as SPLITPOINT_CLOUD_<NAME>."""

    tails: ClusterOptions = group(ClusterOptions)
    ray: str = option(
        "auto",
        "The cluster: HOST:PORT of its head, auto for the one that this machine is a node of, or local for "
        "one that begins and ends with this command.",
        words("HOST:PORT|auto|local"),
        panel=CLUSTER,
    )
    port: int = option(
        50051,
        "Port of gRPC at every node with replicas.",
        count("PORT"),
        panel=LINK,
        holds=lambda port: 0 < port < 1 << 16,
        wrong="{} is no port to listen at. Give 1 to 65535.",
    )
    http: str = option(
        "127.0.0.1:8000",
        "Address of Serve's own HTTP at these nodes, which says whether it is healthy: /-/healthz.",
        ADDRESS,
        panel=LINK,
    )
    ready_s: float = option(
        120.0,
        "How long it may take until a replica answers.",
        TIME,
        panel=CLUSTER,
        holds=lambda seconds: seconds > 0,
        wrong="{:g} s lets no replica start. Give more than 0.",
    )
    insecure: bool = insecure_option(
        "Let the proxies of Serve listen to other machines in the clear, which is all that they can."
    )


PROGRAM = Program(
    "splitpoint-cloud", CLOUD_PREFIX, {"serve": ServeSettings, "cluster": ClusterSettings}
)
