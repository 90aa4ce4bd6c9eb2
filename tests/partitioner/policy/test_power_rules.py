"""Rules for battery and heat: when they begin and end, and what they ask for."""

import json
from pathlib import Path

import pytest

from partitioner.planning.objective import Objective
from partitioner.policy.power_rules import (
    DEFAULT_RULES,
    NO_POWER_DEMAND,
    InForce,
    PowerDemand,
    PowerRules,
    Reading,
    Rule,
    judge_power,
    load_rules,
    power_demand_of,
)
from protos.errors import FileError

ROOT = Path(__file__).parents[3]
LOW = Rule(name="low", battery_percent=30, recovers=35, energy_factor=3, max_fps=15)
HOT = Rule(name="hot", temperature_c=80, recovers=72, energy_factor=5, max_fps=5)
AT_ONCE = PowerRules(rules=(LOW, HOT), least_s=0)


def follow(rules: PowerRules, readings: list[Reading], step_s: float = 5.0) -> list[list[str]]:
    """The names of the rules that hold after each reading, one every `step_s`."""
    held: tuple[InForce, ...] = ()
    found = []
    for place, reading in enumerate(readings):
        held = judge_power(rules, reading, held, step_s * place)
        found.append([each.rule.name for each in held])
    return found


def test_battery_rule_begins_at_its_level_and_ends_only_when_it_has_recovered() -> None:
    levels = (0.31, 0.30, 0.31, 0.34, 0.30, 0.35, 0.31)
    found = follow(AT_ONCE, [Reading(battery=level) for level in levels])
    assert found == [[], ["low"], ["low"], ["low"], ["low"], [], []]


def test_heat_rule_begins_at_its_temperature_and_ends_only_when_it_has_cooled() -> None:
    degrees = (79.9, 80.0, 75.0, 81.0, 72.1, 72.0, 79.0)
    found = follow(AT_ONCE, [Reading(temperature_c=each) for each in degrees])
    assert found == [[], ["hot"], ["hot"], ["hot"], ["hot"], [], []]


def test_charging_ends_what_a_low_battery_began_and_no_heat() -> None:
    on, off = (Reading(0.1, charging, 90.0) for charging in (True, False))
    assert follow(AT_ONCE, [on, off, on]) == [["hot"], ["low", "hot"], ["hot"]]


def test_loose_plug_does_not_make_a_rule_flap() -> None:
    rules = PowerRules(rules=(LOW,), least_s=30)
    plug = [Reading(0.1, charging=place % 2 == 1) for place in range(9)]
    # It holds for 30 s, six steps, whatever the plug does; the seventh finds it charging.
    assert follow(rules, plug) == [["low"]] * 7 + [[], ["low"]]


def test_rule_lasts_its_time_from_when_it_began() -> None:
    rules = PowerRules(rules=(LOW,), least_s=10)
    levels = [Reading(battery=level) for level in (0.9, 0.9, 0.2, 0.9, 0.9)]
    assert follow(rules, levels) == [[], [], ["low"], ["low"], []]


def test_reading_says_what_is_known() -> None:
    assert str(Reading(0.123, True, 41.6)) == "battery 12 %, charging, 42 °C"
    assert str(Reading(battery=0.5)) == "battery 50 %"
    assert str(Reading(temperature_c=20.0)) == "20 °C"
    assert str(Reading()) == "nothing is known"


def test_rule_of_what_is_not_known_any_more_ends() -> None:
    known = Reading(0.1, False, 90.0)
    assert follow(AT_ONCE, [known, Reading(temperature_c=90.0), Reading()]) == [
        ["low", "hot"], ["hot"], [],
    ]  # fmt: skip


def test_rules_together_ask_for_the_largest_factor_and_the_lowest_rate() -> None:
    quick = Rule(name="quick", temperature_c=50, recovers=40, energy_factor=9)
    rules = PowerRules(rules=(LOW, HOT, quick), seconds_per_joule=0.2)
    held = [InForce(rule, 0.0) for rule in rules.rules]
    assert power_demand_of(rules, held[:1], weighs=True) == PowerDemand(("low",), 3.0, 15.0, 0.2)
    assert power_demand_of(rules, held, weighs=True) == PowerDemand(
        ("low", "hot", "quick"), 9.0, 5.0, 0.2
    )
    assert power_demand_of(rules, held[2:], weighs=True).max_fps is None
    assert power_demand_of(rules, held, weighs=False).energy_factor == 1
    assert power_demand_of(rules, [], weighs=True) == NO_POWER_DEMAND
    assert str(power_demand_of(rules, held[:2], weighs=True)) == (
        "low, hot: energy counts 5x, at most 5 frames a second"
    )
    unpaced = rules.without_rates()
    kept = [InForce(rule, 0.0) for rule in unpaced.rules]
    assert power_demand_of(unpaced, kept, weighs=True) == PowerDemand(
        ("low", "hot", "quick"), 9.0, None, 0.2
    )


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("latency=1,energy=0.2", {"latency": 1.0, "energy": 0.6}),
        ("latency", {"latency": 1.0, "energy": 0.3}),  # 0.1 s a joule to begin with
        ("latency=2,p95=1,bytes=1", {"latency": 2.0, "p95": 1.0, "bytes": 1.0, "energy": 0.9}),
        ("energy", {"energy": 3.0}),
        ("bytes", {"bytes": 1.0}),  # nobody has said what a joule is worth in bytes
    ],
)
def test_weight_of_energy_rises_by_the_factor(before: str, after: dict[str, float]) -> None:
    power_demand = PowerDemand(("low",), 3.0, None, seconds_per_joule=0.1)
    assert power_demand.shifts(Objective.parse(before)).weights == pytest.approx(after)
    assert NO_POWER_DEMAND.shifts(Objective.parse(before)) == Objective.parse(before)


def test_rules_are_read_from_toml_and_json(tmp_path: Path) -> None:
    toml = tmp_path / "rules.toml"
    toml.write_text(
        'every_s = 2\nhold_s = 20\n[[rules]]\nname = "low"\nbattery_percent = 30\nrecovers = 35\n'
        "energy_factor = 3\nmax_fps = 15\n"
    )
    assert load_rules(toml) == PowerRules(rules=(LOW,), every_s=2, hold_s=20)
    as_json = tmp_path / "rules.json"
    as_json.write_text(AT_ONCE.model_dump_json())
    assert load_rules(as_json) == AT_ONCE


RULE = {"name": "low", "battery_percent": 30, "recovers": 35, "energy_factor": 3}


@pytest.mark.parametrize(
    ("rules", "match"),
    [
        ([], "rules: Tuple should have at least 1 item"),
        ([{**RULE, "temperature_c": 80}], "either battery_percent or temperature_c"),
        ([{**RULE, "recovers": 30}], "recovers must be above battery_percent"),
        (
            [{"name": "hot", "temperature_c": 80, "recovers": 80, "max_fps": 1}],
            "recovers must be below temperature_c",
        ),
        ([{**RULE, "energy_factor": 1}], "needs an energy_factor above 1, or max_fps"),
        ([{**RULE, "energy_factor": 0.5}], "rules.0.energy_factor"),
        ([{**RULE, "max_fps": 0}], "rules.0.max_fps"),
        ([{**RULE, "fps": 3}], "rules.0.fps: there is no such field"),
        ([RULE, RULE], "two rules are called 'low'"),
    ],
)
def test_rules_without_meaning_are_refused(
    tmp_path: Path, rules: list[dict[str, object]], match: str
) -> None:
    path = tmp_path / "rules.json"
    path.write_text(json.dumps({"rules": rules}))
    with pytest.raises(FileError, match=match):
        load_rules(path)


def test_file_that_holds_no_rules_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"power rules .*none.toml cannot be read: No such file"):
        load_rules(tmp_path / "none.toml")
    path = tmp_path / "bad.toml"
    path.write_text("rules = [")
    with pytest.raises(FileError, match="is not TOML"):
        load_rules(path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(FileError, match="is not TOML"):
        load_rules(path)


def test_documented_table_and_file_are_the_rules(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "power.md").read_text()
    for rule in DEFAULT_RULES.rules:
        if rule.battery_percent is not None:
            span = f"≤ {rule.battery_percent:g} % | ≥ {rule.recovers:g} %, or charging"
        else:
            span = f"≥ {rule.temperature_c:g} °C | ≤ {rule.recovers:g} °C"
        assert f"| {rule.name} | {span} | {rule.energy_factor:g} | {rule.max_fps:g} |" in text
    (shown,) = (part.split("```")[0] for part in text.split("```toml\n")[1:])
    path = tmp_path / "shown.toml"
    path.write_text(shown)
    assert load_rules(path) == DEFAULT_RULES
