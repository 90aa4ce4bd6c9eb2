"""The order of a bundle's cuts, and the times of all heads and tails estimated together under it.

Where the head of one cut lies in that of another it takes no longer, and its tail no less; the same holds of
the whole model. What a machine timed breaks that order as far as its pace wandered meanwhile. The estimates
are the nearest times that keep to it, each weighed by how sure it is: an isotonic regression over the
partial order of the cuts. A head also has to write what crosses, and a tail to read it. So a smaller
one may take longer by what the values take that cross there beyond those of the larger one.
"""

from collections.abc import Mapping
from itertools import permutations
from typing import Literal

import numpy as np

from partitioner.bundle.bundle import Bundle
from partitioner.common.least_distance import Floats, nearest_ordered
from partitioner.graph.graph import Graph
from partitioner.profiles.profile import CutProfile, Estimate, OrderBreak, StageProfile, Timing
from protos.errors import BundleError
from protos.names import EDGE

_PASSES = 2
"""Of what crosses: a runtime that changes the layout reads and writes it once more."""
_SUREST = 0.005
"""As a share of a time: no estimate is surer than this, however many repeats it has."""

Pair = tuple[str, str]
Side = Literal["head", "tail"]
SIDES: tuple[Side, Side] = ("head", "tail")


def heads_of(bundle: Bundle) -> dict[str, frozenset[int]]:
    """Return the nodes before each cut; BundleError where the bundle keeps no graph."""
    graph = bundle.graph
    if graph is None:
        raise BundleError(
            f"{bundle.path} keeps no graph, which tells the cuts that lie in one another. Import the model "
            "again with this splitpoint."
        )
    return {cut_id: _head(graph, bundle, cut_id) for cut_id in bundle.cuts}


def _head(graph: Graph, bundle: Bundle, cut_id: str) -> frozenset[int]:
    if cut_id == EDGE:
        return frozenset(range(len(graph.nodes)))
    cut = bundle.cut(cut_id)
    return graph.head_before([*(spec.name for spec in cut.frontier), *cut.head_outputs])


def nested_cuts(bundle: Bundle) -> tuple[Pair, ...]:
    """Return each pair of cuts of which the first lies in the second; none where that is not known."""
    if bundle.heads_only or bundle.graph is None:
        return ()
    heads = heads_of(bundle)
    return tuple(pair for pair in permutations(heads, 2) if heads[pair[0]] < heads[pair[1]])


def under_order(
    cuts: Mapping[str, CutProfile], nested: tuple[Pair, ...]
) -> tuple[dict[str, CutProfile], tuple[OrderBreak, ...]]:
    """Return the cuts with estimates that keep to the order, and where what was timed breaks it most.

    The estimates that they have are taken as they were before any order. There is at most one break of
    heads and one of tails. `nested`: see nested_cuts.
    """
    found, breaks = dict(cuts), []
    for side in SIDES:
        stages = _stages(cuts, side)
        pairs = [pair if side == "head" else pair[::-1] for pair in nested]
        pairs = [pair for pair in pairs if pair[0] in stages and pair[1] in stages]
        allowed = _tolerances(cuts, pairs)
        for name, stage in _ordered(stages, pairs, allowed).items():
            found[name] = found[name].model_copy(update={side: stage})
        breaks += _worst_break(side, stages, pairs, allowed)
    return found, tuple(breaks)


def estimate_of(seconds: list[float], timing: Timing) -> Estimate:
    """Return the estimate by the repeats that nothing disturbed, before any order."""
    usual = timing if not seconds else Timing.of(seconds)
    return Estimate(
        seconds=usual.median_s,
        alone_s=usual.median_s,
        error_s=max(usual.error_s, _SUREST * usual.median_s),
        repeats=usual.repeats,
    )


def _stages(cuts: Mapping[str, CutProfile], side: Side) -> dict[str, StageProfile]:
    found = {name: cut.head if side == "head" else cut.tail for name, cut in cuts.items()}
    return {name: stage for name, stage in found.items() if stage and stage.estimate}


def _tolerances(cuts: Mapping[str, CutProfile], pairs: list[Pair]) -> Floats:
    """Return by how many seconds the first of each pair may take longer than the second."""
    by_bytes = [
        raw.encode_s / cut.frontier_bytes
        for cut in cuts.values()
        if cut.frontier_bytes and (raw := cut.codecs.get("raw"))
    ]
    second_a_byte = _PASSES * min(by_bytes, default=0.0)
    sizes = {name: cut.frontier_bytes for name, cut in cuts.items()}
    more = [max(0, sizes[first] - sizes[second]) for first, second in pairs]
    return second_a_byte * np.array(more, np.float64)


def _ordered(
    stages: dict[str, StageProfile], pairs: list[Pair], allowed: Floats
) -> dict[str, StageProfile]:
    place = {name: at for at, name in enumerate(stages)}
    known = [stage.estimate for stage in stages.values() if stage.estimate]
    alone = np.array([one.alone_s for one in known])
    sure = 1 / np.maximum([one.error_s for one in known], 1e-9) ** 2
    numbered = [(place[first], place[second]) for first, second in pairs]
    needed = _not_implied(len(known), numbered, allowed)
    kept = [numbered[at] for at in needed]
    seconds = np.maximum(nearest_ordered(alone, sure, kept, allowed[needed]), 0.0)
    return {
        name: stage.model_copy(
            update={"estimate": one.model_copy(update={"seconds": float(seconds[at])})}
        )
        for at, ((name, stage), one) in enumerate(zip(stages.items(), known, strict=True))
    }


def _not_implied(count: int, pairs: list[tuple[int, int]], allowed: Floats) -> list[int]:
    """Return the places of the pairs that do not follow from two others and their tolerances."""
    most = np.full((count, count), np.inf)
    for (first, second), tolerance in zip(pairs, allowed, strict=True):
        most[first, second] = tolerance
    return [
        at
        for at, (first, second) in enumerate(pairs)
        if not (most[first] + most[:, second] <= allowed[at]).any()
    ]


def _worst_break(
    side: Side, stages: dict[str, StageProfile], pairs: list[Pair], allowed: Floats
) -> list[OrderBreak]:
    """Return by which pair what was timed breaks the order most, if by any."""
    medians = {name: stage.timing.median_s for name, stage in stages.items()}
    excesses = [
        ((medians[first] - tolerance) / medians[second] - 1, first, second)
        for (first, second), tolerance in zip(pairs, allowed, strict=True)
        if medians[second] > 0
    ]
    share, smaller, larger = max(excesses, default=(0.0, "", ""))
    if share <= 0:
        return []
    return [OrderBreak(side=side, smaller=smaller, larger=larger, share=share)]
