"""Cuts in a row: which cut comes next behind each, so that tails share what they have in common."""

from collections.abc import Sequence

Head = frozenset[int]


def next_heads(heads: Sequence[Head]) -> tuple[int | None, ...]:
    """Return for each head the index of the one that its tail goes on from; None for the last of the row.

    The longest row of heads of which each lies in the next is what all tails end in; a head beside the row
    goes on from the first in it that holds all of its nodes. `heads` has one that holds every other, and
    none twice.
    """
    row = _longest_row(heads)
    return tuple(next((at for at in row if head < heads[at]), None) for head in heads)


def _longest_row(heads: Sequence[Head]) -> list[int]:
    """Return the indices of the longest row of heads that lie in one another, the smallest first."""
    order = sorted(range(len(heads)), key=lambda at: len(heads[at]))
    before: dict[int, int | None] = {}
    length: dict[int, int] = {}
    for place, at in enumerate(order):
        inner = [one for one in order[:place] if heads[one] < heads[at]]
        before[at] = max(inner, key=lambda one: length[one], default=None)
        length[at] = 1 + max((length[one] for one in inner), default=0)
    last = max(order, key=lambda at: length[at], default=None)
    row: list[int] = []
    while last is not None:
        row.append(last)
        last = before[last]
    return row[::-1]
