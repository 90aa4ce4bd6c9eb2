"""Split inference between a device and a cloud: cut a model, plan the cut, and run it.

    from splitpoint import Bundle, EdgeClient, Link, plan

Each name is loaded from its home when it is first used; until then nothing is.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cloud_server.server import CloudServer
    from edge_client.client.async_client import AsyncEdgeClient
    from edge_client.client.sync_client import EdgeClient
    from edge_client.frames.result import Result
    from partitioner.bundle.bundle import Bundle
    from partitioner.network.link import Link
    from partitioner.planning.plan import Plan, plan
    from partitioner.profiles.profile import Profile
    from partitioner.simulation.fleet.fleet_simulation import FleetSimulation
    from partitioner.simulation.fleet.what_if import simulate_fleet
    from partitioner.simulation.simulation import Simulation
    from partitioner.simulation.what_if import simulate
    from protos.errors import SplitpointError

__all__ = [
    "AsyncEdgeClient",
    "Bundle",
    "CloudServer",
    "EdgeClient",
    "FleetSimulation",
    "Link",
    "Plan",
    "Profile",
    "Result",
    "Simulation",
    "SplitpointError",
    "plan",
    "simulate",
    "simulate_fleet",
]

_HOMES = {
    "AsyncEdgeClient": "edge_client.client.async_client",
    "Bundle": "partitioner.bundle.bundle",
    "CloudServer": "cloud_server.server",
    "EdgeClient": "edge_client.client.sync_client",
    "FleetSimulation": "partitioner.simulation.fleet.fleet_simulation",
    "Link": "partitioner.network.link",
    "Plan": "partitioner.planning.plan",
    "Profile": "partitioner.profiles.profile",
    "Result": "edge_client.frames.result",
    "Simulation": "partitioner.simulation.simulation",
    "SplitpointError": "protos.errors",
    "plan": "partitioner.planning.plan",
    "simulate": "partitioner.simulation.what_if",
    "simulate_fleet": "partitioner.simulation.fleet.what_if",
}


if not TYPE_CHECKING:  # else no checker would see that a name is misspelt

    def __getattr__(name):
        if name not in _HOMES:
            raise AttributeError(_unknown(name))
        found = globals()[name] = getattr(import_module(_HOMES[name]), name)
        return found


def __dir__() -> list[str]:
    return list(__all__)


def _unknown(name: str) -> str:
    from difflib import get_close_matches

    # By small letters, so that `bundle` is near to `Bundle`.
    known = {each.lower(): each for each in __all__}
    near = [known[each] for each in get_close_matches(name.lower(), known, n=1)]
    nearest = f" The nearest is {near[0]!r}." if near else ""
    return f"module {__name__!r} has no attribute {name!r}.{nearest} It has: {', '.join(__all__)}."
