"""Split inference between a device and a cloud: cut a model, plan the cut, and run it.

    from splitpoint import Bundle, EdgeClient, Link, plan

Each name is loaded when it is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cloud_server.server import CloudServer
    from edge_client.client.async_client import AsyncEdgeClient
    from edge_client.client.sync_client import EdgeClient
    from edge_client.frames.result import Result
    from partitioner.bundle.bundle import Bundle
    from partitioner.network.link import Link
    from partitioner.planning.plan import plan
    from partitioner.profiles.profile import Profile

__all__ = [
    "AsyncEdgeClient",
    "Bundle",
    "CloudServer",
    "EdgeClient",
    "Link",
    "Profile",
    "Result",
    "plan",
]

_HOMES = {
    "AsyncEdgeClient": "edge_client.client.async_client",
    "Bundle": "partitioner.bundle.bundle",
    "CloudServer": "cloud_server.server",
    "EdgeClient": "edge_client.client.sync_client",
    "Link": "partitioner.network.link",
    "Profile": "partitioner.profiles.profile",
    "Result": "edge_client.frames.result",
    "plan": "partitioner.planning.plan",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return list(__all__)
