"""The body in the data centre: tails behind the Open Inference Protocol.

from cloud_server import CloudServer

with CloudServer("bundles/", listen="127.0.0.1:0") as server:
    print(server.address)
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cloud_server.server import CloudServer

__all__ = ["CloudServer"]


def __getattr__(name: str) -> Any:
    # Lazy, so that the light commands of `splitpoint-cloud` do not wait for the runtime.
    if name == "CloudServer":
        from cloud_server.server import CloudServer

        return CloudServer
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
