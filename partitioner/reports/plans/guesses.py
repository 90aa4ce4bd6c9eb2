"""Whether an answer survives what was scaled instead of measured, in sentences and as JSON."""

from collections.abc import Sequence
from typing import Any

from partitioner.common.defaults import DEFAULT_THREADS
from partitioner.common.units import format_duration, plural
from partitioner.devices.device import Device
from partitioner.planning.guesses import Guess, GuessKind, Reach, guesses, reach_of, survives
from partitioner.planning.plan import Plan
from partitioner.planning.selection import Selection
from protos.names import EDGE


def guesses_text(selection: Selection, found: Sequence[Guess]) -> str:
    """Say which sides were not measured, how wrong that may be, and whether the best stays the best.

    Empty where both sides were measured.
    """
    if not found:
        return ""
    said = " ".join(guess_text(guess, selection.terms.device, selection.plan) for guess in found)
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


def guess_notes(plan: Plan, device: Device | None = None) -> list[str]:
    """Say of each side that was not measured how wrong its times may be; `device`: see `guesses`."""
    return [guess_text(guess, device, plan) for guess in guesses(plan, device)]


def ranges_json(plan: Plan, device: Device | None = None) -> list[dict[str, Any]]:
    """Return the sides that were not measured, and between which factors their times may really be."""
    return [_guess_json(guess) for guess in guesses(plan, device)]


def guess_text(guess: Guess, device: Device | None, plan: Plan) -> str:
    """Say of one side of `plan` by what it was scaled, and how wrong that may be."""
    span = f"{guess.low:g}x to {guess.high:g}x of these"
    if guess.kind is GuessKind.THROUGHPUT:
        how = (
            f"by the throughput of {_with_threads(device)}, so that its times may really be {span}"
        )
        how = f"{how}{_whole_text(guess, plan)} (docs/planning.md)"
    elif guess.kind is GuessKind.ASSUMED:
        times = "" if guess.scale == 1 else f", times {guess.scale:.3g}"
        how = f"its times are those of the edge's machine{times}; suppose {span}"
    else:
        how = f"its times are multiplied by {guess.scale:.3g}; suppose {span}"
    said = f"The {guess.role} is scaled, not measured: {how}."
    faster = guess.kind is GuessKind.THROUGHPUT and guess.scale < 1
    return f"{said} {_faster_text(guess, device, plan)}" if faster else said


def _faster_text(guess: Guess, device: Device | None, plan: Plan) -> str:
    """Warn that a device comes out faster than the machine that was measured."""
    return (
        f"Its factor {guess.scale:.3g} is below 1, as if {_name(device)} were faster than the "
        f"{plan.edge.machine.cpu} that was measured, where this model may be held up by what the device is "
        "too. Measure the device, or give --edge-scale."
    )


def _with_threads(device: Device | None) -> str:
    """Return a device with what it computes with; others may be asked for."""
    rate = device.rate if device else None
    if device is None or rate is None or rate.on == "gpu":
        return f"{_name(device)}{' (GPU)' if rate else ''}"
    others = [str(one.threads) for one in device.throughput if one.threads != rate.threads]
    more = f"; --threads {' or '.join(others)} for more" if others and rate.threads == 1 else ""
    as_run = " as splitpoint-edge run has it" if rate.threads == DEFAULT_THREADS else ""
    return f"{_name(device)} with {plural(rate.threads, 'thread')} ({as_run.strip() or 'as asked'}{more})"


def _whole_text(guess: Guess, plan: Plan) -> str:
    """Say between which times the whole model may lie."""
    cut = plan.edge.cuts.get(EDGE)
    if cut is None or cut.head is None:
        return ""
    seconds = cut.head.seconds
    low, high = (format_duration(seconds * factor) for factor in (guess.low, guess.high))
    return f", for the whole model {low} to {high} instead of {format_duration(seconds)}"


def _name(device: Device | None) -> str:
    return (device.name or device.title) if device else "a device"


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
        **_guess_json(guess),
        "same_from": reach.same_from,
        "same_to": reach.same_to,
        "best_at_range": [
            {"cut": end.option.cut, "codec": end.option.codec} if end else None for end in ends
        ],
    }


def _guess_json(guess: Guess) -> dict[str, Any]:
    return {
        "role": guess.role,
        "how": guess.kind.value,
        "scale": guess.scale,
        "range": [guess.low, guess.high],
    }
