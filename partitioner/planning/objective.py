"""An objective: the weighted sum of metrics that a plan minimises."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from partitioner.common.arguments import need
from partitioner.common.nearest import meant_text
from partitioner.planning.costs import Costs, price
from partitioner.planning.metrics import METRICS, unknown_metric
from partitioner.planning.option import Option
from partitioner.planning.plan import Plan
from partitioner.planning.terms import Terms
from protos.errors import UsageError

SECONDS = ("latency", "p95", "throughput")
"""Those that are seconds."""


@dataclass(frozen=True)
class Objective:
    """A weighted sum of metrics to minimise; one metric alone has weight 1."""

    weights: dict[str, float]

    @classmethod
    def of(cls, objective: "Objective | str") -> "Objective":
        """Return an objective that may be written as text, see `parse`. Raises UsageError."""
        if isinstance(objective, str):
            return cls.parse(objective)
        need("objective", objective, Objective, wanted="text such as 'latency=1,energy=0.2'")
        return objective

    @classmethod
    def parse(cls, text: str) -> "Objective":
        """Read `latency`, or weights such as `latency=1,energy=0.2,bytes=1e-6`."""
        weights: dict[str, float] = {}
        for part in text.split(","):
            name, _, number = part.partition("=")
            name = name.strip()
            if name not in METRICS or name in weights:
                wrong = "stands there twice" if name in weights else "cannot be minimised"
                where = "" if name == text else f"{text!r}: "
                raise UsageError(
                    f"{where}{name!r} {wrong}.{'' if name in weights else meant_text(name, METRICS)} Choose "
                    f"from: {', '.join(METRICS)}; or weigh several, as "
                    "latency=1,energy=0.2."
                )
            weights[name] = _weight(number, text) if "=" in part else 1.0
        if not any(weights.values()):
            raise UsageError(f"{text!r} minimises nothing. Give a weight above 0.")
        if len(weights) > 1 and text.count("=") != len(weights):
            raise UsageError(f"{text!r} lacks a weight. Write latency=1,energy=0.2.")
        return cls(weights)

    @classmethod
    def asked(cls, minimize: str, weights: str | None) -> "Objective":
        """Return what `minimize` or `weights` says; only one of them may be given."""
        if weights and minimize != "latency":
            raise UsageError("`minimize` and `weights` exclude each other. Give one of them.")
        return cls.parse(weights or minimize)

    def check(self, terms: Terms) -> None:
        """Raise UsageError if the terms lack a number that this needs."""
        lacking = {"energy": not terms.knows_energy, "cost": terms.prices is None}
        for name, weight in self.weights.items():
            if weight and lacking.get(name):
                raise unknown_metric(name)

    @property
    def seconds(self) -> float:
        """The sum of the weights of what is counted in seconds."""
        return sum(self.weights.get(name, 0.0) for name in SECONDS)

    def score(self, costs: Costs) -> float:
        """Return what is to be as small as possible."""
        return sum(weight * costs.metric(name) for name, weight in self.weights.items())

    def least(self, options: Iterable[Option], plan: Plan, terms: Terms) -> Option:
        """Return the option that is the best on the plan's link; of equals the first."""
        return min(options, key=lambda option: self.score(price(option, plan, terms)))

    @property
    def goal(self) -> str:
        """What the best option has: `smallest latency`, `largest throughput`."""
        # Throughput alone is written as a rate; in a sum it is the seconds of the slowest stage.
        return f"{'largest' if set(self.weights) == {'throughput'} else 'smallest'} {self}"

    def __str__(self) -> str:
        if len(self.weights) == 1:
            return next(iter(self.weights))
        return " + ".join(f"{weight:g}·{name}" for name, weight in self.weights.items())


def parse_metrics(text: str) -> tuple[str, ...]:
    """Read two or more metrics, as `latency,energy`."""
    names = tuple(name.strip() for name in text.split(","))
    if len(set(names)) != len(names) or len(names) < 2 or not set(names) <= set(METRICS):
        raise UsageError(
            f"`pareto` {text}: a front needs two different metrics or more, with commas, as "
            f"latency,energy. Choose from: {', '.join(METRICS)}."
        )
    return names


LATENCY = Objective({"latency": 1.0})


def _weight(number: str, text: str) -> float:
    try:
        value = float(number)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise UsageError(f"{text!r}: {number!r} is no weight. Give a number of 0 or more.")
    return value
