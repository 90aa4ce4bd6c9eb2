"""The brain: graphs, cuts, profiles, costs and plans, as pure functions over plain data.

from partitioner import Bundle, Link, Profile, plan
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from partitioner.bundle import Bundle
    from partitioner.decisions import Decision, decide
    from partitioner.devices import Device, Radio, load_device, load_radio
    from partitioner.link import Link
    from partitioner.objectives import Costs, Objective, Prices, Terms, price
    from partitioner.planning import Option, Plan, plan
    from partitioner.profiles import Profile

__all__ = [
    "Bundle",
    "Costs",
    "Decision",
    "Device",
    "Link",
    "Objective",
    "Option",
    "Plan",
    "Prices",
    "Profile",
    "Radio",
    "Terms",
    "decide",
    "load_device",
    "load_radio",
    "plan",
    "price",
]

_HOME = {
    "Bundle": "bundle",
    "Costs": "objectives",
    "Decision": "decisions",
    "Device": "devices",
    "Link": "link",
    "Objective": "objectives",
    "Option": "planning",
    "Plan": "planning",
    "Prices": "objectives",
    "Profile": "profiles",
    "Radio": "devices",
    "Terms": "objectives",
    "decide": "decisions",
    "load_device": "devices",
    "load_radio": "devices",
    "plan": "planning",
    "price": "objectives",
}


def __getattr__(name: str) -> Any:
    # On demand, so that a command which needs one part does not load them all.
    if name in _HOME:
        return getattr(import_module(f"partitioner.{_HOME[name]}"), name)
    raise AttributeError(f"module 'partitioner' has no attribute {name!r}")
