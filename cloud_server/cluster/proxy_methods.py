"""The methods that Serve's proxies take and pass on to replicas, as bytes.

The proxies load this by its name; `add_methods` goes to `grpc_servicer_functions` of Serve's gRPC options.
"""

from collections.abc import Mapping
from typing import Any

import grpc

from protos.serving.inference import SERVICE

HEALTH = "grpc.health.v1.Health"

METHODS: Mapping[str, tuple[str, ...]] = {
    SERVICE: (
        "ServerLive",
        "ServerReady",
        "ServerMetadata",
        "ModelReady",
        "ModelMetadata",
        "ModelConfig",
        "ModelInfer",
    ),
    HEALTH: ("Check",),
}
"""By service: calls of one request and one answer, each of which may go to another replica.

A stream would stay with one replica for as long as a device is on, and count there as one request.
"""

ADD_METHODS = f"{__name__}.add_methods"


def _elsewhere(_request: object, _call: object) -> None:
    """Stand for what the proxy puts in."""


def add_methods(_servicer: object, server: Any) -> None:
    """Register the methods with the server of a proxy, which puts its own behaviour in.

    Requests are not decoded there: replicas get them as they came.
    """
    for service, names in METHODS.items():
        handlers: Any = {name: grpc.unary_unary_rpc_method_handler(_elsewhere) for name in names}
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))
