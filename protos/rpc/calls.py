"""Calls that failed: the errors that they are to us."""

from typing import Any

import grpc

from protos.errors import FaultError, SplitpointError, UnauthenticatedError, UnreachableError
from protos.names import RETRY_AFTER_TRAILER
from protos.rpc.endpoints import Endpoint
from protos.rpc.refused_connections import meaning_of
from protos.rpc.status import error_from

_OTHER_PROTOCOL = "speaks another protocol than gRPC"
STOPS = "is shutting down"
_CAUSES = (
    ("server is shutting down", STOPS),
    ("Connection refused", "refuses connections"),
    ("errors resolving", "has a name that cannot be resolved"),
    ("DNS resolution failed", "has a name that cannot be resolved"),
    ("Name resolution failure", "has a name that cannot be resolved"),
    ("frame type", _OTHER_PROTOCOL),
    ("http1", _OTHER_PROTOCOL),
    ("failed to connect to all addresses; last error: UNAVAILABLE", "hangs up at once"),
    ("before receiving SETTINGS", "takes connections and says nothing"),
    ("DEADLINE_EXCEEDED", "does not answer in time"),
    ("Deadline Exceeded", "does not answer in time"),
    ("No route to host", "cannot be reached from this network"),
    ("Network is unreachable", "cannot be reached from this network"),
)  # fmt: skip
"""What gRPC says of a connection that fails, and what that means of the cloud; the first that fits."""


def unreachable(text: str, details: str, server: Endpoint) -> UnreachableError:
    """Return the error of a `server` that could not be asked, from what gRPC's `details` mean.

    Its text is `text`, unless the details tell of something wrong with how the connection is secured.
    """
    if (meaning := meaning_of(details, server.security)) is not None:
        return UnreachableError(
            f"the server at {server} {meaning.cause}. {meaning.remedy}",
            meaning.cause,
            needs_a_person=meaning.needs_a_person,
        )
    cause = next((cause for said, cause in _CAUSES if said in details), "is away")
    if cause == STOPS:
        text = f"the server at {server} is shutting down, as it was told to. Wait for it, or for another."
    return UnreachableError(text, cause, needs_a_person=cause == _OTHER_PROTOCOL)


def translate(failure: grpc.RpcError, server: Endpoint) -> SplitpointError:
    """Return our error for a failed unary call to `server`: nobody there, or what it said."""
    code, details = failure.code(), failure.details() or ""
    if code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
        return unreachable(
            f"no cloud server answers at {server} ({details or code.name}). Start one with: "
            f"splitpoint-cloud serve --bundles DIR --listen {server}, or check address and network.",
            details or code.name,
            server,
        )
    if code is grpc.StatusCode.UNIMPLEMENTED:
        return FaultError(
            f"the server at {server} does not know this call ({details or code.name}): it is no "
            "splitpoint-cloud, or an older one; a local server of splitpoint-edge or a standard one knows "
            "models alone. Give the address of a splitpoint-cloud serve."
        )
    return refused(code, details or code.name, server, _retry_after_ms(failure))


def refused(
    code: grpc.StatusCode, text: str, server: Endpoint, retry_after_ms: float = 0
) -> SplitpointError:
    """Return the error that a `server` meant; one that asks who calls speaks of headers, and we of files."""
    error, security = error_from(code, text, retry_after_ms), server.security
    shows = security.token or security.token_file or security.files.cert
    if isinstance(error, UnauthenticatedError) and not shows:
        return UnauthenticatedError(
            f"the server at {server} asks who calls, and this device shows no token. Give the file of its "
            "own as `token_file`, or its certificate as `tls_cert` and `tls_key`. Where the "
            "server is, they are made with: splitpoint-cloud devices create."
        )
    return error


def _retry_after_ms(failure: grpc.RpcError) -> float:
    """Return what the trailers of a refused call say; 0 where they say nothing that is a number."""
    trailers: Any = failure.trailing_metadata() or ()
    said = str(dict(trailers).get(RETRY_AFTER_TRAILER, ""))
    return float(said) if said.isascii() and said.isdigit() else 0.0
