"""The options that no other option beats on every metric at once."""

from collections.abc import Sequence


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


def _dominates(one: Sequence[float], other: Sequence[float]) -> bool:
    pairs = list(zip(one, other, strict=True))
    return all(a <= b for a, b in pairs) and any(a < b for a, b in pairs)
