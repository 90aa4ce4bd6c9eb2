"""The brain: graphs, cuts, profiles, costs and plans, as pure functions over plain data.

from partitioner import Bundle, Link, Profile, plan
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from partitioner.bundle import Bundle
    from partitioner.link import Link
    from partitioner.planning import Option, Plan, plan
    from partitioner.profiles import Profile

__all__ = ["Bundle", "Link", "Option", "Plan", "Profile", "plan"]

_HOME = {
    "Bundle": "bundle",
    "Link": "link",
    "Option": "planning",
    "Plan": "planning",
    "Profile": "profiles",
    "plan": "planning",
}


def __getattr__(name: str) -> Any:
    # On demand, so that a command which needs one part does not load them all.
    if name in _HOME:
        return getattr(import_module(f"partitioner.{_HOME[name]}"), name)
    raise AttributeError(f"module 'partitioner' has no attribute {name!r}")
