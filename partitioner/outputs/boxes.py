"""Boxes [n, 4] as x1, y1, x2, y2: from other forms, and without those that show the same thing."""

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Floats: TypeAlias = npt.NDArray[np.float64]
Places: TypeAlias = npt.NDArray[np.int64]

MOST_CANDIDATES = 2_000
"""Of a frame that go into the comparison of all with all; the strongest of them."""
MOST_BOXES = 300


def corners_of(centred: Floats) -> Floats:
    """Return the corners of boxes that are given as centre x, centre y, width, height."""
    centre, half = centred[:, :2], centred[:, 2:] / 2
    return np.concatenate([centre - half, centre + half], axis=1)


def suppress(boxes: Floats, scores: Floats, classes: Places, most_overlap: float) -> Places:
    """Return the places of the boxes that stay, the strongest first: greedy non-maximum suppression.

    A box goes if one of its own class that stays is stronger and overlaps it by more than `most_overlap`
    (intersection over union).
    """
    order = np.argsort(-scores, kind="stable")[:MOST_CANDIDATES]
    low, high, classes = boxes[order, :2].T, boxes[order, 2:].T, classes[order]
    areas = (high - low).prod(axis=0)
    left = np.arange(len(order))
    kept: list[int] = []
    while left.size and len(kept) < MOST_BOXES:
        first, rest = left[0], left[1:]
        kept.append(int(order[first]))
        sides = np.minimum(high[:, first, None], high[:, rest])
        sides -= np.maximum(low[:, first, None], low[:, rest])
        shared = np.maximum(sides[0], 0) * np.maximum(sides[1], 0)
        union = areas[first] + areas[rest] - shared
        # Not divided, as boxes may have no area.
        left = rest[(classes[rest] != classes[first]) | (shared <= most_overlap * union)]
    return np.array(kept, np.int64)
