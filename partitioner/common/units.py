"""Quantities as people write them: `10mbit`, `1.5Mbit/s`, `20ms`, `64MiB`, `0.5J`, `1x3x224x224`."""

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass

from protos.errors import UsageError
from protos.errors import plural as plural

_NUMBER = re.compile(r"\s*([0-9]*\.?[0-9]+(?:[eE][+-]?[0-9]+)?)\s*([A-Za-zµμ/]*)\s*")
_BITS = {"bit": 1.0, "kbit": 1e3, "mbit": 1e6, "gbit": 1e9}
_RATES = {
    **{unit + per: factor for unit, factor in _BITS.items() for per in ("", "/s", "ps")},
    "bps": 1.0,
    "kbps": 1e3,
    "mbps": 1e6,
    "gbps": 1e9,
}
# Bytes are told from bits by the capital B, as in MB/s, beside Mb/s.
_BIT_RATES = {"b/s": 1.0, "kb/s": 1e3, "Kb/s": 1e3, "mb/s": 1e6, "Mb/s": 1e6, "Gb/s": 1e9}
_BYTE_RATES = {"B/s": 8.0, "kB/s": 8e3, "KB/s": 8e3, "MB/s": 8e6, "GB/s": 8e9}
_TIMES = {
    "s": 1.0,
    "ms": 1e-3,
    "us": 1e-6,
    "µs": 1e-6,
    "μs": 1e-6,
    "min": 60.0,
    "h": 3600.0,
    "d": 86400.0,
}
_ENERGIES = {"J": 1.0, "mJ": 1e-3, "uJ": 1e-6, "µJ": 1e-6, "μJ": 1e-6, "kJ": 1e3, "Wh": 3600.0}
_SIZES = {
    "B": 1,
    "kB": 10**3,
    "KB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "KiB": 2**10,
    "MiB": 2**20,
    "GiB": 2**30,
}

Units = tuple[tuple[float, str], ...]
"""Units of one quantity with what they are worth, the largest first."""
RATES: Units = ((1e9, "Gbit/s"), (1e6, "Mbit/s"), (1e3, "kbit/s"), (1.0, "bit/s"))
DURATIONS: Units = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"))
SIZES: Units = ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"), (1.0, "B"))
ENERGIES: Units = ((1.0, "J"), (1e-3, "mJ"), (1e-6, "µJ"))

MAX_BPS = 1e15
"""A petabit a second: no link has it."""
MAX_S = 1e9
"""Thirty years: timers of the system go about as far."""


def parse_rate(text: str) -> float:
    """Return bits per second; `MB/s` means bytes, `mbit`, `Mbit/s`, `Mb/s` and `Mbps` mean bits."""
    number, unit = _split(text, "a bandwidth such as 10mbit, 1.5Mbit/s or 2MB/s")
    factor = _BYTE_RATES.get(unit) or _BIT_RATES.get(unit) or _RATES.get(unit.lower())
    _positive(number, text, "bandwidth")
    if factor is None or (unit[:-1].endswith("B") and unit not in _BYTE_RATES):
        raise UsageError(
            f"{text!r} has no unit of bandwidth{' that is known' if unit else ''}. Write bits as 10mbit, "
            "1.5Mbit/s or 800kbps, bytes as 2MB/s."
        )
    return _at_most(MAX_BPS, _positive(number * factor, text, "bandwidth"), text, "bandwidth")


def parse_duration(text: str) -> float:
    """Return seconds."""
    number, unit = _split(text, "a duration such as 20ms or 1.5s")
    if unit not in _TIMES:
        raise UsageError(
            f"{text!r} has no unit of time{' that is known' if unit else ''}. Write 20ms, 1.5s, 300us, "
            "2min, 12h or 30d."
        )
    return _at_most(MAX_S, number * _TIMES[unit], text, "duration")


def parse_size(text: str) -> int:
    """Return bytes."""
    number, unit = _split(text, "a size such as 64MiB")
    if unit not in _SIZES:
        raise UsageError(f"{text!r} has no unit of size that is known. Write 64MiB, 500kB or 1GB.")
    return int(_positive(number * _SIZES[unit], text, "size"))


def parse_energy(text: str) -> float:
    """Return joules."""
    number, unit = _split(text, "an energy such as 0.5J or 200mJ")
    if unit not in _ENERGIES:
        raise UsageError(f"{text!r} has no unit of energy that is known. Write 0.5J, 200mJ or 1Wh.")
    return _positive(number * _ENERGIES[unit], text, "energy")


def parse_shape(text: str, least: int = 1) -> tuple[int, ...]:
    """Return the sizes in `1x3x224x224`; UsageError when one is below `least`."""
    sizes = text.split("x")
    if not all(re.fullmatch(r"0|[1-9]\d*", size) for size in sizes) or min(map(int, sizes)) < least:
        raise UsageError(
            f"{text!r} is no shape. Write whole sizes of at least {least}, such as 1x3x224x224."
        )
    return tuple(map(int, sizes))


def format_rate(bps: float) -> str:
    """Return a bandwidth as people write it."""
    return _scaled(bps, RATES)


def format_duration(seconds: float) -> str:
    """Return a time with a unit that suits its size."""
    if math.isinf(seconds):
        return "never"
    return _scaled(seconds, DURATIONS)


def format_size(count: float) -> str:
    """Return a number of bytes, in powers of ten."""
    return _scaled(count, SIZES)


def format_energy(joules: float) -> str:
    """Return an energy with a unit that suits its size."""
    return _scaled(joules, ENERGIES)


@dataclass(frozen=True)
class ColumnUnit:
    """One unit and one number of decimals for a whole column, so that its numbers compare at a glance."""

    name: str
    factor: float
    decimals: int

    @classmethod
    def of(cls, values: Iterable[float], units: Units, least_digits: int = 2) -> "ColumnUnit":
        """Return the largest unit in which the middle one of `values` is 1 or more, and the least 0.01.

        Where the middle one is 10 or more the least may be less, so that no column is of five digits
        and more. The middle one then shows three digits, and the least `least_digits`. Zeros say nothing.
        """
        from statistics import median  # loads fractions and decimals, which few commands need

        sizes = [abs(value) for value in values if value and math.isfinite(value)] or [1.0]
        middle, least = median(sizes), min(sizes)
        fitting = (
            one
            for one in units
            if middle >= one[0] and (least >= 0.01 * one[0] or middle >= 10 * one[0])
        )
        factor, name = next(fitting, units[-1])
        digits = max(3 - _places(middle / factor), least_digits - _places(least / factor), 0)
        return cls(name, factor, 0 if name == "B" else digits)

    def write(self, value: float) -> str:
        """Return the number alone, as the unit stands in the column's header."""
        return f"{value / self.factor:.{self.decimals}f}"

    def header(self, title: str) -> str:
        """Return the header of the column: its title, and the unit below it."""
        return f"{title}\n{self.name}"


def _places(value: float) -> int:
    """Return how many digits a number has before its point; 0 or less below 0.1."""
    return math.floor(math.log10(value)) + 1


def compare(value: float, other: float) -> str:
    """Return `9 % less than`, `3 % more than` or `as much as`: how a value is to another one."""
    if value == other:
        return "as much as"
    share = abs(1 - value / other) if other else math.inf
    size = (
        f"{100 * share:.0f} %" if share < 10 else f"{value / other:.0f} times" if other else "much"
    )
    word = "less" if value < other else "more"
    return f"{'hardly' if share < 0.005 else size} {word} than"


def _split(text: str, wanted: str) -> tuple[float, str]:
    found = _NUMBER.fullmatch(text)
    if not found:
        raise UsageError(f"{text!r} is not {wanted}.")
    return float(found[1]), found[2]


def _at_most(most: float, value: float, text: str, what: str) -> float:
    if value > most:
        raise UsageError(f"{text!r} is no {what} that anything has. Give less.")
    return value


def _positive(value: float, text: str, what: str) -> float:
    if not 0 < value < math.inf:
        raise UsageError(f"{text!r} is no {what}: it must be above 0, and finite.")
    return value


def _scaled(value: float, steps: Units) -> str:
    if value == 0:
        return f"0 {steps[-1][1]}"
    factor, unit = next((step for step in steps if abs(value) >= step[0]), steps[-1])
    scaled = value / factor
    # 9.996 is written as 10.0, and 99.96 as 100: as what they round to.
    digits = (
        0
        if scaled >= 99.95 or (factor == 1.0 and unit in ("B", "bit/s"))
        else 1
        if scaled >= 9.995
        else 2
    )
    return f"{scaled:.{digits}f} {unit}"
