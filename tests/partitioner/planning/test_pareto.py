"""The front against its definition, applied to every pair."""

from hypothesis import given
from hypothesis import strategies as st

from partitioner.planning.pareto import front, undominated

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


@given(points)
def test_undominated_items_keep_their_order_and_the_first_of_equals(
    found: list[tuple[int, ...]],
) -> None:
    kept = undominated(enumerate(found), key=lambda item: item[1])
    wanted = sorted(set(front(found)))
    assert [at for at, _ in kept] == [at for at in wanted if found[at] not in found[:at]]
