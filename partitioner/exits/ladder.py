"""The thresholds among which a limit may choose: rungs of a ladder, the highest agreement first."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from partitioner.bundle.exits import BundleExits, Exit, ExitCost, check_agreement
from partitioner.common.arguments import need_numbers
from partitioner.common.defaults import ExitThreshold
from partitioner.common.units import plural
from protos.errors import UsageError

LEVELS = (0.999, 0.995, 0.99, 0.985, 0.98, 0.97, 0.95, 0.9)
"""Agreements for which a threshold is looked for, besides the one that the exits were trained for."""

_WORDS: dict[str, ExitThreshold] = {"auto": "auto", "own": "own", "none": None}


@dataclass(frozen=True)
class Rung:
    """Thresholds of a bundle's exits that go together, and what a plan needs to know of them."""

    costs: Mapping[str, ExitCost] = field(default_factory=dict)
    """By cut, as are the others. An exit that is asked and never answers early has a rate of 0."""
    thresholds: Mapping[str, float] = field(default_factory=dict)
    """An exit that is not among them does not answer early."""
    agreements: Mapping[str, float] = field(default_factory=dict)
    """What was measured at these thresholds: the share of those that exit."""

    def __repr__(self) -> str:
        return f"<Rung on which {len(self.thresholds)} of {plural(len(self.costs), 'exit')} answer early>"

    def words(self, cut: str) -> str:
        """Say from when on the exit at a cut answers: `exits from 0.955 on (99.5 % agree)`."""
        if cut not in self.thresholds:
            return "no early answers"
        agree = f" ({100 * self.agreements[cut]:.1f} % agree)" if cut in self.agreements else ""
        return f"exits from {self.thresholds[cut]:.3g} on{agree}"


def climb_down(exits: BundleExits, floor: float | None = None) -> tuple[Rung, ...]:
    """Return the rungs from `no early answers` down to an agreement of `floor` (None: that trained for).

    At each, every exit has the lowest threshold at which it was measured to agree so often, as
    Outcomes.threshold_for allows for chance. Rungs that change nothing are left out. Raises UsageError
    for a floor that is no share.
    """
    lowest = exits.meta.agreement if floor is None else floor
    check_agreement(lowest)
    rungs = [rung_at(exits, {})]
    for level in sorted({lowest, *(level for level in LEVELS if level > lowest)}, reverse=True):
        rung = rung_at(exits, dict(_thresholds(exits, level)))
        if rung.thresholds != rungs[-1].thresholds:
            rungs.append(rung)
    return tuple(rungs)


def parse_threshold(text: str) -> ExitThreshold:
    """Return the confidence in `0.9`, `auto`, `own` or `none`. Raises UsageError."""
    if text in _WORDS:
        return _WORDS[text]
    try:
        return check_threshold(float(text))
    except ValueError:
        raise UsageError(
            f"{text!r} is no exit threshold. Write auto, own, none, or a confidence such as 0.9."
        ) from None


def check_threshold(confidence: float) -> float:
    """Return a confidence; UsageError if it is none."""
    need_numbers({"exit_threshold": confidence})
    if not 0 <= confidence <= 1:
        raise UsageError(f"a confidence of {confidence} does not exist. Give 0 to 1.")
    return confidence


def ladder_for(
    exits: BundleExits | None,
    threshold: ExitThreshold,
    deadline_s: float | None,
    latency_s: float | None = None,
    floor: float | None = None,
) -> tuple[Rung, ...]:
    """Return the rungs that a threshold as asked for stands for: one, or within a limit those of `auto`.

    With None no exit answers early; under a deadline it is asked all the same, as the last resort.
    """
    if exits is None or (threshold is None and deadline_s is None):
        return (Rung(),)
    if threshold is None:
        return (rung_at(exits, {}),)
    if threshold == "auto" and (deadline_s is not None or latency_s is not None):
        return climb_down(exits, floor)
    return (own_rung(exits, None if isinstance(threshold, str) else threshold),)


def rung_at(exits: BundleExits, thresholds: Mapping[str, float]) -> Rung:
    """Return the rung of given thresholds, by cut; of exits that have none the cost is that of asking."""
    known = exits.by_cut
    costs = {cut: found.cost(thresholds.get(cut, math.inf)) for cut, found in known.items()}
    measured = ((cut, known[cut].outcomes.at(limit).agreement) for cut, limit in thresholds.items())
    return Rung(costs, thresholds, {cut: share for cut, share in measured if share is not None})


def own_rung(exits: BundleExits, threshold: float | None = None) -> Rung:
    """Return the rung of one threshold for all exits; None: each one's own."""
    if threshold is not None:
        return rung_at(exits, dict.fromkeys(exits.by_cut, threshold))
    own = ((cut, found.meta.threshold) for cut, found in exits.by_cut.items())
    return rung_at(exits, {cut: limit for cut, limit in own if limit is not None})


def outdated_text(exits: BundleExits, folder: Path) -> str | None:
    """Say which own thresholds are of an older splitpoint, and how to choose them anew; None: none are."""
    if not (cuts := exits.outdated):
        return None
    wanted = exits.meta.agreement
    return (
        f"The own thresholds of the exits at {', '.join(cuts)} were chosen by another splitpoint, and are "
        f"not what an agreement of {100 * wanted:g} % takes today, chance allowed for. Choose them anew: "
        f"splitpoint exits threshold {folder} --agreement {wanted:g}."
    )


def levels_of(found: Exit) -> Iterator[tuple[float, float]]:
    """Yield each level that an exit reaches, and its threshold; of equal thresholds the highest level."""
    before = None
    for level in LEVELS:
        threshold = found.outcomes.threshold_for(level)
        if threshold is not None and threshold != before:
            yield level, threshold
            before = threshold


def _thresholds(exits: BundleExits, level: float) -> Iterator[tuple[str, float]]:
    for cut, found in exits.by_cut.items():
        if (threshold := found.outcomes.threshold_for(level)) is not None:
            yield cut, threshold
