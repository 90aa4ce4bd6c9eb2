"""Random draws of frames: drawn once, and the same whatever is chosen for them.

So options and policies are compared on the same frames, and differ by nothing else.
"""

from typing import NamedTuple

import numpy as np

from partitioner.simulation.demand import Demand

_BLOCK = 4096


class Chance(NamedTuple):
    """The shares of all frames that are faster than this one: on the device, and in the cloud."""

    edge: float
    cloud: float

    def of(self, demand: Demand) -> Demand:
        """Return what this frame asks, if `demand` is what a median one asks."""
        return demand.scaled(
            demand.edge_variation.factor(self.edge), demand.cloud_variation.factor(self.cloud)
        )


class Chances:
    """The chance of each frame by its number; equal seeds have equal ones."""

    def __init__(self, seed: int) -> None:
        self._random = np.random.default_rng(seed)
        self._drawn: list[Chance] = []

    def __getitem__(self, frame: int) -> Chance:
        while frame >= len(self._drawn):
            self._drawn += (Chance(*pair) for pair in self._random.random((_BLOCK, 2)).tolist())
        return self._drawn[frame]
