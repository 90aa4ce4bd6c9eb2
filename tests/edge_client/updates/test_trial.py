"""The trial of a version: what counts against it, and what it is judged by."""

import threading

import pytest

from edge_client.frames.result import Result, ServedBy, Timings
from edge_client.updates.trial import Counts, Verdict, VersionTally, is_fault, judge
from protos.errors import (
    BundleError,
    CalibrationError,
    FaultError,
    LateError,
    MismatchError,
    OverloadedError,
    SplitpointError,
    TensorError,
    UnreachableError,
)


def result(served_by: ServedBy = ServedBy.CLOUD, error: SplitpointError | None = None) -> Result:
    none = served_by is ServedBy.NONE
    return Result(
        0, {}, served_by, "", "cut-02", "raw", 0, 0, Timings(0.1, 0.1),
        error=error if none else None, fallback="failed" if error and not none else None,
        cloud_error=None if none else error,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("error", "blamed"),
    [
        (FaultError("x"), True),
        (BundleError("x"), True),
        (MismatchError("x"), True),
        (RuntimeError("x"), True),
        (CalibrationError("x"), False),
        (UnreachableError("x"), False),
        (LateError("x"), False),
        (OverloadedError("x"), False),
        (TensorError("x"), False),
    ],
)
def test_version_is_blamed_for_what_neither_link_nor_load_nor_caller_did(
    error: Exception, blamed: bool
) -> None:
    assert is_fault(error) is blamed


@pytest.mark.parametrize("served_by", [ServedBy.EDGE, ServedBy.NONE])
def test_server_that_lacks_the_version_postpones_its_trial_and_is_no_fault_of_it(
    served_by: ServedBy,
) -> None:
    """Two servers of one cloud may disagree for a while, and the edge may go from one to the other."""
    tally = VersionTally()
    for _ in range(2):
        assert judge(tally.counts, Counts(frames=100), 50).verdict is Verdict.GOES_ON
        tally.note(result(served_by, MismatchError("another version.")))
    judged = judge(tally.counts, Counts(frames=100), 50)
    assert judged.verdict is Verdict.POSTPONED
    assert "another version." in judged.reason
    assert tally.counts.faults == 0


def test_trial_passes_once_enough_frames_are_served() -> None:
    before = Counts(frames=100)
    assert judge(Counts(frames=49), before, 50).verdict is Verdict.GOES_ON
    assert judge(Counts(frames=50), before, 50).verdict is Verdict.PASSED


def test_one_fault_may_be_chance_and_two_are_none() -> None:
    before = Counts(frames=100)
    assert judge(Counts(frames=3, faults=1), before, 50).verdict is Verdict.GOES_ON
    judged = judge(Counts(frames=3, faults=2, last_fault="NaN."), before, 50)
    assert (judged.verdict, judged.reason) == (Verdict.FAILED, "2 frames failed by it: NaN.")


def test_version_is_postponed_that_falls_back_far_more_often_than_the_one_before() -> None:
    before = Counts(frames=100, recent_share=0.1)
    worse, alike = Counts(frames=20, recent_share=0.45), Counts(frames=20, recent_share=0.4)
    assert judge(worse, before, 50).verdict is Verdict.POSTPONED
    assert judge(alike, before, 50).verdict is Verdict.GOES_ON


def test_version_whose_cloud_was_away_before_is_not_blamed_for_it() -> None:
    before = Counts(frames=100, recent_share=1.0)
    assert judge(Counts(frames=50, recent_share=1.0), before, 50).verdict is Verdict.PASSED


def test_tally_counts_frames_fallbacks_and_faults_apart() -> None:
    tally = VersionTally()
    tally.note(result())
    tally.note(result(error=UnreachableError("gone.")))  # which says nothing of a version
    tally.note(result(error=LateError("late.")))
    tally.note(result(error=FaultError("broken.")))
    tally.note(result(ServedBy.NONE, FaultError("worse.")))
    assert tally.counts == Counts(
        frames=4, fallbacks=2, faults=2, last_fault="worse.", recent_share=0.4
    )


def test_tally_of_several_threads_loses_no_frame() -> None:
    tally, heard = VersionTally(), []
    tally.hears = lambda: heard.append(1)
    threads = [
        threading.Thread(target=lambda: [tally.note(result()) for _ in range(500)])
        for _ in range(4)
    ]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert (tally.counts.frames, len(heard)) == (2000, 2000)
