"""Answers without a cloud: the cut `edge`, or on a device without tails the answer of an exit."""

import math
from collections.abc import Sequence

from partitioner.bundle.bundle import Bundle
from partitioner.planning.metrics import FrameTimes
from partitioner.planning.option import Option
from partitioner.policy.conditions import Conditions
from protos.names import CLOUD, EDGE


def remaining(
    costs: Sequence[FrameTimes], seen: Conditions, limit_s: float | None
) -> list[FrameTimes]:
    """Return what can answer by itself: options at the cut `edge`, or else the best last resort, if any.

    That is the exit that is right most often of those that answer within `limit_s`, or the fastest where
    none does. Its cost is that of head and exit.
    """
    if local := [cost for cost in costs if cost.option.cut == EDGE]:
        return local
    alone = [_alone(cost.option, seen) for cost in costs if cost.option.last_resort]
    if not alone:
        return []
    limit = math.inf if limit_s is None else limit_s
    in_time = [cost for cost in alone if cost.mean_s <= limit]
    if not in_time:
        return [min(alone, key=lambda cost: cost.mean_s)]
    return [max(in_time, key=lambda cost: (agreement(cost.option), -cost.mean_s))]


def best_alone(options: Sequence[Option]) -> Option | None:
    """Return the option to begin with while the cloud is away; None if nothing here can answer."""
    for option in options:
        if option.cut == EDGE:
            return option
    able = [option for option in options if option.last_resort]
    return max(able, key=lambda option: (agreement(option), -option.edge_s), default=None)


def cut_alone(bundle: Bundle) -> str:
    """Return where to cut while the cloud is away and nothing was measured: `edge`, or at the best exit.

    Where there is neither it is `cloud`: the frames of that cost least until it comes.
    """
    if not bundle.heads_only:
        return EDGE
    able = {cut: found.agreement_of_all for cut in bundle.cuts if (found := bundle.exit_at(cut))}
    return max(able, key=able.__getitem__, default=CLOUD)


def agreement(option: Option) -> float:
    """Return how often the last resort gives the whole model's class; 0 where there is none."""
    return option.last_resort.agreement if option.last_resort else 0.0


def _alone(option: Option, seen: Conditions) -> FrameTimes:
    exit_s = option.last_resort.exit_s if option.last_resort else 0.0
    total_s = (option.edge_s + exit_s) * seen.edge_load
    return FrameTimes(option, total_s, total_s, total_s)
