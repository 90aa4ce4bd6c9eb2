"""The absence of the cloud in words: what is so of a cloud that no frame goes to, by its last failure."""

from protos.errors import (
    BundleError,
    CalibrationError,
    DeniedError,
    FaultError,
    LateError,
    MeasuringError,
    MismatchError,
    NetworkError,
    OverloadedError,
    QuotaError,
    ServerError,
    SplitpointError,
    UnknownNameError,
    UnreachableError,
)

ABSENCES = (
    NetworkError,
    UnknownNameError,
    MismatchError,
    DeniedError,
    OverloadedError,
    FaultError,
)
"""What keeps a cloud from being used at the start, and is no fault of what the caller asks for."""

_IS: tuple[tuple[type[SplitpointError], str], ...] = (
    (CalibrationError, "has another calibration of this bundle"),
    (MismatchError, "has another version of this bundle"),
    (UnknownNameError, "does not have this bundle"),
    (BundleError, "cannot load its bundle"),
    (DeniedError, "does not let this edge in"),
    (QuotaError, "has served this device's quota for now"),
    (MeasuringError, "measures for another device first"),
    (OverloadedError, "is overloaded"),
    (LateError, "does not answer in time"),
    (ServerError, "fails"),
)
"""The first that fits."""

_NEEDS_A_PERSON = (MismatchError, UnknownNameError, BundleError, DeniedError)


def needs_a_person(error: SplitpointError) -> bool:
    """Tell what does not pass by itself: somebody has to change something on one of the sides."""
    if isinstance(error, UnreachableError):
        return error.needs_a_person
    return isinstance(error, _NEEDS_A_PERSON)


def say_of_server(error: SplitpointError | None) -> str:
    """Return what is so of a server whose last failure is `error`, as a predicate: `is away`."""
    if isinstance(error, UnreachableError):
        return error.cause
    return next((text for kind, text in _IS if isinstance(error, kind)), "is away")


def say_absence(error: SplitpointError | None) -> str:
    """Return a clause such as `the cloud is away`, true of a cloud whose last failure is `error`."""
    return f"the cloud {say_of_server(error)}"
