"""Reasons and amounts in words: why an option is taken, what it is expected to take, gain and cost."""

import math
from collections.abc import Callable

from partitioner.common.units import format_duration, format_energy, format_size
from partitioner.planning.metrics import FrameTimes
from partitioner.planning.objective import Objective
from partitioner.planning.option import Option
from partitioner.policy.conditions import Conditions
from partitioner.policy.decision import Decision
from partitioner.policy.score import Scorer, weighed_metrics, weighs_latency_alone
from partitioner.policy.settings import PolicySettings
from partitioner.policy.wording.causes import name_cause
from protos.names import EDGE


def first_reason(best: FrameTimes, scorer: Scorer, settings: PolicySettings, *, meets: bool) -> str:
    """Say why `best` is the first option."""
    if not scorer.seen.cloud_reachable:
        return scorer.seen.absence
    if not meets:
        return limit_reason(best, settings, meets=False)
    return f"{say_expected(best, scorer)} expected on {scorer.seen.link.link}"


def stay_reason(
    staying: FrameTimes, best: FrameTimes, scorer: Scorer, settings: PolicySettings, *, meets: bool
) -> str:
    """Say why `staying`, which was taken before, is still the option: by what is known now."""
    seen, label = scorer.seen, staying.option.label
    if not seen.cloud_reachable:
        return f"{seen.absence}; {_alone(staying.option, best.option)}"
    if not meets:
        return limit_reason(staying, settings, meets=False)
    expected = first_reason(staying, scorer, settings, meets=True)
    if best.option.label == label:
        return expected
    return f"{expected}; {say_gain(staying, best, scorer)}, too little to move for"


def gain_reason(
    best: FrameTimes,
    staying: FrameTimes,
    scorer: Scorer,
    current: Decision,
    settings: PolicySettings,
    *,
    meets: bool,
) -> str:
    """Say what makes `best` worth a move, and what it gains."""

    def gain(under: Conditions) -> float:
        old, new = (settings.expect(cost.option, under) for cost in (staying, best))
        then = settings.scorer(scorer.meter.plan, under, meets=meets)
        return then.score(old) - then.score(new)

    cause = name_cause(gain, scorer.seen, current.conditions)
    return f"{cause}; {say_gain(staying, best, scorer)}{_say_fruitless(scorer.seen)}"


def _say_fruitless(seen: Conditions) -> str:
    """Say that the moves before brought nothing, if so."""
    moves = seen.lessons.fruitless
    if not moves:
        return ""
    which = "move" if moves == 1 else f"{moves} moves"
    return f", though the last {which} brought less than half of what was promised"


def forced_reason(
    best: FrameTimes,
    scorer: Scorer,
    current: Decision,
    settings: PolicySettings,
    *,
    meets: bool,
    gone: bool,
) -> str:
    """Say why the current option cannot stay; `gone`: it is not offered any more."""
    what, seen = best.option.label, scorer.seen
    if gone:
        return f"{current.option.label} is no longer offered; {say_best(best.option, scorer)}"
    if not seen.cloud_reachable and current.option.cut != EDGE:
        return f"{seen.absence}; {_alone(best.option, best.option)}"
    limit_s = settings.limit_s or math.inf
    here = meets and not current.meets_deadline

    def gain(under: Conditions) -> float:
        """Return how far the old option is too late; or how early the new one is, if none was in time."""
        option = best.option if here else current.option
        late_s = settings.expect(option, under).risked_s - limit_s
        return -late_s if here else late_s

    cause = name_cause(gain, seen, current.conditions)
    if not meets:
        return f"{cause}; {limit_reason(best, settings, meets=False)}"
    return (
        f"{cause}; {current.option.label} would miss {settings.limit}, {what} is expected in "
        f"{format_duration(best.mean_s)}"
    )


def _alone(option: Option, best: Option) -> str:
    """Say how an option answers without the cloud."""
    if option.cut == EDGE:
        return f"{option.label} needs none"
    if option.last_resort:
        which = "the best" if option.label == best.label else "about as good as any"
        return f"only exits remain, and that of {option.cut} is {which}"
    return f"{option.label} has an exit that answers in time"


def limit_reason(taken: FrameTimes, settings: PolicySettings, *, meets: bool) -> str:
    """Say that no option meets the deadline, or that one does again."""
    limit = format_duration(settings.deadline_s or math.inf)
    takes = f"{taken.option.label} is expected in {format_duration(taken.mean_s)}"
    if meets:
        return f"the deadline of {limit} can be met again; {takes}"
    return f"no option meets the deadline of {limit}; {takes}"


def say_expected(cost: FrameTimes, scorer: Scorer) -> str:
    """Say what a frame is expected to take: `90.0 ms`, or `120 mJ and 90.0 ms a frame`."""

    def amount(name: str) -> float:
        return cost.mean_s if name == "latency" else scorer.amount(name, cost)

    return say_amounts(scorer.objective, amount)


def say_amounts(objective: Objective, amount: Callable[[str], float]) -> str:
    """Say what a frame takes of each metric that the objective weighs."""
    if weighs_latency_alone(objective):
        return format_duration(amount("latency"))
    found = [_AMOUNTS[name](amount(name)) for name in weighed_metrics(objective)]
    return f"{' and '.join(found)} a frame"


def say_gain(old: FrameTimes, new: FrameTimes, scorer: Scorer) -> str:
    """Say what `new` saves, and what it costs for it: `edge takes 120 mJ less and 9.00 ms more a frame`."""
    label = new.option.label
    if weighs_latency_alone(scorer.objective):
        return f"{label} is {format_duration(old.risked_s - new.risked_s)} faster"
    changes = [
        (weight * (scorer.amount(name, new) - scorer.amount(name, old)), name)
        for name, weight in weighed_metrics(scorer.objective).items()
    ]
    words = [
        f"{_AMOUNTS[name](abs(change) / scorer.objective.weights[name])} "
        f"{'less' if change < 0 else 'more'}"
        for change, name in sorted(changes)
        if change
    ]
    return f"{label} takes {' and '.join(words)} a frame"


def say_best(option: Option, scorer: Scorer) -> str:
    """Say that an option is the best: `edge is the fastest`."""
    if weighs_latency_alone(scorer.objective):
        return f"{option.label} is the fastest"
    return f"{option.label} is the best by {scorer.objective}"


_AMOUNTS: dict[str, Callable[[float], str]] = {
    "latency": format_duration,
    "p95": lambda seconds: f"{format_duration(seconds)} at p95",
    "throughput": lambda seconds: f"{format_duration(seconds)} in its slowest stage",
    "energy": format_energy,
    "bytes": format_size,
    "cost": lambda money: f"{money:.3g} of money",
}
