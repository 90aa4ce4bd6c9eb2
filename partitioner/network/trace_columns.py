"""The columns of a table of bandwidths: which are the time, the rates and the round trip, in what unit."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from protos.errors import UsageError

_SECONDS = {"s": 1.0, "sec": 1.0, "seconds": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}
_MBPS = {
    "bps": 1e-6, "bit/s": 1e-6, "b/s": 1e-6, "kbps": 1e-3, "kbit/s": 1e-3, "kb/s": 1e-3,
    "mbps": 1.0, "mbit/s": 1.0, "mb/s": 1.0, "gbps": 1e3, "gbit/s": 1e3, "gb/s": 1e3,
    "Bps": 8e-6, "B/s": 8e-6, "kBps": 8e-3, "kB/s": 8e-3, "KBps": 8e-3, "KB/s": 8e-3,
    "MBps": 8.0, "MB/s": 8.0, "GBps": 8e3, "GB/s": 8e3,
}  # fmt: skip
"""A capital B is a byte."""
UNITS = {"time": _SECONDS, "uplink": _MBPS, "downlink": _MBPS, "rtt": _SECONDS}
"""By role, what one of each unit is: in seconds, or in Mbit/s."""

_NAMES = {
    "time": "time timestamp t ts epoch",
    "uplink": "uplink up ul upload throughput bandwidth",
    "downlink": "downlink down dl download",
    "rtt": "rtt latency ping",
}
_HEADER = re.compile(r"(?P<name>[A-Za-z]+)(?:[\s_]*[(\[]?(?P<unit>[A-Za-z]+(?:/s)?)[)\]]?)?")
_WRITE = (
    "Write time=NAME:UNIT,uplink=NAME:UNIT, with names of the header, or numbers of columns from 1"
)


@dataclass(frozen=True)
class Column:
    """A column by its place from 0, and what one of its unit is; None: as the size of a time tells."""

    at: int
    name: str
    scale: float | None


def columns_in(header: Sequence[str]) -> dict[str, Column]:
    """Return the columns whose names say what they are and in what unit, by role."""
    found: dict[str, Column] = {}
    for at, text in enumerate(header):
        match = _HEADER.fullmatch(text.strip())
        if match is None:
            continue
        name, unit = match["name"].lower(), match["unit"] or ""
        for role, names in _NAMES.items():
            scale = UNITS[role].get(unit, UNITS[role].get(unit.lower()))
            if name in names.split() and (scale or (role == "time" and not unit)):
                found.setdefault(role, Column(at, text.strip(), scale))
    return found


def parse_columns(text: str, header: Sequence[str]) -> dict[str, Column]:
    """Return the columns that `text` names, as `time=ts:ms,uplink=3:kbps`; UsageError."""
    found = {}
    for part in text.split(","):
        role, _, rest = part.partition("=")
        name, colon, unit = rest.rpartition(":") if ":" in rest else (rest, "", "")
        role = role.strip()
        if role not in UNITS or not name:
            raise UsageError(f"`columns` {part!r} is not understood. {_WRITE}.")
        if colon and unit not in UNITS[role]:
            raise UsageError(
                f"`columns` {part!r} has no unit of {role}. There are: {', '.join(UNITS[role])}."
            )
        if not colon and role != "time":
            raise UsageError(f"`columns` {part!r} says no unit. {_WRITE}.")
        found[role] = Column(_place(name, header), name, UNITS[role][unit] if colon else None)
    if missing := [role for role in ("time", "uplink") if role not in found]:
        raise UsageError(f"`columns` {text!r} leaves out {' and '.join(missing)}. {_WRITE}.")
    return found


def _place(name: str, header: Sequence[str]) -> int:
    names = [field.strip() for field in header]
    if name in names:
        return names.index(name)
    if name.isascii() and name.isdigit() and 1 <= int(name) <= len(names):
        return int(name) - 1
    raise UsageError(
        f"`columns` names {name!r}, and the trace has {', '.join(names)}. Use one of these."
    )


def epoch_scale(first: float) -> float:
    """Return what one of a time's unit is in seconds, as the size of the first tells since 1973."""
    return next(
        (scale for least, scale in ((1e17, 1e-9), (1e14, 1e-6), (1e11, 1e-3)) if first >= least),
        1.0,
    )


def is_enough(columns: Mapping[str, Column]) -> bool:
    """Tell whether a trace can be made of these columns."""
    return {"time", "uplink"} <= set(columns)
