"""The body on the device: frames in, head, stream, results out."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edge_client.client import AsyncEdgeClient
    from edge_client.results import Result, ServedBy, Timings
    from edge_client.sync import EdgeClient

__all__ = ["AsyncEdgeClient", "EdgeClient", "Result", "ServedBy", "Timings"]

_HOMES = {
    "AsyncEdgeClient": "edge_client.client",
    "EdgeClient": "edge_client.sync",
    "Result": "edge_client.results",
    "ServedBy": "edge_client.results",
    "Timings": "edge_client.results",
}


def __getattr__(name: str) -> Any:
    # Loaded when asked for: the relay and the frame sources need neither gRPC nor a runtime.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
