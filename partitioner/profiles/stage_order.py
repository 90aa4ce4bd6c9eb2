"""The order of a bundle's cuts, and the times of all heads and tails estimated together under it.

Where the head of one cut lies in that of another it takes no longer, and its tail no less; the same holds of
the whole model. What a machine timed breaks that order as far as its pace wandered meanwhile. The estimates
are the nearest times that keep to it, each weighed by how sure it is: an isotonic regression over the
partial order of the cuts. A head also has to write what crosses, and a tail to read it. So a smaller
one may take longer by what the values take that cross there beyond those of the larger one.

Head and tail of a cut take about as long together as the whole model. So many pairs tell that better than
any stage alone: where repeats are few it counts more than they do, and where they are many, hardly.
"""

import math
from collections.abc import Mapping, Sequence
from itertools import permutations
from typing import Literal

import numpy as np

from partitioner.bundle.bundle import Bundle
from partitioner.common.least_distance import Floats, nearest_ordered
from partitioner.graph.graph import Graph
from partitioner.profiles.profile import CutProfile, Estimate, OrderBreak, StageProfile
from protos.errors import BundleError
from protos.names import CLOUD, EDGE

_PASSES = 2
"""Of what crosses: a runtime that changes the layout reads and writes it once more."""
_SUREST = 0.005
"""As a share of a time: no estimate is surer than this, however many repeats it has."""

_INTERVAL = 2.456
"""Half of the 95 % interval of a median of n normal samples is this times sigma / sqrt(n): 1.96 · 1.2533."""
_POOLED = 4
"""Repeats that the variance of all stages counts for, beside those of each."""
_ADDED = 0.06
"""Of the whole: by how much head and tail together may differ from it, as half of a 95 % interval."""
_BESIDE = 0.2
"""Of the whole: what two sessions may take beside one, for all cuts alike."""

Pair = tuple[str, str]
Side = Literal["head", "tail"]
SIDES: tuple[Side, Side] = ("head", "tail")
Key = tuple[str, Side]
KeyPair = tuple[Key, Key]
WHOLES: tuple[Key, Key] = ((EDGE, "head"), (CLOUD, "tail"))
"""The stages that compute the whole model."""


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
    stages = _stages(cuts)
    pairs = [pair for pair in _pairs(nested) if pair[0] in stages and pair[1] in stages]
    allowed = _tolerances(cuts, pairs)
    found = dict(cuts)
    for (name, side), stage in _ordered(cuts, stages, pairs, allowed).items():
        found[name] = found[name].model_copy(update={side: stage})
    broken = (_worst_break(side, stages, pairs, allowed) for side in SIDES)
    return found, tuple(one for one in broken if one)


def estimates_of(repeats: Sequence[Sequence[float]]) -> list[Estimate]:
    """Return the estimate of each stage by its repeats that nothing disturbed, before any order.

    A few repeats tell their median better than how far it may be off: three may agree by chance. So the
    variance of each stage, as a share of its time, counts beside that of all stages together, as much as
    its repeats do beside four more.
    """
    logs = [np.log(np.maximum(found, 1e-12)) for found in repeats]
    squares = np.array([((found - found.mean()) ** 2).sum() for found in logs])
    known = np.array([len(found) - 1 for found in logs])
    pooled = squares.sum() / max(1, known.sum())
    spreads = np.sqrt((_POOLED * pooled + squares) / (_POOLED + known))
    estimates = []
    for found, spread in zip(repeats, spreads, strict=True):
        seconds = float(np.median(found))
        error = max(_INTERVAL * float(spread) / math.sqrt(len(found)), _SUREST)
        estimates.append(
            Estimate(seconds=seconds, alone_s=seconds, error_s=error * seconds, repeats=len(found))
        )
    return estimates


def _pairs(nested: tuple[Pair, ...]) -> list[KeyPair]:
    """Return the pairs of stages of which the first takes no longer."""
    heads: list[KeyPair] = [((first, "head"), (second, "head")) for first, second in nested]
    return heads + [((second, "tail"), (first, "tail")) for first, second in nested]


def _stages(cuts: Mapping[str, CutProfile]) -> dict[Key, StageProfile]:
    found = {
        (name, side): cut.head if side == "head" else cut.tail
        for side in SIDES
        for name, cut in cuts.items()
    }
    return {key: stage for key, stage in found.items() if stage and stage.estimate}


def _second_a_byte(cuts: Mapping[str, CutProfile]) -> float:
    """Return what a value that crosses takes to be written and read, by the best of the codec `raw`."""
    by_bytes = [
        raw.encode_s / cut.frontier_bytes
        for cut in cuts.values()
        if cut.frontier_bytes and (raw := cut.codecs.get("raw"))
    ]
    return _PASSES * min(by_bytes, default=0.0)


def _tolerances(cuts: Mapping[str, CutProfile], pairs: list[KeyPair]) -> Floats:
    """Return by how many seconds the first of each pair may take longer than the second."""
    sizes = {name: cut.frontier_bytes for name, cut in cuts.items()}
    more = [max(0, sizes[first] - sizes[second]) for (first, _), (second, _) in pairs]
    return _second_a_byte(cuts) * np.array(more, np.float64)


def _ordered(
    cuts: Mapping[str, CutProfile],
    stages: dict[Key, StageProfile],
    pairs: list[KeyPair],
    allowed: Floats,
) -> dict[Key, StageProfile]:
    place = {key: at for at, key in enumerate(stages)}
    known = [stage.estimate for stage in stages.values() if stage.estimate]
    numbered = [(place[first], place[second]) for first, second in pairs]
    needed = _not_implied(len(known), numbered, allowed)
    if not needed:
        return stages
    rows, targets = _as_measured(known)
    parts = _parts(cuts, place, known)
    seconds = nearest_ordered(
        np.vstack([rows, parts]),
        np.append(targets, np.zeros(len(parts))),
        [numbered[at] for at in needed],
        allowed[needed],
    )
    return {
        key: stage.model_copy(
            update={"estimate": one.model_copy(update={"seconds": max(0.0, float(seconds[at]))})}
        )
        for at, ((key, stage), one) in enumerate(zip(stages.items(), known, strict=True))
    }


def _as_measured(known: Sequence[Estimate]) -> tuple[Floats, Floats]:
    """Return the equations "a stage takes what it took", each as sure as that is; see nearest_ordered.

    The last column is for what both parts take beside the whole, which no stage tells alone.
    """
    sure = 1 / np.maximum([one.error_s for one in known], 1e-9)
    rows = np.pad(np.diag(sure), ((0, 0), (0, 1)))
    return rows, sure * np.array([one.alone_s for one in known])


def _parts(
    cuts: Mapping[str, CutProfile], place: Mapping[Key, int], known: Sequence[Estimate]
) -> Floats:
    """Return the equations "head and tail take what the whole does, and something beside"; all are 0.

    What they take beside is the same for all cuts, and none or little.
    """
    wholes = [place[key] for key in WHOLES if key in place]
    whole_s = max((known[at].alone_s for at in wholes), default=0.0)
    beside, unit = len(known), max(whole_s, 1e-9)
    little = np.zeros(len(known) + 1)
    little[beside] = 1 / (_BESIDE * unit)
    rows, second_a_byte = [little], _second_a_byte(cuts)
    for name, cut in cuts.items():
        parts = [place[name, side] for side in SIDES if (name, side) in place]
        if len(parts) < len(SIDES) or not wholes:
            continue
        row = np.zeros(len(known) + 1)
        row[[*parts]] = 1.0
        row[wholes] -= 1 / len(wholes)
        row[beside] = -1.0
        rows.append(row / (_ADDED * unit + second_a_byte * cut.frontier_bytes))
    return np.array(rows)


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
    side: Side, stages: dict[Key, StageProfile], pairs: list[KeyPair], allowed: Floats
) -> OrderBreak | None:
    """Return by which pair what was timed breaks the order most, if by any."""
    medians = {key: stage.timing.median_s for key, stage in stages.items()}
    excesses = [
        ((medians[first] - tolerance) / medians[second] - 1, first[0], second[0])
        for (first, second), tolerance in zip(pairs, allowed, strict=True)
        if first[1] == side and medians[second] > 0
    ]
    share, smaller, larger = max(excesses, default=(0.0, "", ""))
    if share <= 0:
        return None
    return OrderBreak(side=side, smaller=smaller, larger=larger, share=share)
