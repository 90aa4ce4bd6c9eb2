"""Whether an answer survives what was scaled instead of measured, in sentences and as JSON."""

from collections.abc import Sequence
from typing import Any

from partitioner.planning.guesses import Guess, GuessKind, Reach, reach_of, survives
from partitioner.planning.selection import Selection


def guesses_text(selection: Selection, found: Sequence[Guess]) -> str:
    """Say which sides were not measured, how wrong that may be, and whether the best stays the best.

    Empty where both sides were measured.
    """
    if not found:
        return ""
    said = " ".join(_guess_text(selection, guess) for guess in found)
    best = selection.best.option.label
    if survives(selection, found):
        return f"{said} Over that range {best} stays the best."
    holds = " and ".join(_holds_text(reach_of(selection, guess)) for guess in found)
    return f"{said} {best} stays the best {holds}{', each by itself' if len(found) > 1 else ''}."


def guesses_json(selection: Selection, found: Sequence[Guess]) -> dict[str, Any]:
    """Return the sides that were not measured, between which factors the answer is the same, and whether
    it is at all of them together."""
    return {
        "not_measured": [_reach_json(reach_of(selection, guess)) for guess in found],
        "same_over_ranges": survives(selection, found),
    }


def _guess_text(selection: Selection, guess: Guess) -> str:
    span = f"{guess.low:g}x to {guess.high:g}x of these"
    if guess.kind is GuessKind.GFLOPS:
        device = selection.terms.device
        name = (device.name or device.title) if device else "a device"
        how = f"by the GFLOP/s of {name}, so that its times may really be {span} (docs/planning.md)"
    elif guess.kind is GuessKind.ASSUMED:
        times = "" if guess.scale == 1 else f", times {guess.scale:.3g}"
        how = f"its times are those of the edge's machine{times}; suppose {span}"
    else:
        how = f"its times are multiplied by {guess.scale:.3g}; suppose {span}"
    return f"The {guess.role} is scaled, not measured: {how}."


def _holds_text(reach: Reach) -> str:
    """Say from where to where the answer holds, and what is the best at the end of the range beyond."""
    guess = reach.guess
    sides = (
        (reach.same_from, guess.low, reach.at_low),
        (reach.same_to, guess.high, reach.at_high),
    )
    beyond = [
        f"at {far:g}x {f'it is {best.option.label}' if best else 'nothing keeps the limits'}"
        for turn, far, best in sides
        if turn != far
    ]
    if not beyond:
        return f"over all of the {guess.role}'s range"
    named = f"from {reach.same_from:.2g}x to {reach.same_to:.2g}x of the {guess.role}'s times"
    return f"{named} ({', '.join(beyond)})"


def _reach_json(reach: Reach) -> dict[str, Any]:
    guess = reach.guess
    ends = (reach.at_low, reach.at_high)
    return {
        "role": guess.role,
        "how": guess.kind.value,
        "scale": guess.scale,
        "range": [guess.low, guess.high],
        "same_from": reach.same_from,
        "same_to": reach.same_to,
        "best_at_range": [
            {"cut": end.option.cut, "codec": end.option.codec} if end else None for end in ends
        ],
    }
