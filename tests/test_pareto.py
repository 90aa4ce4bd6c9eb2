"""The front against its definition, applied to every pair."""

from hypothesis import given
from hypothesis import strategies as st

from partitioner.pareto import front

points = st.integers(1, 4).flatmap(
    lambda width: st.lists(st.tuples(*[st.integers(0, 6)] * width), max_size=30)
)


@given(points)
def test_front_is_the_set_that_nothing_dominates(found: list[tuple[int, ...]]) -> None:
    def beaten(point: tuple[int, ...]) -> bool:
        return any(
            other != point and all(a <= b for a, b in zip(other, point, strict=True))
            for other in found
        )

    kept = front(found)
    assert sorted(kept) == [at for at, point in enumerate(found) if not beaten(point)]
    assert [found[at] for at in kept] == sorted(found[at] for at in kept)
