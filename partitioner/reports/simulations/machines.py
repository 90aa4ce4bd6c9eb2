"""The sizing of a fleet in sentences and as a table."""

from collections.abc import Iterator

from partitioner.common.units import format_duration, plural
from partitioner.simulation.sizing.sized_fleet import (
    HEADER,
    EdgeAlone,
    EngineSizing,
    Fate,
    FleetSizing,
    engine_cells,
    engine_document,
)
from partitioner.terminal.folding_table import FoldingTable, new_table
from protos.errors import InfeasibleError

_OFF = 0.25
"""By how much the formulas may differ from the runs before that is said."""
_FATES = {
    Fate.LATE: "no number of machines keeps the p99; shown is the nearest, with a machine for each device",
    Fate.BEHIND: "devices or their uplinks take longer for every option than a frame lasts",
    Fate.CRAMPED: "a machine has too few cores for one tail, or too little memory for the processes",
    Fate.UNSERVED: "the engine decodes the codec of no option that was asked for",
}


def sizing_text(found: FleetSizing) -> str:
    """Return in sentences what is the cheapest, and whether devices alone are enough."""
    load, best = found.load, found.kept[0] if found.kept else None
    asked = (
        f"{plural(load.devices, 'device')}, {plural(load.fps, 'frame')} a second each, p99 within "
        f"{format_duration(load.p99_s)}"
    )
    hedge = "as far as such noisy profiles tell, " if found.is_noisy else ""
    return " ".join([f"{asked}: {hedge}{_best_text(best)}", *_edge_text(found, best)])


def sizing_table(found: FleetSizing) -> FoldingTable:
    """Return a row for each engine, the cheapest first."""
    spare = found.machine.spare
    lost = f"p99, {spare} lost" if spare else ""
    table = new_table("", *HEADER[:6], lost, HEADER[7], left=2)
    for one in found.engines:
        table.add_row(*engine_cells(one))
    return table


def machine_text(found: FleetSizing) -> str:
    """Say what a machine is, and how sure the numbers are."""
    machine = found.machine
    memory = f" and {machine.memory_bytes / 2**30:.0f} GiB" if machine.memory_bytes else ""
    price = f", {machine.price_hour:g} an hour" if machine.price_hour is not None else ""
    spare = f" {plural(machine.spare, 'machine')} may be lost." if machine.spare else ""
    noise = " and the noisy profiles" if found.is_noisy else ""
    return (
        f"A machine has {plural(machine.cores, 'core')}{memory}{price}; devices are spread evenly over "
        f"machines, and by chance over processes.{spare} In brackets: machines if requests cost as much less "
        f"or more as the engine's figures{noise} may be off (∞: no number does then). ±: 95 % interval over "
        "three runs of one machine's busiest process."
    )


def fates_text(found: FleetSizing) -> str:
    """Say what the words mean that stand in the place of machines; empty where none does."""
    there = {one.fate for one in found.engines}
    return " ".join(f"{fate}: {text}." for fate, text in _FATES.items() if fate in there)


def nothing_keeps(found: FleetSizing) -> InfeasibleError | None:
    """Return the error that names the nearest miss; None where an engine, or devices alone, keep the p99."""
    if found.kept or found.edge_is_enough:
        return None
    nearest, edge = found.nearest, found.edge
    document: dict[str, object] | None = None
    missed = f" {fates_text(found)}"
    if nearest and nearest.p99:
        p99_s = nearest.p99.mean
        document = {"engine": nearest.engine, "options": [nearest.option], "p99_s": p99_s}
        missed = (
            f" The nearest is {nearest.engine} with {nearest.option}: {format_duration(p99_s)} with a "
            "machine for each device."
        )
    alone = f" Devices alone: {_edge_p99(edge)}." if edge else ""
    return InfeasibleError(
        f"no engine keeps a p99 of {format_duration(found.load.p99_s)} with any number of machines.{missed}"
        f"{alone} Allow that, or take another option, a lower frame rate or a faster link.",
        {"infeasible": {"p99_s": found.load.p99_s, "nearest": document}},
    )


def notes(found: FleetSizing) -> Iterator[str]:
    """Yield what somebody should know who relies on a number."""
    for one in found.kept:
        if one.p99 and one.estimated_p99_s and abs(one.estimated_p99_s / one.p99.mean - 1) > _OFF:
            yield (
                f"for {one.engine} the formulas say a p99 of {format_duration(one.estimated_p99_s)}, and the "
                f"runs {format_duration(one.p99.mean)}; the runs count."
            )
        if one.layout and one.layout.memory_bytes is None and found.machine.memory_bytes:
            yield f"what {one.engine} takes of the memory is not known, so it was not looked at."


def sizing_rows(found: FleetSizing) -> list[dict[str, object]]:
    """Return a row of numbers and words for each engine."""
    return [_flat(one) for one in found.engines]


def _flat(one: EngineSizing) -> dict[str, object]:
    document = engine_document(one)
    names = ("engine", "fate", "option", "machines", "machines_least", "machines_most", "processes",
             "request_s", "busy_share", "p99_estimated_s", "cost_a_month")  # fmt: skip
    row = {name: document.get(name) for name in names}
    for name in ("p99_s", "p99_degraded_s"):
        interval = document.get(name)
        row[name] = interval["mean"] if interval else None
    return row


def _best_text(best: EngineSizing | None) -> str:
    if best is None:
        return "no engine keeps that with any number of machines."
    word = "cheapest" if best.cost_a_month is not None else "fewest machines"
    cost = f" for {best.cost_a_month:,.2f} a month" if best.cost_a_month is not None else ""
    return (
        f"the {word}: {best.engine} with {best.option} on {plural(best.machines, 'machine')}{cost}."
    )


def _edge_text(found: FleetSizing, best: EngineSizing | None) -> Iterator[str]:
    """Yield what devices do without any cloud, and what the cloud is paid for then."""
    edge = found.edge
    if edge is None:
        return
    p99 = _edge_p99(edge)
    if not edge.is_sure(found.load.p99_s):
        yield f"Within that noise devices alone may keep it, or not (p99 {p99}): profile again."
        return
    if not edge.keeps:
        yield f"Devices alone do not keep it (p99 {p99})."
        return
    yield f"Devices alone keep it as well (p99 {p99}), and cost nothing: no machine is needed for that bound."
    if best is None or best.p99 is None:
        return
    cloud = format_duration(best.p99.mean)
    if best.p99.mean < edge.p99_s:
        yield f"What the cloud would buy is a p99 of {cloud}."
    else:
        yield f"That cloud would buy nothing: its p99 is {cloud}."


def _edge_p99(edge: EdgeAlone) -> str:
    if edge.within_s is None:
        return format_duration(edge.p99_s)
    least, most = map(format_duration, edge.within_s)
    return f"{format_duration(edge.p99_s)}, by the noise of the profile {least} to {most}"
