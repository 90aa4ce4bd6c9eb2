"""The few rows of a plan that can matter: what a table of options shows unless asked for all."""

from partitioner.planning.answer import Answer, is_end
from partitioner.planning.constraints import Candidate
from partitioner.planning.objective import LATENCY

_NEAR = 1.1
"""Up to this many times the best score an option may as well be taken."""
_MOST_NEAR = 3


def rows_worth_showing(answer: Answer) -> list[Candidate]:
    """Return the candidates that a person compares, in the order of the plan.

    These are: the best; both ends; the best split, and the best that sends its values exactly; what is
    the best on a slower or faster uplink (of latency); and the best of up to three more cuts that come
    within 10 % of the best.
    """
    kept = [
        answer.best,
        *answer.ends,
        *_splits(answer),
        *_best_elsewhere(answer),
    ]
    kept += _nearly_best(answer, {candidate.option.cut for candidate in kept})
    return [c for c in answer.selection.candidates if c in kept]


def _splits(answer: Answer) -> list[Candidate]:
    splits = [c for c in answer.selection.candidates if not is_end(c)]
    exact = [c for c in splits if c.option.codec == "raw"]
    return [found for found in (answer.first(splits), answer.first(exact)) if found]


def _best_elsewhere(answer: Answer) -> list[Candidate]:
    if answer.selection.objective != LATENCY:
        return []
    switches = answer.selection.plan.switches()
    winners = {option.label for switch in switches for option in (switch.below, switch.above)}
    return [c for c in answer.selection.candidates if c.option.label in winners]


def _nearly_best(answer: Answer, shown: set[str]) -> list[Candidate]:
    """Return the best candidates of other cuts than those shown, as long as they nearly are the best."""
    limit = _NEAR * answer.score(answer.best)
    ranked = sorted(answer.selection.feasible, key=answer.score)
    near = {c.option.cut: c for c in reversed(ranked) if answer.score(c) <= limit}
    others = [c for c in ranked if near.get(c.option.cut) is c and c.option.cut not in shown]
    return others[:_MOST_NEAR]
