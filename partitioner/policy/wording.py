"""Amounts in words: what an option is expected to take, gain and cost."""

from collections.abc import Callable

from partitioner.common.units import format_duration, format_energy, format_size
from partitioner.planning.metrics import FrameTimes
from partitioner.planning.objective import Objective
from partitioner.planning.option import Option
from partitioner.policy.score import Scorer, weighed_metrics, weighs_latency_alone


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
