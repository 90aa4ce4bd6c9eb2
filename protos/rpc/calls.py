"""Calls to a server: the channel, and the errors of one that failed."""

import grpc

from protos.errors import FaultError, SplitpointError, UnreachableError
from protos.rpc.addresses import check_server
from protos.rpc.channels import channel_options
from protos.rpc.message_limits import DEFAULT_MAX_MESSAGE_BYTES
from protos.rpc.status import error_from


def open_channel(address: str) -> grpc.Channel:
    """Return a connection to the server at `address`, for calls that wait for their answer.

    Raises UsageError when the address is none.
    """
    return grpc.insecure_channel(check_server(address), channel_options(DEFAULT_MAX_MESSAGE_BYTES))


_CAUSES = (
    ("Connection refused", "refuses connections"),
    ("errors resolving", "has a name that cannot be resolved"),
    ("DNS resolution failed", "has a name that cannot be resolved"),
    ("Name resolution failure", "has a name that cannot be resolved"),
    ("frame type", "speaks another protocol than gRPC"),
    ("http1", "speaks another protocol than gRPC"),
    ("failed to connect to all addresses; last error: UNAVAILABLE", "hangs up at once, as a server that "
     "wants TLS does, or a proxy without one behind it"),
    ("before receiving SETTINGS", "takes connections and says nothing"),
    ("DEADLINE_EXCEEDED", "does not answer in time"),
    ("Deadline Exceeded", "does not answer in time"),
    ("No route to host", "cannot be reached from this network"),
    ("Network is unreachable", "cannot be reached from this network"),
)  # fmt: skip
"""What gRPC says of a connection that fails, and what that means of the cloud; the first that fits."""


def unreachable(text: str, details: str) -> UnreachableError:
    """Return the error with this text whose cause is what gRPC's `details` mean."""
    return UnreachableError(
        text, next((cause for said, cause in _CAUSES if said in details), "is away")
    )


def translate(failure: grpc.RpcError, address: str) -> SplitpointError:
    """Return our error for a failed unary call to `address`: no server there, or what the server said."""
    code, details = failure.code(), failure.details() or ""
    if code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
        return unreachable(
            f"no cloud server answers at {address} ({details or code.name}). Start one with: "
            f"splitpoint-cloud serve --bundles DIR --listen {address}, or check address and network.",
            details or code.name,
        )
    if code is grpc.StatusCode.UNIMPLEMENTED:
        return FaultError(
            f"the server at {address} does not know this call ({details or code.name}): it is no "
            "splitpoint-cloud, or an older one; a local server of splitpoint-edge or a standard one knows "
            "models alone. Give the address of a splitpoint-cloud serve."
        )
    return error_from(code, details or code.name)
