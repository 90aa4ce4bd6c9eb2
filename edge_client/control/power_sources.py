"""Sources of battery level and temperature: the system by psutil, files as of Linux, or given numbers."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import psutil

from partitioner.policy.power_rules import Reading
from protos.errors import FileError, UsageError

AUTO, NONE = "auto", "none"

_NUMBER = re.compile(r"([+-]?\d+(?:\.\d+)?)\s*(%|°?C)?")
_CHIPS = ("cpu", "soc", "core", "k10", "zen", "x86")
"""Names of processors' sensors begin so; without one of them the hottest of all sensors counts."""
_COLDEST_C, _HOTTEST_C = -60.0, 200.0
_MILLI = 1000.0
"""A number in a file that is as large or larger is in thousandths of a degree, as on Linux."""


class PowerSource(Protocol):
    """Tells the battery's level, or the temperature, or both."""

    @property
    def name(self) -> str:
        """Its name in messages, a word or two."""

    def read(self) -> Reading:
        """Return what it is now; FileError when it cannot be told. May block for some milliseconds."""


@dataclass(frozen=True)
class Given:
    """A reading that never changes."""

    reading: Reading
    name: str = "a given number"

    def read(self) -> Reading:
        """Return what was given."""
        return self.reading


class SystemBattery:
    """The battery that psutil finds; UsageError when made, if it finds none."""

    name = "the battery"

    def __init__(self) -> None:
        if _battery() is None:
            raise UsageError(
                "this machine shows no battery. Give a file or a number: `battery` "
                "/sys/class/power_supply/BAT0, or `battery` none."
            )

    def read(self) -> Reading:
        """Return its level, and whether power comes from elsewhere."""
        found = _battery()
        if found is None:
            raise FileError("the battery is not shown any more.")
        return Reading(battery=min(1.0, found.percent / 100), charging=found.power_plugged)


class SystemTemperature:
    """The hottest sensor of the processor that psutil finds, else of all; UsageError if there is none."""

    name = "the temperature"

    def __init__(self) -> None:
        if _hottest_c(_temperatures()) is None:
            raise UsageError(
                "this machine shows no temperature. Give a file or a number: `temperature` "
                "/sys/class/thermal/thermal_zone0/temp, or `temperature` none."
            )

    def read(self) -> Reading:
        """Return the hottest sensor now."""
        found = _hottest_c(_temperatures())
        if found is None:
            raise FileError("the temperature is not shown any more.")
        return Reading(temperature_c=found)


class BatteryFile:
    """A file that holds the level; or a folder with `capacity`, whose `status` says whether it charges."""

    def __init__(self, path: Path) -> None:
        self.name = f"`battery` {path}"
        self._level = path / "capacity" if path.is_dir() else path
        self._status = self._level.with_name("status") if self._level.name == "capacity" else None

    def read(self) -> Reading:
        """Return the level in the file, which is read anew."""
        text = _text(self.name, self._level)
        level = parse_level(text)
        if level is None:
            raise FileError(
                f"{self.name} holds {text[:40]!r}, and not a level. It should hold percent, such as 35, "
                "or a share with a point, such as 0.35."
            )
        return Reading(battery=level, charging=self._charging())

    def _charging(self) -> bool | None:
        if self._status is None or not self._status.exists():
            return None
        status = _text(self.name, self._status).lower()
        return None if status == "unknown" else status != "discharging"


class TemperatureFile:
    """A file that holds degrees Celsius, or thousandths of them as Linux has it."""

    def __init__(self, path: Path) -> None:
        self.name = f"`temperature` {path}"
        self._path = path

    def read(self) -> Reading:
        """Return the temperature in the file, which is read anew."""
        text = _text(self.name, self._path)
        found = parse_temperature(text)
        if found is None:
            raise FileError(
                f"{self.name} holds {text[:40]!r}, and not a temperature. It should hold degrees Celsius, "
                "such as 48.5, or thousandths of them, such as 48500."
            )
        return Reading(temperature_c=found)


def parse_level(text: str) -> float | None:
    """Return the share of a full battery: `35` and `35%` are percent, `0.35` and `1.0` shares; else None."""
    found = _NUMBER.fullmatch(text.strip())
    if found is None or found[2] not in (None, "%"):
        return None
    value = float(found[1])
    is_share = found[2] is None and "." in found[1] and value <= 1
    level = value if is_share else value / 100
    return level if 0 <= level <= 1 else None


def parse_temperature(text: str) -> float | None:
    """Return degrees Celsius: `48.5`, `48.5C`, or `48500` in thousandths; else None."""
    found = _NUMBER.fullmatch(text.strip())
    if found is None or found[2] == "%":
        return None
    value = float(found[1])
    degrees = value / _MILLI if abs(value) >= _MILLI and found[2] is None else value
    return degrees if _COLDEST_C <= degrees <= _HOTTEST_C else None


def battery_source(text: str | None) -> PowerSource | None:
    """Return the source that `text` names; for None the system's battery, if it has one.

    Raises UsageError for a number that is no level, and for `auto` without a battery.
    """
    if text == NONE:
        return None
    if text is None:
        return SystemBattery() if _battery() is not None else None
    if text == AUTO:
        return SystemBattery()
    if not _NUMBER.fullmatch(text):
        return BatteryFile(Path(text))
    level = parse_level(text)
    if level is None:
        raise UsageError(f"`battery` {text} is no level. Give 0 to 100, a file, auto or none.")
    return Given(Reading(battery=level))


def temperature_source(text: str | None) -> PowerSource | None:
    """Return the source that `text` names; for None the system's sensors, if it has any.

    Raises UsageError for a number that is no temperature, and for `auto` without a sensor.
    """
    if text == NONE:
        return None
    if text is None:
        return SystemTemperature() if _hottest_c(_temperatures()) is not None else None
    if text == AUTO:
        return SystemTemperature()
    if not _NUMBER.fullmatch(text):
        return TemperatureFile(Path(text))
    found = parse_temperature(text)
    if found is None:
        raise UsageError(
            f"`temperature` {text} is no temperature. Give degrees Celsius, a file, auto or none."
        )
    return Given(Reading(temperature_c=found))


def _text(name: str, path: Path) -> str:
    try:
        return path.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text"
        raise FileError(
            f"{name} cannot be read: {why}. Give a file that holds a number, a number, auto or none."
        ) from error


def _battery() -> Any:
    """Return what psutil says of the battery; None without one, and where it cannot tell."""
    read = getattr(psutil, "sensors_battery", None)
    try:
        return read() if read else None
    except (OSError, ValueError, NotImplementedError):
        return None


def _temperatures() -> Mapping[str, Sequence[Any]]:
    read = getattr(psutil, "sensors_temperatures", None)
    try:
        return (read() or {}) if read else {}
    except (OSError, ValueError, NotImplementedError):
        return {}


def _hottest_c(sensors: Mapping[str, Sequence[Any]]) -> float | None:
    chips = [found for name, found in sensors.items() if name.lower().startswith(_CHIPS)]
    values = [
        float(sensor.current)
        for found in (chips or sensors.values())
        for sensor in found
        if sensor.current is not None and _COLDEST_C <= sensor.current <= _HOTTEST_C
    ]
    return max(values, default=None)
