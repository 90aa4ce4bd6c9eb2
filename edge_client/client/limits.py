"""What a client may be asked for: UsageError says what was wrong, and what to give instead."""

from edge_client import defaults
from protos.errors import UsageError


def check_numbers(window: int, timeout_s: float, deadline_s: float | None, on_failure: str) -> None:
    """Check what any client needs."""
    if window < 1:
        raise UsageError(f"a window of {window} frames lets none through. Give 1 or more.")
    if not timeout_s > 0:
        raise UsageError(
            f"a timeout of {timeout_s} s leaves no time for an answer. Give more than 0."
        )
    if deadline_s is not None and not deadline_s > 0:
        raise UsageError(
            f"a deadline of {deadline_s} s cannot be met. Give more than 0, or None for none."
        )
    if on_failure not in ("finish", "fail"):
        raise UsageError(f"on_failure={on_failure!r} is neither 'finish' nor 'fail'.")


def check_limits(
    exit_floor: float | None,
    latency_s: float | None,
    exit_threshold: defaults.ExitThreshold,
    deadline_s: float | None,
    *,
    adapts: bool,
) -> None:
    """Check a floor and a latency, which only a policy that moves something keeps."""
    if exit_floor is not None and (
        exit_threshold != "auto" or deadline_s is latency_s is None or not adapts
    ):
        raise UsageError(
            "an exit floor bounds a threshold that moves. Give the exit threshold auto, a deadline or a "
            "latency, and the cut auto (or let it adapt); or leave the floor out."
        )
    if latency_s is not None and not (adapts and latency_s > 0):
        raise UsageError(
            f"a latency of {latency_s:g} s is kept by a policy that moves the cut, if it is more than 0. "
            "Give more, the cut auto (or let it adapt), or leave it out."
        )
