"""The methods that Serve's proxies take and pass on to replicas, as bytes.

The proxies load this by its name; `add_methods` goes to `grpc_servicer_functions` of Serve's gRPC options.
"""

from collections.abc import Mapping
from typing import Any

import grpc

from protos import splitpoint_pb2
from protos.serving import inference

HEALTH = "grpc.health.v1.Health"
SPLITPOINT = splitpoint_pb2.DESCRIPTOR.services_by_name["Splitpoint"].full_name

METHODS: Mapping[str, tuple[str, ...]] = {
    inference.SERVICE: (
        "ServerLive",
        "ServerReady",
        "ServerMetadata",
        "ModelReady",
        "ModelMetadata",
        "ModelConfig",
        "ModelInfer",
    ),
    SPLITPOINT: ("GetServerInfo", "ListBundles", "Probe"),
    HEALTH: ("Check",),
}
"""By service: calls of one request and one answer, each of which may go to another replica.

A stream would stay with one replica for as long as a device is on, and count there as one request.
"""

STREAMS: Mapping[str, tuple[str, ...]] = {
    SPLITPOINT: ("FetchBundle", "MeasureProfile"),
}
"""By service: calls of one request and many answers, all from one replica."""

ADD_METHODS = f"{__name__}.add_methods"


def _elsewhere(_request: object, _call: object) -> None:
    """Stand for what the proxy puts in."""


def add_methods(_servicer: object, server: Any) -> None:
    """Register the methods with the server of a proxy, which puts its own behaviour in.

    Requests are not decoded there: replicas get them as they came.
    """
    for kinds, handler_of in (
        (METHODS, grpc.unary_unary_rpc_method_handler),
        (STREAMS, grpc.unary_stream_rpc_method_handler),
    ):
        for service, names in kinds.items():
            handlers: Any = {name: handler_of(_elsewhere) for name in names}
            made = grpc.method_handlers_generic_handler(service, handlers)
            server.add_generic_rpc_handlers((made,))
