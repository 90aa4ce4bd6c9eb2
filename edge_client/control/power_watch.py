"""The watch over battery and heat: it reads them, judges by the rules, and tells what these ask for."""

import asyncio
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from time import perf_counter

from edge_client.control.power_sources import PowerSource, battery_source, temperature_source
from partitioner.common.event_loop import repeat
from partitioner.common.units import format_duration
from partitioner.policy.power_rules import (
    DEFAULT_RULES,
    NO_POWER_DEMAND,
    InForce,
    PowerDemand,
    PowerRules,
    Reading,
    judge_power,
    power_demand_of,
)
from partitioner.policy.settings import PolicySettings
from protos.errors import FileError, UsageError

FIXED = "the cut is fixed"
"""The reason why no rule changes a weight where no policy decides."""


def unheard(_text: str) -> None:
    """Say nothing."""


@dataclass(frozen=True)
class Power:
    """The sources of battery and heat, and the rules; `say` hears in words when a rule begins or ends."""

    sources: tuple[PowerSource, ...]
    rules: PowerRules = DEFAULT_RULES
    say: Callable[[str], None] = unheard


@dataclass
class _Last:
    """The last reading of a source."""

    source: PowerSource
    reading: Reading
    read_at: float
    fails: bool = False


class PowerWatch:
    """Keeps the rules in force. `tick` reads and judges; `run` does so again and again.

    Reads every source when it is made: FileError if one cannot be read. One that fails later, by whatever
    exception, is remarked on once, and its last reading counts for `hold_s`.
    """

    def __init__(
        self,
        power: Power,
        on_power_demand: Callable[[PowerDemand], None],
        *,
        unweighed: str = "",
        clock: Callable[[], float] = perf_counter,
    ) -> None:
        self.power_demand = NO_POWER_DEMAND
        """The demand of the rules in force."""
        self.reading = Reading()
        """The last readings of all sources together."""
        self._unweighed = unweighed
        self._power = power
        self._on_power_demand = on_power_demand
        self._clock = clock
        self._in_force: tuple[InForce, ...] = ()
        now_s = clock()
        self._last = [_Last(source, _read(source), now_s) for source in power.sources]
        for caveat in _caveats(power.rules, self._last, unweighed):
            power.say(f"power: {caveat}")
        self._judge()

    async def run(self) -> None:
        """Tick until cancelled; a slow sensor delays no frame."""
        tick = partial(asyncio.to_thread, self.tick)
        await repeat(tick, self._power.rules.every_s, "looking at battery and heat")

    def tick(self) -> None:
        """Read what can be read, and judge."""
        for last in self._last:
            self._read(last)
        self._judge()

    @property
    def unweighed(self) -> str:
        """Why no rule changes a weight; empty where they do."""
        return self._unweighed

    def weigh(self, unweighed: str) -> None:
        """Change no weight from now on, as `unweighed` says; empty: change them again."""
        self._unweighed = unweighed

    def most_fps(self) -> float | None:
        """Return how many frames a second may be taken; None: as many as come."""
        return self.power_demand.max_fps

    def _read(self, last: _Last) -> None:
        try:
            last.reading, last.read_at = _read(last.source), self._clock()
        except FileError as error:
            if not last.fails:
                hold = format_duration(self._power.rules.hold_s)
                self._power.say(
                    f"power: {error} The last reading, {last.reading}, holds for {hold}."
                )
            last.fails = True
        else:
            if last.fails:
                self._power.say(f"power: {last.source.name} can be read again: {last.reading}")
            last.fails = False

    def _judge(self) -> None:
        now_s, rules = self._clock(), self._power.rules
        self.reading = _together(
            last.reading for last in self._last if now_s - last.read_at <= rules.hold_s
        )
        before = self._in_force
        self._in_force = judge_power(rules, self.reading, before, now_s)
        self.power_demand = power_demand_of(rules, self._in_force, weighs=not self._unweighed)
        self._on_power_demand(self.power_demand)
        self._tell({each.rule.name for each in before}, {each.rule.name for each in self._in_force})

    def _tell(self, before: set[str], now: set[str]) -> None:
        if before == now:
            return
        words = [f"{name} begins" for name in sorted(now - before)]
        words += [f"{name} is over" for name in sorted(before - now)]
        asks = self.power_demand.asks or "nothing is asked for"
        self._power.say(f"power: {', '.join(words)} ({self.reading}): {asks}")


def find_power(
    battery: str | None, temperature: str | None, rules: PowerRules, say: Callable[[str], None]
) -> Power:
    """Return the sources that are named; for None what the system shows, if it does.

    Raises UsageError if nothing tells either.
    """
    found = (battery_source(battery), temperature_source(temperature))
    sources = tuple(source for source in found if source is not None)
    if not sources:
        raise UsageError(
            "`power` has nothing to go by: this machine shows neither a battery nor a temperature. Give "
            "`battery` or `temperature` a file or a number, or leave `power` out."
        )
    return Power(sources, rules, say)


def why_unweighed(policy: PolicySettings, *, adapts: bool) -> str:
    """Return why rules change no weight of energy; empty where the policy will weigh it."""
    if not policy.terms.knows_energy:
        return "without `device` nobody knows what a frame takes in joules"
    if not adapts:
        return FIXED
    if not (policy.objective.seconds or policy.objective.weights.get("energy")):
        return f"{policy.objective} counts neither seconds nor energy"
    return ""


def _read(source: PowerSource) -> Reading:
    """Return what a source tells; FileError whatever it raises, as it may be the caller's own."""
    try:
        reading = source.read()
    except FileError:
        raise
    except Exception as error:
        why = str(error) or type(error).__name__
        raise FileError(f"{source.name} cannot be read: {why.rstrip('.')}.") from error
    if not isinstance(reading, Reading):
        raise FileError(f"{source.name} cannot be read: it gave {reading!r}, and not a Reading.")
    return reading


def _together(readings: Iterable[Reading]) -> Reading:
    """Return what several sources tell; of two that tell the same, the first counts."""
    battery = charging = temperature_c = None
    for each in readings:
        if battery is None and each.battery is not None:
            battery, charging = each.battery, each.charging
        if temperature_c is None:
            temperature_c = each.temperature_c
    return Reading(battery, charging, temperature_c)


def _caveats(rules: PowerRules, last: Iterable[_Last], unweighed: str) -> Iterator[str]:
    """Yield what is read, and which rules can do nothing, and why."""
    seen = _together(each.reading for each in last)
    yield str(seen)
    by_battery = [rule.name for rule in rules.rules if rule.battery_percent is not None]
    by_heat = [rule.name for rule in rules.rules if rule.temperature_c is not None]
    for known, what, names in (
        (seen.battery, "the battery's level", by_battery),
        (seen.temperature_c, "the temperature", by_heat),
    ):
        if known is None and names:
            yield f"nothing tells {what}, so these rules never begin: {', '.join(names)}"
    if unweighed and any(rule.energy_factor > 1 for rule in rules.rules):
        yield f"{unweighed}, so no weight changes"
