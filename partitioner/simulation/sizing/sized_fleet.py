"""The sizing of a fleet: what was found for each engine, and for devices that do everything themselves."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from partitioner.common.tables import data_frame, html_table, text_table
from partitioner.common.units import plural
from partitioner.planning.terms import HOURS_A_MONTH
from partitioner.simulation.fleet.figures import Estimate
from partitioner.simulation.sizing.engine import engine_row
from partitioner.simulation.sizing.layout import Layout
from partitioner.simulation.sizing.load import FleetLoad, MachineKind


class Fate(StrEnum):
    """What became of an engine."""

    KEPT = "kept"
    LATE = "late"
    """No number of machines keeps the p99: a request takes too long even alone."""
    BEHIND = "behind"
    """Devices or uplinks are too slow for the frame rate."""
    CRAMPED = "cramped"
    """A machine has too few cores for one tail, or too little memory for the engine's processes."""
    UNSERVED = "unserved"
    """It decodes the codec of no option that was to be served."""


@dataclass(frozen=True)
class EngineSizing:
    """What a fleet takes of one engine, with the option that is the cheapest there."""

    engine: str
    fate: Fate
    layout: Layout | None = None
    machines: int = 0
    """Those that may be lost among them."""
    least: int | None = None
    """Machines if requests cost as much less as the engine's figures may be off; None: that is not known."""
    most: int | None = None
    """Machines if they cost as much more; None beside a `least`: no number does then."""
    p99: Estimate | None = None
    """Of independent runs; of one that is late, the nearest miss: with a machine for each device."""
    degraded_p99: Estimate | None = None
    """With as many machines lost as may be; None: none may."""
    estimated_p99_s: float | None = None
    """What the formulas say of it."""
    busy_share: float | None = None
    cost_a_month: float | None = None

    @property
    def option(self) -> str:
        """Cut and codec."""
        return self.layout.demand.label if self.layout else ""

    @property
    def processes(self) -> int:
        """Of all machines together."""
        return self.machines * self.layout.processes if self.layout else 0


@dataclass(frozen=True)
class EdgeAlone:
    """What devices take that do everything themselves."""

    p99_s: float
    keeps: bool
    """The p99, and the frame rate."""
    within_s: tuple[float, float] | None = None
    """Where the p99 may lie by a noisy profile: without its variation, and with it; None: a quiet one."""

    def is_sure(self, p99_s: float) -> bool:
        """Tell whether the noise leaves no doubt of what is kept."""
        return self.within_s is None or not self.within_s[0] <= p99_s <= self.within_s[1]


@dataclass(frozen=True, eq=False, repr=False)
class FleetSizing:
    """What each engine takes to keep a p99, the cheapest first, and what no engine at all does."""

    load: FleetLoad
    machine: MachineKind
    engines: tuple[EngineSizing, ...]
    edge: EdgeAlone | None
    """None: the plan has no such option, or an option was asked for."""
    is_noisy: bool = False
    """A profile is so noisy that its medians say little."""

    @property
    def kept(self) -> Sequence[EngineSizing]:
        """The engines that keep the p99, the cheapest first."""
        return [one for one in self.engines if one.fate is Fate.KEPT]

    @property
    def nearest(self) -> EngineSizing | None:
        """The engine that misses the p99 by least; None where none is merely late."""
        late = [one for one in self.engines if one.fate is Fate.LATE and one.p99]
        return min(late, key=lambda one: one.p99.mean if one.p99 else math.inf, default=None)

    @property
    def edge_is_enough(self) -> bool:
        """Devices keep the p99 by themselves, for which no machine is paid."""
        return self.edge is not None and self.edge.keeps

    def __repr__(self) -> str:
        best = self.kept[0] if self.kept else None
        found = f"{plural(best.machines, 'machine')} with {best.engine}" if best else "nothing"
        return f"<FleetSizing of {plural(self.load.devices, 'device')}: {found}>"

    def to_dict(self) -> dict[str, Any]:
        """Return the question and the answers as plain data, in SI units."""
        return {
            "load": {
                "devices": self.load.devices,
                "fps": self.load.fps,
                "p99_s": self.load.p99_s,
                "window": self.load.window,
                "share": self.load.share,
            },
            "machine": {
                "cores": self.machine.cores,
                "memory_bytes": self.machine.memory_bytes,
                "price_hour": self.machine.price_hour,
                "price_gb": self.machine.price_gb,
                "spare": self.machine.spare,
                "hours_a_month": HOURS_A_MONTH,
            },
            "noisy_profiles": self.is_noisy,
            "edge_alone": self.edge
            and {
                "p99_s": self.edge.p99_s,
                "keeps": self.edge.keeps,
                "within_s": self.edge.within_s and list(self.edge.within_s),
            },
            "engines": [engine_document(one) for one in self.engines],
        }

    def to_pandas(self) -> Any:
        """Return a pandas.DataFrame with a row for each engine; UsageError where pandas is missing."""
        return data_frame([engine_document(one) for one in self.engines])

    def __str__(self) -> str:
        return text_table(*self._table())

    def _repr_html_(self) -> str:
        return html_table(*self._table())

    def _table(self) -> tuple[str, Sequence[str], Sequence[Sequence[str]]]:
        return repr(self)[1:-1], HEADER, [engine_cells(one) for one in self.engines]


HEADER = (
    "engine",
    "option",
    "machines",
    "processes",
    "busy",
    "p99",
    "p99, one lost",
    "cost a month",
)


def engine_cells(one: EngineSizing) -> tuple[str, ...]:
    """Return what people read of an engine, in the order of HEADER."""
    if one.fate is not Fate.KEPT or one.layout is None:
        return one.engine, one.option, one.fate.value, "", "", _p99(one.p99), "", ""
    sure = one.least == one.most == one.machines or one.least is None
    most = "∞" if one.most is None else f"{one.most:,}"
    within = "" if sure else f" ({one.least:,}–{most})"
    return (
        one.engine,
        one.option,
        f"{one.machines:,}{within}",
        f"{one.processes:,}",
        "" if one.busy_share is None else f"{one.busy_share:.0%}",
        _p99(one.p99),
        _p99(one.degraded_p99),
        "" if one.cost_a_month is None else f"{one.cost_a_month:,.0f}",
    )


def engine_document(one: EngineSizing) -> dict[str, Any]:
    """Return what was found for an engine as plain data, in SI units."""
    layout = one.layout
    found: dict[str, Any] = {"engine": one.engine, "fate": one.fate.value}
    if layout is None:
        return found
    if one.fate is not Fate.KEPT:
        return found | {"option": one.option, "p99_s": _interval(one.p99)}
    return found | {
        "option": one.option,
        "machines": one.machines,
        "machines_least": one.least,
        "machines_most": one.most,
        "processes": one.processes,
        "processes_a_machine": layout.processes,
        "queues_a_machine": layout.queues,
        "workers_a_queue": layout.workers,
        "batch": layout.batching.size,
        "request_s": layout.demand.cloud_s,
        "busy_share": one.busy_share,
        "memory_bytes": layout.memory_bytes,
        "p99_s": _interval(one.p99),
        "p99_degraded_s": _interval(one.degraded_p99),
        "p99_estimated_s": one.estimated_p99_s,
        "cost_a_month": one.cost_a_month,
        "cost": engine_row(layout.engine),
    }


def _interval(found: Estimate | None) -> dict[str, float | None] | None:
    return None if found is None else {"mean": found.mean, "ci95": found.half_width}


def _p99(found: Estimate | None) -> str:
    if found is None:
        return ""
    half = f" ±{1e3 * found.half_width:.0f}" if found.half_width else ""
    return f"{1e3 * found.mean:.0f}{half} ms"
