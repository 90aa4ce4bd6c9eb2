"""Cuts in a row, against exhaustive search."""

from itertools import combinations, pairwise

import hypothesis.strategies as st
from hypothesis import given

from partitioner.graph.chains import next_heads

Head = frozenset[int]
ALL = frozenset(range(6))


def longest(heads: list[Head]) -> int:
    """The length of the longest row, by trying every set of heads."""
    return max(
        size
        for size in range(1, len(heads) + 1)
        for some in combinations(sorted(heads, key=len), size)
        if all(one < two for one, two in pairwise(some))
    )


@given(st.sets(st.frozensets(st.integers(0, 5)), max_size=6))
def test_every_head_ends_in_the_whole_by_heads_that_hold_it(some: set[Head]) -> None:
    heads = sorted({*some, frozenset(), ALL}, key=sorted)
    after = next_heads(heads)
    assert [heads[at] for at, following in enumerate(after) if following is None] == [ALL]
    for head, following in zip(heads, after, strict=True):
        assert following is None or head < heads[following]
    at, row = heads.index(frozenset()), [frozenset[int]()]
    while (following := after[at]) is not None:
        at = following
        row.append(heads[at])
    assert len(row) == longest(heads)


def test_head_beside_the_row_goes_on_from_the_first_that_holds_it() -> None:
    a, b, ab, abc = (frozenset(letters) for letters in ({0}, {1}, {0, 1}, {0, 1, 2}))
    assert next_heads([frozenset(), a, b, ab, abc]) == (1, 3, 3, 4, None)
