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
    kept: list[int] = []
    while order.size and len(kept) < MOST_BOXES:
        first, rest = order[0], order[1:]
        kept.append(int(first))
        same = classes[rest] == classes[first]
        order = rest[~(same & (_overlaps(boxes[first], boxes[rest]) > most_overlap))]
    return np.array(kept, np.int64)


def _overlaps(one: Floats, others: Floats) -> Floats:
    """Return the intersection over union of one box with each of the others."""
    low, high = np.maximum(one[:2], others[:, :2]), np.minimum(one[2:], others[:, 2:])
    shared = np.prod(np.clip(high - low, 0, None), axis=1)
    union = np.prod(one[2:] - one[:2]) + np.prod(others[:, 2:] - others[:, :2], axis=1) - shared
    found: Floats = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
    return found
