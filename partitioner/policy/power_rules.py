"""Power rules: at a low battery or in heat energy weighs more, and fewer frames are taken.

Pure: rules, a reading and the clock in, the rules that hold out. docs/power.md has the table of ours.
"""

import tomllib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from pydantic import Field, ValidationError, model_validator

from partitioner.common.faults import first_fault
from partitioner.common.frozen_model import FrozenModel
from partitioner.common.units import plural
from partitioner.planning.objective import Objective
from protos.errors import FileError


@dataclass(frozen=True, slots=True)
class Reading:
    """What is known of battery and heat; None: unknown."""

    battery: float | None = None
    """The share of a full one."""
    charging: bool | None = None
    """Power comes from elsewhere; None counts as no."""
    temperature_c: float | None = None

    def __str__(self) -> str:
        found = []
        if self.battery is not None:
            source = ", charging" if self.charging else ""
            found.append(f"battery {100 * self.battery:.0f} %{source}")
        if self.temperature_c is not None:
            found.append(f"{self.temperature_c:.0f} °C")
        return ", ".join(found) or "nothing is known"


class Rule(FrozenModel):
    """From what level or temperature on a rule holds, until when, and what it asks for."""

    name: str = Field(min_length=1, max_length=32, pattern=r"^[ -~]+$")
    battery_percent: float | None = Field(default=None, ge=0, le=100)
    """It begins at this level or below, unless power comes from elsewhere, which also ends it."""
    temperature_c: float | None = None
    """It begins at this temperature or above."""
    recovers: float
    """It ends at this level or above, or at this temperature or below."""
    energy_factor: float = Field(default=1.0, ge=1)
    """The weight of energy rises by this factor."""
    max_fps: float | None = Field(default=None, gt=0)
    """Frames a second that are taken at most."""

    @model_validator(mode="after")
    def _has_a_meaning(self) -> Self:
        battery, heat = self.battery_percent, self.temperature_c
        if (battery is None) == (heat is None):
            raise ValueError("a rule needs either battery_percent or temperature_c")
        if battery is not None and not battery < self.recovers <= 100:
            raise ValueError("recovers must be above battery_percent, and 100 at most")
        if heat is not None and not self.recovers < heat:
            raise ValueError("recovers must be below temperature_c")
        if self.energy_factor == 1 and self.max_fps is None:
            raise ValueError("a rule needs an energy_factor above 1, or max_fps")
        return self

    def begins(self, seen: Reading) -> bool:
        """Tell whether it begins to hold."""
        if self.temperature_c is not None:
            return seen.temperature_c is not None and seen.temperature_c >= self.temperature_c
        if self.battery_percent is None or seen.battery is None or seen.charging:
            return False
        return 100 * seen.battery <= self.battery_percent

    def ends(self, seen: Reading) -> bool:
        """Tell whether it holds no longer, be it that nothing is known any more."""
        if self.temperature_c is not None:
            return seen.temperature_c is None or seen.temperature_c <= self.recovers
        return seen.battery is None or bool(seen.charging) or 100 * seen.battery >= self.recovers


class PowerRules(FrozenModel):
    """All rules, and how often and how long what they look at counts."""

    rules: tuple[Rule, ...] = Field(min_length=1, max_length=16)
    every_s: float = Field(default=5.0, ge=0.5, le=3600)
    """Between two readings."""
    hold_s: float = Field(default=60.0, ge=0)
    """The last reading counts for so long once no other comes."""
    least_s: float = Field(default=30.0, ge=0)
    """A rule that has begun holds for so long, whatever is read."""
    seconds_per_joule: float = Field(default=0.1, gt=0)
    """What a joule counts as, before any factor, where the objective counts seconds and no energy."""

    @model_validator(mode="after")
    def _has_names_of_its_own(self) -> Self:
        name, count = Counter(rule.name for rule in self.rules).most_common(1)[0]
        if count > 1:
            raise ValueError(f"two rules are called {name!r}")
        return self

    def without_rates(self) -> "PowerRules":
        """Return the same rules without their frame rates, for a server that cannot slow its callers."""
        rules = tuple(rule.model_copy(update={"max_fps": None}) for rule in self.rules)
        return self.model_copy(update={"rules": rules})


@dataclass(frozen=True, slots=True)
class InForce:
    """A rule that holds."""

    rule: Rule
    since_s: float


@dataclass(frozen=True, slots=True)
class PowerDemand:
    """What the rules that hold ask for together: the largest factor, and the lowest rate."""

    names: tuple[str, ...] = ()
    energy_factor: float = 1.0
    max_fps: float | None = None
    seconds_per_joule: float = 0.0

    @property
    def title(self) -> str:
        """The names of the rules."""
        return ", ".join(self.names)

    def shifts(self, objective: Objective) -> Objective:
        """Return the objective with the weight of energy that the rules ask for.

        Where it has none, what counts seconds gives it a weight to begin with; what counts neither
        seconds nor energy stays as it is.
        """
        if self.energy_factor == 1:
            return objective
        weights = objective.weights
        energy = weights.get("energy") or self.seconds_per_joule * objective.seconds
        return (
            Objective({**weights, "energy": self.energy_factor * energy}) if energy else objective
        )

    @property
    def asks(self) -> str:
        """What they ask for, in words."""
        found = []
        if self.energy_factor > 1:
            found.append(f"energy counts {self.energy_factor:g}x")
        if self.max_fps is not None:
            found.append(f"at most {plural(self.max_fps, 'frame')} a second")
        return ", ".join(found)

    def __str__(self) -> str:
        return ": ".join(filter(None, (self.title, self.asks)))


NO_POWER_DEMAND = PowerDemand()

DEFAULT_RULES = PowerRules(
    rules=(
        Rule(name="low battery", battery_percent=30, recovers=35, energy_factor=3, max_fps=15),
        Rule(name="very low battery", battery_percent=15, recovers=20, energy_factor=10, max_fps=5),
        Rule(name="warm", temperature_c=70, recovers=65, energy_factor=2, max_fps=15),
        Rule(name="hot", temperature_c=80, recovers=72, energy_factor=5, max_fps=5),
    )
)
"""For a board whose chip slows itself down from 80 °C on, and a battery that should last."""


def judge_power(
    rules: PowerRules, seen: Reading, in_force: Sequence[InForce], now_s: float
) -> tuple[InForce, ...]:
    """Return the rules that hold now, given those that held before, in their order."""
    since = {each.rule.name: each.since_s for each in in_force}

    def holds(rule: Rule) -> bool:
        if rule.name not in since:
            return rule.begins(seen)
        settled = now_s - since[rule.name] >= rules.least_s
        return not (settled and rule.ends(seen))

    return tuple(InForce(rule, since.get(rule.name, now_s)) for rule in rules.rules if holds(rule))


def power_demand_of(rules: PowerRules, in_force: Sequence[InForce], *, weighs: bool) -> PowerDemand:
    """Return what the rules that hold ask for; no factor unless the policy `weighs` energy by it."""
    if not in_force:
        return NO_POWER_DEMAND
    factor = max(each.rule.energy_factor for each in in_force)
    rates = [each.rule.max_fps for each in in_force if each.rule.max_fps is not None]
    return PowerDemand(
        tuple(each.rule.name for each in in_force),
        factor if weighs else 1.0,
        min(rates, default=None),
        rules.seconds_per_joule,
    )


def load_rules(path: Path) -> PowerRules:
    """Return the rules in a TOML file, or a JSON file if it ends in `.json`. Raises FileError."""
    try:
        if path.suffix == ".json":
            return PowerRules.model_validate_json(path.read_bytes())
        return PowerRules.model_validate(tomllib.loads(path.read_text()))
    except OSError as error:
        raise FileError(
            f"power rules {path} cannot be read: {error.strerror}. Give a file of rules, or auto."
        ) from error
    except ValidationError as error:
        raise FileError(
            f"{path} holds no power rules: {first_fault(error)}. docs/power.md shows a file."
        ) from error
    except ValueError as error:
        raise FileError(f"{path} is not TOML: {error}. docs/power.md shows a file.") from error
