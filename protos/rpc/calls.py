"""Calls to a server: the channel, and the errors of one that failed."""

import grpc

from protos.errors import SplitpointError, UnreachableError
from protos.rpc.addresses import check_server
from protos.rpc.channels import channel_options
from protos.rpc.message_limits import DEFAULT_MAX_MESSAGE_BYTES
from protos.rpc.status import error_from


def open_channel(address: str) -> grpc.Channel:
    """Return a connection to the server at `address`, for calls that wait for their answer.

    Raises UsageError when the address is none.
    """
    return grpc.insecure_channel(check_server(address), channel_options(DEFAULT_MAX_MESSAGE_BYTES))


def translate(failure: grpc.RpcError, address: str) -> SplitpointError:
    """Return our error for a failed unary call to `address`: no server there, or what the server said."""
    code, details = failure.code(), failure.details() or ""
    if code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
        return UnreachableError(
            f"no cloud server answers at {address} ({details or code.name}). Start one with: "
            f"splitpoint-cloud serve --bundles DIR --listen {address}, or check address and network."
        )
    return error_from(code, details or code.name)
