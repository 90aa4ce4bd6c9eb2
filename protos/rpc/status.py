"""Errors as gRPC status codes and back: the one table that both machines agree on."""

import grpc

from protos.errors import (
    BundleError,
    CalibrationError,
    CallerError,
    DeniedError,
    FaultError,
    LateError,
    MeasuringError,
    MismatchError,
    OverloadedError,
    QuotaError,
    SplitpointError,
    TensorError,
    TooLargeError,
    UnauthenticatedError,
    UnknownNameError,
    UnreachableError,
)
from protos.rpc.message_limits import is_over_limit

_CODES: tuple[tuple[type[SplitpointError], grpc.StatusCode], ...] = (
    (UnknownNameError, grpc.StatusCode.NOT_FOUND),
    (TensorError, grpc.StatusCode.INVALID_ARGUMENT),
    (MismatchError, grpc.StatusCode.FAILED_PRECONDITION),
    (TooLargeError, grpc.StatusCode.OUT_OF_RANGE),
    (OverloadedError, grpc.StatusCode.RESOURCE_EXHAUSTED),
    # What nobody here has cancelled was dropped by a server that stops, or has more calls than it takes.
    (OverloadedError, grpc.StatusCode.CANCELLED),
    (UnauthenticatedError, grpc.StatusCode.UNAUTHENTICATED),
    (DeniedError, grpc.StatusCode.PERMISSION_DENIED),
    (LateError, grpc.StatusCode.DEADLINE_EXCEEDED),
    (UnreachableError, grpc.StatusCode.UNAVAILABLE),
    (BundleError, grpc.StatusCode.DATA_LOSS),
    (CallerError, grpc.StatusCode.INVALID_ARGUMENT),
    (FaultError, grpc.StatusCode.INTERNAL),
)


OTHER_CALIBRATION = "the edge's calibration"
"""What a refusal for another calibration begins with: it shares its code with that for another bundle."""


MEASURES = "measuring another profile"
"""A part of what a server says that does not measure for this caller now: it comes as overload, too."""
OVER_QUOTA = ", and asks for more. "
"""What a refusal for a device's own quota holds: it shares its code with that for a server that is full."""
_OVERLOADS: tuple[tuple[str, type[OverloadedError]], ...] = (
    (OVER_QUOTA, QuotaError),
    (MEASURES, MeasuringError),
)


def code_of(error: SplitpointError) -> grpc.StatusCode:
    """Return the status code that carries `error` across the wire."""
    return next(
        (code for kind, code in _CODES if isinstance(error, kind)), grpc.StatusCode.INTERNAL
    )


def error_from(
    code: grpc.StatusCode | str, message: str, retry_after_ms: float = 0
) -> SplitpointError:
    """Return the error that a peer meant by `code` (or its name) and the public sentence `message`.

    `retry_after_ms`: when it takes more again, if it has said so with a refusal for overload.
    """
    name = code if isinstance(code, str) else code.name
    if is_over_limit(message):
        return TooLargeError(
            f"{message}. Send a smaller frontier (another cut or codec), or raise --max-message "
            "on the side that refused."
        )
    kind = next((kind for kind, known in _CODES if known.name == name), FaultError)
    if kind is MismatchError and message.startswith(OTHER_CALIBRATION):
        return CalibrationError(message)
    if kind is OverloadedError:
        kind = next((told for part, told in _OVERLOADS if part in message), OverloadedError)
        return kind(message, max(0.0, retry_after_ms / 1e3))
    return kind(message)
