"""Dividing inputs: a share of them, drawn with a seed and from every class alike.

Every fourth or fifth input would follow the order in which they come: of labels 0, 1, 2, 3, 0, 1, … it is one
class, and of a folder sorted by class the first so many are.
"""

from collections.abc import Hashable, Sequence

import numpy as np
import numpy.typing as npt

SEED = 20240229
"""Of every division, so that the same inputs are divided alike on every machine."""


def choose_share(groups: Sequence[Hashable], count: int, seed: int = SEED) -> npt.NDArray[np.bool_]:
    """Return which of the inputs are chosen: `count` of them, of each group in proportion, [n].

    `groups`: the class of each input, or the same for all where nothing is known. Within a group all are as
    likely (systematic sampling from a random start: W. Madow and L. Madow, Annals of Mathematical
    Statistics 15, 1944). Fewer inputs than `count` are all chosen.
    """
    random = np.random.default_rng(seed)
    keys = np.empty(len(groups))
    for members in _by_group(groups):
        ranks = random.permutation(len(members))
        keys[members] = (ranks + random.uniform()) / len(members)
    chosen = np.zeros(len(groups), np.bool_)
    chosen[np.argsort(keys, kind="stable")[:count]] = True
    return chosen


def _by_group(groups: Sequence[Hashable]) -> list[list[int]]:
    found: dict[Hashable, list[int]] = {}
    for place, group in enumerate(groups):
        found.setdefault(group, []).append(place)
    return list(found.values())
