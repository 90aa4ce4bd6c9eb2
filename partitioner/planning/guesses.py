"""Times that were scaled instead of measured: how wrong they may be, and whether the answer survives it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import product

from partitioner.devices.device import Device
from partitioner.planning.constraints import Candidate
from partitioner.planning.plan import Plan
from partitioner.planning.selection import Selection, select
from protos.errors import InfeasibleError

BY_HAND_RANGE = (0.5, 2.0)
"""A factor that somebody gave by hand may be off by two either way: a convention."""
_STEPS = 24
"""Halvings of the range, on a logarithmic scale, to find where the answer changes."""


class GuessKind(StrEnum):
    """Why the times of a side are no measurement."""

    THROUGHPUT = "throughput"
    FACTOR = "factor"
    ASSUMED = "assumed"


@dataclass(frozen=True)
class Guess:
    """One side whose times were not measured; they may be `low` to `high` times as long."""

    role: str
    kind: GuessKind
    scale: float
    """What the measured times were multiplied by."""
    low: float
    high: float


@dataclass(frozen=True)
class Reach:
    """Between which factors on one side's times the answer stays, and what it is at the range's ends."""

    guess: Guess
    same_from: float
    same_to: float
    at_low: Candidate | None
    """The best at `guess.low`; None: nothing keeps the limits there."""
    at_high: Candidate | None


def guesses(plan: Plan, device: Device | None = None) -> tuple[Guess, ...]:
    """Return the sides of a plan that were not measured; `device`: that which the edge was scaled to.

    Its times may be off by what its file says; a device that says no throughput was measured.
    """
    rate = device.rate if device else None
    found = []
    if plan.edge.scale != 1:
        kind = GuessKind.THROUGHPUT if rate else GuessKind.FACTOR
        bounds = (rate.low, rate.high) if rate else BY_HAND_RANGE
        found.append(Guess("edge", kind, plan.edge.scale, *bounds))
    assumed = plan.cloud.measured_at == plan.edge.measured_at
    if assumed or plan.cloud.scale != 1:
        kind = GuessKind.ASSUMED if assumed else GuessKind.FACTOR
        found.append(Guess("cloud", kind, plan.cloud.scale, *BY_HAND_RANGE))
    return tuple(found)


def reach_of(selection: Selection, guess: Guess) -> Reach:
    """Return how far the answer holds when one side's times are other than guessed."""
    low, high = (best_at(selection, {guess.role: factor}) for factor in (guess.low, guess.high))
    return Reach(
        guess,
        guess.low if _same(low, selection) else _turn(selection, guess.role, guess.low),
        guess.high if _same(high, selection) else _turn(selection, guess.role, guess.high),
        low,
        high,
    )


def survives(selection: Selection, found: Sequence[Guess]) -> bool:
    """Tell whether the answer is the same at every corner of the ranges, all sides together.

    Scores are linear in the times (but p95 and sustained load, nearly), so an option that is the best
    at all corners is the best between them.
    """
    corners = product(*((guess.low, guess.high) for guess in found))
    roles = [guess.role for guess in found]
    return all(
        _same(best_at(selection, dict(zip(roles, corner, strict=True))), selection)
        for corner in corners
    )


def ranking_survives(first: Plan, second: Plan, device: Device | None = None) -> bool:
    """Tell whether the first plan's best stays faster than the second's at the ends of all ranges.

    One machine computes both, so what is a fact of the machine, a factor given by hand, is off by the
    same for both. How far a device falls behind its throughput depends on the model, so that each of
    them may be anywhere in the range.
    """
    sides = [{guess.role: guess for guess in guesses(plan, device)} for plan in (first, second)]
    roles = sorted({*sides[0], *sides[1]})
    corners = product(*(_corners(*(side.get(role) for side in sides)) for role in roles))
    return all(
        _fastest_s(first, roles, [pair[0] for pair in corner])
        < _fastest_s(second, roles, [pair[1] for pair in corner])
        for corner in corners
    )


def _corners(ours: Guess | None, theirs: Guess | None) -> tuple[tuple[float, float], ...]:
    """Return pairs of factors, on the first plan's times and the second's, among which the worst is."""
    if ours and theirs and GuessKind.THROUGHPUT not in (ours.kind, theirs.kind):
        return (ours.low, theirs.low), (ours.high, theirs.high)
    return ((ours.high if ours else 1.0, theirs.low if theirs else 1.0),)


def _fastest_s(plan: Plan, roles: Sequence[str], factors: Sequence[float]) -> float:
    found = dict(zip(roles, factors, strict=True))
    return stretched(plan, found.get("edge", 1.0), found.get("cloud", 1.0)).best.total_s


def best_at(selection: Selection, factors: dict[str, float]) -> Candidate | None:
    """Return the best where each side takes so many times as long; None: nothing keeps the limits."""
    plan = stretched(selection.plan, factors.get("edge", 1.0), factors.get("cloud", 1.0))
    try:
        return select(plan, selection.terms, selection.objective, selection.constraints).best
    except InfeasibleError:
        return None


def stretched(plan: Plan, edge: float, cloud: float) -> Plan:
    """Return the plan's options with the times of either side multiplied; its profiles stay as they are."""
    options = tuple(
        replace(
            option,
            edge_s=option.edge_s * edge,
            exit_s=option.exit_s * edge,
            handing_s=option.handing_s * edge,
            encode_s=option.encode_s * edge,
            cloud_s=option.cloud_s * cloud,
        )
        for option in plan.options
    )
    return replace(plan, options=options)


def _same(found: Candidate | None, selection: Selection) -> bool:
    return found is not None and found.option.label == selection.best.option.label


def _turn(selection: Selection, role: str, far: float) -> float:
    """Return the factor nearest to `far`, from 1 on, at which the answer is still the same."""
    same, other = 0.0, math.log(far)
    for _ in range(_STEPS):
        middle = (same + other) / 2
        if _same(best_at(selection, {role: math.exp(middle)}), selection):
            same = middle
        else:
            other = middle
    return math.exp(same)
