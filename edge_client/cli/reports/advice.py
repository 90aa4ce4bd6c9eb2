"""Advice after a run: why frames missed deadlines or waited for each other, and what would help."""

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from edge_client.frames.result import BUSY, Result, ServedBy
from partitioner.common.units import format_duration, plural

_MOST = 0.95
"""The share of frames whose deadline is looked for."""
_MUCH = 0.3
"""From this share of the median latency on, waiting is worth a word."""
_CROWD = 1.5
"""With fewer frames at work at once, on average, a frame waits for no other."""


@dataclass
class Punctuality:
    """Counts the frames that missed a deadline, and notes what each would have taken."""

    deadline_s: float | None = None
    missed: int = 0
    why: Counter[str] = field(default_factory=Counter)
    _needed_s: list[float] = field(default_factory=list)

    def add(self, result: Result) -> None:
        """Note one result."""
        if self.deadline_s is None:
            return
        if result.missed is not None:
            self.missed += 1
            self.why[result.missed.why] += 1
            if result.missed.needed_s is not None:
                self._needed_s.append(result.missed.needed_s)
        elif result.served_by is not ServedBy.NONE:
            self._needed_s.append(result.latency_s)
        del self._needed_s[:-20_000]

    @property
    def wanted_s(self) -> float | None:
        """The smallest deadline that 95 % of the frames would have met, or all if that is met; of what is
        known, rounded up to two digits. None when all was in time, or too little is known.
        """
        if not self.missed or self.deadline_s is None or not self._needed_s:
            return None
        for share in (_MOST, 1.0):
            found = _round_up(float(np.quantile(self._needed_s, share, method="inverted_cdf")))
            if found > self.deadline_s:
                return found
        return None

    def summary(self) -> dict[str, Any] | None:
        """Return that as plain data, in seconds; None without a deadline."""
        if self.deadline_s is None:
            return None
        return {
            "deadline_s": self.deadline_s,
            "missed": self.missed,
            "why": dict(self.why),
            "wanted_s": self.wanted_s,
        }


def advise(
    summary: dict[str, Any], *, has_exits: bool, name: str, window: int | None = None
) -> str | None:
    """Return what to say of the deadline in the summary of a run; None when no frame missed it.

    `window`: frames that were at work at once, at most; None: it is not known.
    """
    found = summary["deadline"]
    if found is None or not found["missed"]:
        return None
    why = ", ".join(f"{text} {count}" for text, count in found["why"].items())
    limit = format_duration(found["deadline_s"])
    most_met = found["missed"] <= (1 - _MOST) * summary["frames"]
    crowded = window != 1 and bool(found["why"].get(BUSY))
    ways = "; or ".join(
        _ways(found, most_met=most_met, crowded=crowded, has_exits=has_exits, name=name)
    )
    return (
        f"{found['missed']} of {plural(summary['frames'], 'frame')} missed the deadline of {limit} and have "
        f"no answer: {why}. {ways}."
    )


def explain_waiting(summary: dict[str, Any], window: int) -> str | None:
    """Return why latencies are far above the plan's, where frames waited for others of their window."""
    latency, wait_s = summary["latency_s"], summary["wait_s"]
    if window == 1 or not latency or wait_s < _MUCH * latency["p50"]:
        return None
    if summary["fps"] * latency["p50"] < _CROWD:  # by Little's law, so many are at work at once
        return None
    return (
        f"frames waited {format_duration(wait_s)} for others of the window of {window}; pace them with "
        "--fps, or --window 1, to compare with the plan"
    )


def _ways(
    found: dict[str, Any], *, most_met: bool, crowded: bool, has_exits: bool, name: str
) -> Iterator[str]:
    """`most_met`: the deadline was met by 95 %; `crowded`: frames may have waited for each other."""
    if found["wanted_s"] is None:
        yield "Allow more time (--deadline)"
    else:
        limit = format_duration(found["wanted_s"]).replace(" ", "")
        who = "All" if most_met else "Most"
        yield f"{who} would have met --deadline {limit}"
    if crowded:
        yield "send fewer frames at once, with --window 1 or a lower --fps"
    if has_exits:
        yield "stay at a cut that has an exit (--cut), whose answer is taken when time runs out"
    else:
        train = f"splitpoint exits train {name} --data DIR"
        yield f"train exits, whose answers are taken when time runs out: {train}"


def _round_up(seconds: float) -> float:
    digit = 10 ** (math.floor(math.log10(seconds)) - 1)
    return float(f"{math.ceil(round(seconds / digit, 6)) * digit:.2g}")
