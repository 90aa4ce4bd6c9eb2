"""From a plan to one option: priced on given terms, within given limits, the best by one objective."""

from collections.abc import Sequence
from dataclasses import dataclass

from partitioner.bundle.bundle import Bundle
from partitioner.common.arguments import need
from partitioner.common.units import format_duration, plural
from partitioner.planning.constraints import Candidate, Constraint, feasible
from partitioner.planning.costs import price
from partitioner.planning.objective import LATENCY, Objective
from partitioner.planning.pareto import front
from partitioner.planning.plan import Plan
from partitioner.planning.terms import Terms


@dataclass(frozen=True)
class Selection:
    """A choice, and all that it rests on."""

    plan: Plan
    terms: Terms
    objective: Objective
    constraints: tuple[Constraint, ...]
    candidates: tuple[Candidate, ...]
    """Every option of the plan, in its order."""
    feasible: tuple[Candidate, ...]
    """Those that keep to the constraints."""
    best: Candidate

    def __repr__(self) -> str:
        limits = f" within {', '.join(map(str, self.constraints))}" if self.constraints else ""
        latency = format_duration(self.best.costs.latency_s)
        return (
            f"<Selection of {self.best.option.label} in {latency}: {self.objective.goal}{limits}, of "
            f"{plural(len(self.feasible), 'feasible option')} of {len(self.candidates)}>"
        )

    def front(self, metrics: Sequence[str]) -> tuple[Candidate, ...]:
        """Return the feasible candidates that no other beats on all metrics at once."""
        points = [[c.costs.metric(name) for name in metrics] for c in self.feasible]
        return tuple(self.feasible[at] for at in front(points))


def select(
    plan: Plan,
    terms: Terms | None = None,
    objective: Objective | str = LATENCY,
    constraints: Sequence[Constraint] = (),
) -> Selection:
    """Choose the feasible option with the smallest score; the earlier cut if several have it.

    `objective` may be written, as `latency=1,energy=0.2`.
    Raises InfeasibleError if no option meets all constraints, UsageError if the terms lack a number
    that objective or constraints need.
    """
    need("plan", plan, Plan, wanted="a Plan, as plan(bundle, link, edge, cloud) returns it")
    terms, objective = terms or Terms(), Objective.of(objective)
    found = tuple(
        Candidate(
            option,
            price(option, plan, terms),
            _depth(plan.bundle, option.cut),
            _sends_input(plan.bundle, option.cut),
        )
        for option in plan.options
    )
    kept = feasible(found, constraints)
    best = min(kept, key=lambda candidate: objective.score(candidate.costs))
    return Selection(plan, terms, objective, tuple(constraints), found, kept, best)


def _depth(bundle: Bundle, cut: str) -> float:
    return bundle.cuts[cut].head_flops / max(bundle.manifest.flops, 1)


def _sends_input(bundle: Bundle, cut: str) -> bool:
    inputs = {spec.name for spec in bundle.inputs}
    return any(spec.name in inputs for spec in bundle.cuts[cut].frontier)
