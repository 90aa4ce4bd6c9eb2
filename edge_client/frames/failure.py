"""Failures of frames in words: the kind of the cloud's failure, the reason in a result, and the remedy."""

from collections.abc import Sequence
from dataclasses import dataclass

from partitioner.common.units import format_duration
from protos.errors import (
    BundleError,
    CalibrationError,
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
    UnknownNameError,
    UnreachableError,
)

_REASONS = {
    UnreachableError: "cloud unreachable",
    LateError: "cloud too slow",
    QuotaError: "quota used up",
    MeasuringError: "cloud measures for another",
    OverloadedError: "cloud overloaded",
    FaultError: "cloud failed",
    CalibrationError: "cloud has another calibration",
    MismatchError: "cloud has another bundle",
    DeniedError: "cloud denies access",
    UnknownNameError: "cloud lacks this model",
    TooLargeError: "message too large",
    TensorError: "cloud refused the tensors",
    BundleError: "cloud cannot load its bundle",
}

_OTHER_BUNDLE = (MismatchError, UnknownNameError)
"""The errors of a server that was restarted with other bundles: only a person can mend that."""


@dataclass(frozen=True, slots=True)
class CloudFailure:
    """The error that the cloud failed a frame with, and the seconds that this cost."""

    error: SplitpointError
    lost_s: float
    was_asked: bool = True
    """False where the cloud was not asked for this frame, by what it had failed others with."""

    @property
    def kind(self) -> str:
        """The cloud's failure in a few words."""
        return next(
            (text for kind, text in _REASONS.items() if isinstance(self.error, kind)), "failed"
        )


def reason_of(failure: CloudFailure, bundle_name: str) -> str:
    """Return the reason of a frame that was answered here because of `failure`."""
    advice = (
        f" Serve this device's bundle there, or copy the server's: splitpoint-edge fetch "
        f"{bundle_name} --cloud HOST:PORT --out BUNDLE --force."
    )
    lacks = isinstance(failure.error, _OTHER_BUNDLE) and "splitpoint-edge fetch" not in str(
        failure.error
    )
    return f"{failure.kind}: {failure.error}{advice if lacks else ''}"


def unanswered(
    failure: CloudFailure, bundle_name: str, cut_id: str, exits: Sequence[str]
) -> SplitpointError:
    """Return the error of a frame for which no tail and no exit is here; `exits`: the cuts that have one."""
    way = (
        f"Use a cut with one ({', '.join(exits)})"
        if exits
        else "Train some (splitpoint exits train), and fetch them with the heads"
    )
    error = type(failure.error)(
        f"{failure.kind}: {failure.error} This device holds only heads of {bundle_name}, and no exit at "
        f"{cut_id}, so nothing here can answer. {way}, or fetch the whole bundle."
    )
    error.__cause__ = failure.error
    return error


def misfit(failure: CloudFailure, cut_id: str, deadline_s: float) -> LateError:
    """Return the error of a frame whose deadline leaves no time for its tail here."""
    late = LateError(
        f"the deadline of {format_duration(round(deadline_s, 6))} cannot be met: {failure.kind}, and the "
        f"rest of {cut_id} does not fit in here. Allow more time, or use a later cut."
    )
    late.__cause__ = failure.error
    return late


def head_too_late(deadline_s: float) -> LateError:
    """Return the error of a frame whose head was not done in time."""
    return LateError(
        f"the deadline of {deadline_s:g} s passed before the head was done: this device "
        "is too busy. Allow more time, send fewer frames, or use an earlier cut."
    )
