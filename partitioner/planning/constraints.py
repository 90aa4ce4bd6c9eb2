"""Limits on options; where no option keeps to all of them, which limits to relax, and how far."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_EVEN, Decimal
from itertools import combinations

from partitioner.common.units import format_duration, format_energy, format_size
from partitioner.planning.costs import Costs
from partitioner.planning.option import Option
from protos.errors import InfeasibleError, UsageError

_TOLERANCE = 1e-9
"""Relative; a limit that was rounded to decimals and back still admits what it was made for."""


@dataclass(frozen=True)
class Candidate:
    """An option, what it costs, and what privacy asks about its cut."""

    option: Option
    costs: Costs
    depth: float
    """The share of the model's FLOPs that the device computes."""
    sends_input: bool
    """An input of the model is among the values that leave the device."""


@dataclass(frozen=True)
class Constraint:
    """One limit on a candidate: at most `limit`, or at least."""

    parameter: str
    """Of `select`'s caller: what the limit is called."""
    limit: float
    measure: Callable[[Candidate], float]
    write: Callable[[float], str] | None
    """A value as people write it; None: the limit has no size."""
    at_least: bool = False

    def admits(self, candidate: Candidate) -> bool:
        """Tell whether the candidate keeps to the limit."""
        return self._within(self.measure(candidate), self.limit)

    def _within(self, value: float, limit: float) -> bool:
        slack = _TOLERANCE * abs(limit)
        return value >= limit - slack if self.at_least else value <= limit + slack

    def excess(self, candidate: Candidate) -> float:
        """Return by which factor the candidate misses the limit; 1 if the limit has no size."""
        if self.write is None:
            return 1.0
        value, limit = self.measure(candidate), self.limit
        over, under = (limit, value) if self.at_least else (value, limit)
        return over / under if under else math.inf

    def relaxed_for(self, candidate: Candidate) -> float:
        """Return the tightest limit of three digits that admits the candidate."""
        rounding = ROUND_FLOOR if self.at_least else ROUND_CEILING
        return _three_digits(self.measure(candidate), rounding)

    def __str__(self) -> str:
        return (
            f"`{self.parameter}` {self.write(self.limit)}" if self.write else f"`{self.parameter}`"
        )


def max_edge_memory(limit_bytes: float) -> Constraint:
    """The head's session takes at most this on the device."""
    return Constraint(
        "max_edge_memory",
        limit_bytes,
        lambda c: c.option.edge_memory_bytes,
        _compact(format_size),
    )


def max_energy(limit_j: float) -> Constraint:
    """A frame takes at most these joules from the device."""
    return Constraint(
        "max_energy", limit_j, lambda c: c.costs.metric("energy"), _compact(format_energy)
    )


def deadline(limit_s: float) -> Constraint:
    """A frame takes at most these seconds, by medians."""
    if not limit_s > 0:
        raise UsageError(f"`deadline` {limit_s:g}s is over before it starts. It must be above 0.")
    return Constraint("deadline", limit_s, lambda c: c.costs.latency_s, _compact(format_duration))


def min_depth(share: float) -> Constraint:
    """At least this share of the model's FLOPs is computed on the device."""
    if not 0 <= share <= 1:
        raise UsageError(f"`min_depth` {share} is no share. Give 0 to 1, such as 0.3.")
    return Constraint("min_depth", share, lambda c: c.depth, "{:g}".format, at_least=True)


def max_accuracy_drop(points: float) -> Constraint:
    """The codec was seen to lose at most these percentage points; one that is exact loses none."""
    return Constraint("accuracy_drop", points, _drop_points, "{:g}".format)


def _drop_points(candidate: Candidate) -> float:
    measured = candidate.option.accuracy
    return measured.drop_points if measured else 0.0


def keep_input_local() -> Constraint:
    """No input of the model leaves the device, be it encoded or not."""
    return Constraint("keep_input_local", 0.0, lambda c: float(c.sends_input), None)


def feasible(
    found: Sequence[Candidate], constraints: Sequence[Constraint]
) -> tuple[Candidate, ...]:
    """Return the candidates that keep to every constraint.

    Raises InfeasibleError if there are none. It says which constraint to relax, and by how much: for
    every one that would do alone the smallest step, else for every smallest set that would do.
    """
    kept = tuple(c for c in found if all(constraint.admits(c) for constraint in constraints))
    if not kept:
        raise _infeasible(found, constraints)
    return kept


@dataclass(frozen=True)
class Relaxation:
    """Constraints to relax together, and the candidate that they then admit."""

    constraints: tuple[Constraint, ...]
    admits: Candidate

    def __str__(self) -> str:
        parts = " and ".join(_step(constraint, self.admits) for constraint in self.constraints)
        return f"{parts}, which admits {self.admits.option.label}"


def relaxations(
    found: Sequence[Candidate], constraints: Sequence[Constraint]
) -> tuple[Relaxation, ...]:
    """Return the smallest sets of constraints whose relaxing admits a candidate, with the least step.

    Of a set of several, the step is the one whose largest factor is smallest.
    """
    for size in range(1, len(constraints) + 1):
        if fitting := tuple(_relaxations_of(size, found, constraints)):
            return fitting
    return ()


def _relaxations_of(
    size: int, found: Sequence[Candidate], constraints: Sequence[Constraint]
) -> Iterator[Relaxation]:
    for chosen in combinations(constraints, size):
        kept = [c for c in constraints if c not in chosen]
        within = [c for c in found if all(constraint.admits(c) for constraint in kept)]
        if within:
            yield Relaxation(
                chosen,
                min(within, key=lambda candidate: max(c.excess(candidate) for c in chosen)),
            )


def _infeasible(found: Sequence[Candidate], constraints: Sequence[Constraint]) -> InfeasibleError:
    ways = relaxations(found, constraints)
    names = ", ".join(map(str, constraints))
    together = len(ways[0].constraints)
    how = "Relax one" if together == 1 else f"No single one suffices; relax {together} together"
    return InfeasibleError(
        f"no option meets {names}. {how}: {'; or '.join(map(str, ways))}.",
        {
            "infeasible": {
                "constraints": [str(constraint) for constraint in constraints],
                "relax": [_relaxation_json(way) for way in ways],
            }
        },
    )


def _relaxation_json(way: Relaxation) -> dict[str, object]:
    option = way.admits.option
    return {
        "changes": [
            {
                "parameter": constraint.parameter,
                "from": constraint.limit if constraint.write else None,
                "to": constraint.relaxed_for(way.admits) if constraint.write else None,
            }
            for constraint in way.constraints
        ],
        "admits": {"cut": option.cut, "codec": option.codec},
    }


def _step(constraint: Constraint, candidate: Candidate) -> str:
    if constraint.write is None:
        return f"leave `{constraint.parameter}` out"
    to = constraint.relaxed_for(candidate)
    by = constraint.write(_three_digits(abs(to - constraint.limit), ROUND_HALF_EVEN))
    way = "less" if constraint.at_least else "more"
    return f"`{constraint.parameter}` to {constraint.write(to)} ({by} {way})"


def _three_digits(value: float, rounding: str) -> float:
    exact = Decimal(repr(float(value)))
    if not exact:
        return 0.0
    step = Decimal(1).scaleb(exact.adjusted() - 2)
    return float(exact.quantize(step, rounding=rounding))


def _compact(write: Callable[[float], str]) -> Callable[[float], str]:
    return lambda value: write(value).replace(" ", "")
