"""The options that no other option beats on every metric at once."""

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

_Item = TypeVar("_Item")


def front(points: Sequence[Sequence[float]]) -> list[int]:
    """Return which points are not dominated, by position, in the order of their first coordinate.

    A point is dominated if another is no larger anywhere and smaller somewhere. Of equal points all
    stay. In sorted order only an earlier point can dominate a later one.
    """
    kept: list[int] = []
    for index in sorted(range(len(points)), key=lambda at: tuple(points[at])):
        point = points[index]
        if not any(_dominates(points[other], point) for other in kept):
            kept.append(index)
    return kept


def undominated(items: Iterable[_Item], key: Callable[[_Item], Sequence[float]]) -> list[_Item]:
    """Return the items whose key no other's dominates, in their order; of equal keys the first stays."""
    known = [(item, tuple(key(item))) for item in items]
    kept = {}
    for item, point in known:
        if point not in kept and not any(_dominates(other, point) for _, other in known):
            kept[point] = item
    return list(kept.values())


def _dominates(one: Sequence[float], other: Sequence[float]) -> bool:
    pairs = list(zip(one, other, strict=True))
    return all(a <= b for a, b in pairs) and any(a < b for a, b in pairs)
