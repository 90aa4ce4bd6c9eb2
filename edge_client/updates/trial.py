"""The trial of a version: what its frames came to, against those of the version before."""

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from edge_client.frames.result import Result, ServedBy
from partitioner.common.units import plural
from protos.errors import (
    BundleError,
    CalibrationError,
    FaultError,
    MismatchError,
    OverloadedError,
    SplitpointError,
    UnknownNameError,
    UnreachableError,
)

_FAULTS = (FaultError, BundleError, MismatchError, UnknownNameError)
"""What a version may be to blame for; links, loads and callers are not its fault."""
_ABSENCES = (MismatchError, UnknownNameError)
"""What another server may serve, or the same one by and by: those who lack a version do not say it is bad."""
FAULTS_ALLOWED = 1
"""A fault may be a chance: a bit that was turned on its way."""
_LEAST_FRAMES = 20
"""Before that many frames, shares say nothing."""
_MORE_FALLBACKS = 0.3
"""The share of fallbacks by which a new version may be worse than the one before."""
_REMEMBERED = 200


def is_fault(error: BaseException) -> bool:
    """Tell whether a version may be to blame for what a frame failed with; what is no error of ours is."""
    if isinstance(error, CalibrationError):
        return False
    return isinstance(error, _FAULTS) or not isinstance(error, SplitpointError)


def _fell_back(result: Result) -> bool:
    """Tell whether the cloud failed a frame; a cloud that is away, or full, fails every version."""
    error = result.cloud_error
    return error is not None and not isinstance(error, UnreachableError | OverloadedError)


@dataclass(frozen=True, slots=True)
class Counts:
    """What the frames of a version have come to."""

    frames: int = 0
    """With a result."""
    fallbacks: int = 0
    """That the cloud was asked for and did not serve, though it was there."""
    faults: int = 0
    """That failed by what a version may be to blame for."""
    last_fault: str = ""
    absences: int = 0
    """That the cloud refused, as it did not have this version."""
    recent_share: float = 0.0
    """Share of the last 200 frames that fell back."""


class VersionTally:
    """Counts what the frames of one version come to. Safe to call from several threads."""

    def __init__(self) -> None:
        self.hears: Callable[[], None] | None = None
        """Is called after each frame, on the thread that had its result."""
        self._lock = threading.Lock()
        self._frames = self._fallbacks = self._faults = self._absences = 0
        self._last_fault = ""
        self._fell_back: deque[bool] = deque(maxlen=_REMEMBERED)

    def note(self, result: Result) -> None:
        """Count a frame that has its result."""
        with self._lock:
            self._frames += result.served_by is not ServedBy.NONE
            fell_back = _fell_back(result)
            self._fallbacks += fell_back
            self._fell_back.append(fell_back)
        error = result.cloud_error or (None if result.fallback else result.error)
        if error is not None:
            self.failed(error)
        self._tell()

    def failed(self, error: BaseException) -> None:
        """Count what a frame failed with, if the version may be to blame."""
        if not is_fault(error):
            return
        with self._lock:
            absent = isinstance(error, _ABSENCES)
            self._absences += absent
            self._faults += not absent
            self._last_fault = str(error) or repr(error)
        self._tell()

    @property
    def counts(self) -> Counts:
        """What they came to so far."""
        with self._lock:
            recent = sum(self._fell_back) / max(1, len(self._fell_back))
            failed = self._faults, self._last_fault, self._absences
            return Counts(self._frames, self._fallbacks, *failed, recent)

    def _tell(self) -> None:
        if self.hears is not None:
            self.hears()


class Verdict(StrEnum):
    """What a trial has come to."""

    GOES_ON = "goes on"
    PASSED = "passed"
    FAILED = "failed"
    POSTPONED = "postponed"
    """It fares worse, for which the link or the cloud may be to blame: it is tried again another time."""


@dataclass(frozen=True, slots=True)
class Judged:
    """A verdict, and why."""

    verdict: Verdict
    reason: str = ""


def judge(now: Counts, before: Counts, wanted_frames: int) -> Judged:
    """Return what the trial has come to; `before`: the last frames of the version that was left."""
    if now.faults > FAULTS_ALLOWED:
        return Judged(
            Verdict.FAILED, f"{plural(now.faults, 'frame')} failed by it: {now.last_fault}"
        )
    if now.absences > FAULTS_ALLOWED:
        return Judged(Verdict.POSTPONED, f"the cloud does not have it: {now.last_fault}")
    many = now.recent_share > before.recent_share + _MORE_FALLBACKS
    if now.frames >= min(_LEAST_FRAMES, wanted_frames) and many and before.frames:
        return Judged(
            Verdict.POSTPONED,
            f"{now.recent_share:.0%} of its frames were not served by the cloud, and of the version "
            f"before {before.recent_share:.0%}",
        )
    if now.frames >= wanted_frames:
        return Judged(Verdict.PASSED, f"it has served {plural(now.frames, 'frame')}")
    return Judged(Verdict.GOES_ON)
