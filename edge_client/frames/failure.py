"""What the cloud failed a frame with, in words: the kind, the reason of a result, and what to do about it."""

from collections.abc import Sequence

from protos.errors import (
    BundleError,
    FaultError,
    LateError,
    MismatchError,
    OverloadedError,
    SplitpointError,
    TensorError,
    TooLargeError,
    UnknownNameError,
    UnreachableError,
)

_REASONS = {
    UnreachableError: "cloud unreachable",
    LateError: "cloud too slow",
    OverloadedError: "cloud overloaded",
    FaultError: "cloud failed",
    MismatchError: "cloud has another bundle or calibration",
    UnknownNameError: "cloud lacks this model",
    TooLargeError: "message too large",
    TensorError: "cloud refused the tensors",
    BundleError: "cloud cannot load its bundle",
}

_OTHER_BUNDLE = (MismatchError, UnknownNameError)
"""What a server says after it has been restarted with other bundles: only a person can mend that."""


def kind_of(error: SplitpointError) -> str:
    """Return in a few words what the cloud failed with."""
    return next((text for kind, text in _REASONS.items() if isinstance(error, kind)), "failed")


def reason_of(error: SplitpointError, bundle_name: str) -> str:
    """Return the reason of a frame that was answered here because of `error`."""
    advice = (
        f" Serve this device's bundle there, or copy the server's: splitpoint-edge fetch "
        f"{bundle_name} --cloud HOST:PORT --out BUNDLE."
    )
    lacks = isinstance(error, _OTHER_BUNDLE) and "splitpoint-edge fetch" not in str(error)
    return f"{kind_of(error)}: {error}{advice if lacks else ''}"


def unanswered(
    error: SplitpointError, bundle_name: str, cut_id: str, exits: Sequence[str]
) -> SplitpointError:
    """Return the error of a frame for which no tail and no exit is here; `exits`: the cuts that have one."""
    way = (
        f"Use a cut with one ({', '.join(exits)})"
        if exits
        else "Train some (splitpoint exits train), and fetch them with the heads"
    )
    failure = type(error)(
        f"{kind_of(error)}: {error} This device holds only heads of {bundle_name}, and no exit at "
        f"{cut_id}, so nothing here can answer. {way}, or fetch the whole bundle."
    )
    failure.__cause__ = error
    return failure
