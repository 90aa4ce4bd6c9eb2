"""The absence of the cloud in words, one cause each."""

import pytest

from edge_client.cloud.absence import say_absence
from edge_client.frames.failure import CloudFailure
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
    UnknownNameError,
    UnreachableError,
)

CAUSES: list[tuple[SplitpointError, str]] = [
    (UnreachableError("x"), "the cloud is away"),
    (UnreachableError("x", "refuses connections"), "the cloud refuses connections"),
    (LateError("x"), "the cloud does not answer in time"),
    (MismatchError("x"), "the cloud has another version of this bundle"),
    (CalibrationError("x"), "the cloud has another calibration of this bundle"),
    (UnknownNameError("x"), "the cloud does not have this bundle"),
    (BundleError("x"), "the cloud cannot load its bundle"),
    (DeniedError("x"), "the cloud does not let this edge in"),
    (QuotaError("x"), "the cloud has served this device's quota for now"),
    (MeasuringError("x"), "the cloud measures for another device first"),
    (OverloadedError("x"), "the cloud is overloaded"),
    (FaultError("x"), "the cloud fails"),
]


@pytest.mark.parametrize(("error", "clause"), CAUSES)
def test_each_failure_has_its_own_clause(error: SplitpointError, clause: str) -> None:
    assert say_absence(error) == clause


def test_no_two_causes_share_a_clause_and_kinds_of_frames_tell_them_apart() -> None:
    assert len({clause for _, clause in CAUSES}) == len(CAUSES)
    assert len({CloudFailure(error, 0.0).kind for error, _ in CAUSES}) == len(CAUSES) - 1


def test_cloud_that_was_never_asked_is_away() -> None:
    assert say_absence(None) == "the cloud is away"
