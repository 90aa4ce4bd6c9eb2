"""What batteries, sensors and files say of power and heat."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from edge_client.control.power_sources import (
    BatteryFile,
    Given,
    SystemBattery,
    TemperatureFile,
    battery_source,
    parse_level,
    parse_temperature,
    temperature_source,
)
from edge_client.control.power_watch import find_power
from partitioner.policy.power_rules import Reading
from protos.errors import FileError, UsageError
from tests.kit.power import RULES


@pytest.mark.parametrize(
    ("text", "level"),
    [("35", 0.35), ("35%", 0.35), ("0.35", 0.35), ("1", 0.01), ("1.0", 1.0), ("100\n", 1.0),
     ("55.5", 0.555), ("0.9%", 0.009), ("101", None), ("-1", None), ("full", None), ("", None),
     ("35C", None)],
)  # fmt: skip
def test_level_is_percent_or_a_share_with_a_point(text: str, level: float | None) -> None:
    assert parse_level(text) == (None if level is None else pytest.approx(level))


@pytest.mark.parametrize(
    ("text", "degrees"),
    [("48.5", 48.5), ("48500", 48.5), ("-5000", -5.0), ("71C", 71.0), ("71 °C", 71.0),
     ("999", None), ("300000", None), ("70%", None), ("warm", None)],
)  # fmt: skip
def test_temperature_is_degrees_or_thousandths(text: str, degrees: float | None) -> None:
    assert parse_temperature(text) == (None if degrees is None else pytest.approx(degrees))


def test_battery_of_linux_says_whether_it_charges(tmp_path: Path) -> None:
    (tmp_path / "capacity").write_text("28\n")
    assert BatteryFile(tmp_path).read() == Reading(battery=0.28)
    for status, charging in (
        ("Discharging", False), ("Charging", True), ("Full", True), ("Not charging", True),
        ("Unknown", None),
    ):  # fmt: skip
        (tmp_path / "status").write_text(f"{status}\n")
        assert BatteryFile(tmp_path).read() == Reading(battery=0.28, charging=charging)
    assert BatteryFile(tmp_path / "capacity").read().charging is None
    (tmp_path / "capacity").write_text("27\n")
    assert BatteryFile(tmp_path).read().battery == pytest.approx(0.27)


def test_file_that_tells_nothing_is_a_clear_error(tmp_path: Path) -> None:
    path = tmp_path / "level"
    with pytest.raises(FileError, match=r"`battery` .*level cannot be read: No such file"):
        BatteryFile(path).read()
    path.write_text("soon empty")
    with pytest.raises(FileError, match=r"holds 'soon empty', and not a level.* such as 0.35"):
        BatteryFile(path).read()
    with pytest.raises(FileError, match=r"`temperature` .* not a temperature.* such as 48500"):
        TemperatureFile(path).read()
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(FileError, match="cannot be read: it is no text"):
        TemperatureFile(path).read()


def sensor(current: float | None) -> SimpleNamespace:
    return SimpleNamespace(current=current)


def shown(monkeypatch: pytest.MonkeyPatch, battery: Any, temperatures: Any) -> None:
    monkeypatch.setattr(psutil, "sensors_battery", lambda: battery, raising=False)
    monkeypatch.setattr(psutil, "sensors_temperatures", lambda: temperatures, raising=False)


def test_system_shows_its_battery_and_the_hottest_core(monkeypatch: pytest.MonkeyPatch) -> None:
    battery = SimpleNamespace(percent=41.5, power_plugged=False)
    sensors = {"nvme": [sensor(88.0)], "coretemp": [sensor(61.0), sensor(64.0), sensor(None)]}
    shown(monkeypatch, battery, sensors)
    found = find_power(None, None, RULES, print)
    readings = [source.read() for source in found.sources]
    assert readings == [Reading(battery=0.415, charging=False), Reading(temperature_c=64.0)]
    shown(monkeypatch, None, {"acpitz": [sensor(40.0)], "nvme": [sensor(50.0), sensor(9999.0)]})
    (hottest,) = find_power(None, "auto", RULES, print).sources
    assert hottest.read() == Reading(temperature_c=50.0)
    assert find_power("none", None, RULES, print).sources[0].name == "the temperature"


def test_machine_that_shows_nothing_says_what_to_give(monkeypatch: pytest.MonkeyPatch) -> None:
    shown(monkeypatch, None, {})
    with pytest.raises(UsageError, match=r"neither a battery nor a temperature.*`battery` or"):
        find_power(None, None, RULES, print)
    with pytest.raises(UsageError, match=r"shows no battery.*BAT0"):
        battery_source("auto")
    with pytest.raises(UsageError, match=r"shows no temperature.*thermal_zone0"):
        temperature_source("auto")
    monkeypatch.delattr(psutil, "sensors_battery")  # where psutil does not have it at all
    monkeypatch.delattr(psutil, "sensors_temperatures")
    with pytest.raises(UsageError, match="neither a battery"):
        find_power(None, "none", RULES, print)
    assert find_power("20", None, RULES, print).sources == (Given(Reading(battery=0.2)),)
    for wrong in ("120", "20C"):
        with pytest.raises(UsageError, match=f"`battery` {wrong} is no level"):
            battery_source(wrong)
    with pytest.raises(UsageError, match="`temperature` 70% is no temperature"):
        temperature_source("70%")


def test_battery_that_is_taken_out_cannot_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    shown(monkeypatch, SimpleNamespace(percent=50, power_plugged=None), {})
    source = SystemBattery()
    shown(monkeypatch, None, {})
    with pytest.raises(FileError, match="not shown any more"):
        source.read()
