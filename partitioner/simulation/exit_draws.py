"""Exits in a simulation: what each says of each frame is what it said of a held-out input."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from partitioner.bundle.exits import BundleExits
from partitioner.exits.ladder import Rung
from partitioner.simulation.demand import Demand


@dataclass(frozen=True, eq=False)
class Exiting:
    """The exits of a run. Frames are held-out inputs, drawn with `seed`, the same under every policy and for
    every exit, so that what one exit is unsure of the next one is too as often as they really are.
    """

    exits: BundleExits
    ladder: Sequence[Rung]
    """Of the adaptive policy."""
    fixed: Rung
    """Of the others, which keep no limit."""
    seed: int = 0

    def asked(self, demand: Demand, frame: int, rung: Rung) -> Demand:
        """Return what a frame asks once the exit at its cut was asked: nothing more where it answers."""
        cut = demand.label.partition("/")[0]
        threshold = rung.thresholds.get(cut)
        exit_ = self.exits.by_cut.get(cut)
        if exit_ is None or (threshold is None and demand.fallback != "exit"):
            return demand
        outcomes = exit_.outcomes
        drawn = np.random.default_rng((self.seed, frame)).integers(len(outcomes.confidence))
        agrees = bool(outcomes.agrees[drawn])
        if threshold is None or outcomes.confidence[drawn] < threshold:
            return replace(demand, exits_from=threshold, agrees=agrees)
        return Demand(
            demand.label,
            demand.edge_s,
            0.0,
            0.0,
            0.0,
            exits_from=threshold,
            agrees=agrees,
            by_exit=True,
        )
