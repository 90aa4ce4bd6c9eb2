"""What a search found, for people and as JSON."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from partitioner.bundle.bundle import Bundle
from partitioner.common.units import DURATIONS, ColumnUnit, format_duration, format_rate, plural
from partitioner.profiles.profile import Profile, StageProfile
from partitioner.search.explorer import LinkAnswer
from partitioner.search.survivors import Loss, Survivor, Win
from partitioner.terminal.folding_table import FoldingTable, new_table


@dataclass(frozen=True)
class Row:
    """One survivor, its id in the bundle (None: not in it), and whether this search added it."""

    survivor: Survivor
    cut: str | None
    added: bool


def search_json(
    bundle: Bundle,
    rows: Sequence[Row],
    profiles: tuple[Profile, Profile],
    answer: LinkAnswer | None,
) -> dict[str, Any]:
    """Return everything that a search found."""
    return {
        "bundle": {"name": bundle.name, "digest": bundle.digest, "path": str(bundle.path)},
        "survivors": [
            {
                "cut": row.cut,
                "added": row.added,
                "after": bundle.graph.place(row.survivor.cut.frontier) if bundle.graph else "",
                "frontier": list(row.survivor.cut.frontier),
                "frontier_bytes": row.survivor.cut.nbytes,
                "head_flops": row.survivor.cut.flops,
                "predicted": {"edge_s": row.survivor.edge_s, "cloud_s": row.survivor.cloud_s},
                "measured": _measured_json(row.cut, profiles),
                "wins": [_win_json(win) for win in row.survivor.wins],
            }
            for row in rows
        ],
        "best": answer.option.to_dict() if answer else None,
        "lacking": asdict(answer.lacking) if answer and answer.lacking else None,
    }


def search_text(rows: Sequence[Row], answer: LinkAnswer | None) -> str:
    """Return in a sentence the best cut on a link, if that was asked, and how many cuts were found."""
    best = f"{_best_text(answer)} " if answer else ""
    if not rows:
        return f"{best}No link makes a cut within the model best: one of its ends always is."
    added, missing = sum(row.added for row in rows), sum(row.cut is None for row in rows)
    parts = [f"{added} of them added"] if added else []
    parts += [f"{missing} of them not in the bundle"] if missing else []
    found = plural(len(rows), "cut within the model is", "cuts within the model are")
    return f"{best}{found} best on some link: {', '.join(parts) or 'the bundle has them all'}."


def _best_text(answer: LinkAnswer) -> str:
    option, lacking = answer.option, answer.lacking
    best = f"On {answer.link} {option.label} is the best option: {format_duration(option.total_s)}"
    if lacking is None:
        return f"{best}."
    wire = "exact values" if lacking.bits is None else f"{lacking.bits:g} bit, if accurate"
    return (
        f"{best}; by the seconds of nodes, a cut that the bundle lacks, after {lacking.after}, takes "
        f"{format_duration(lacking.total_s)} ({wire})."
    )


def doubt_text(rows: Sequence[Row]) -> str:
    """Say which wins rest on codecs whose loss is not known; empty: none does."""
    if not any(win.loss is Loss.UNKNOWN for row in rows for win in row.survivor.wins[:1]):
        return ""
    return (
        "bit?: what so few bits lose at that cut was not measured, so plans send exact values there until "
        "splitpoint calibrate has."
    )


def search_table(
    bundle: Bundle, rows: Sequence[Row], profiles: tuple[Profile, Profile]
) -> FoldingTable:
    """Return the survivors with their times, predicted from nodes and measured, in ms."""
    columns = ("head", "timed", "tail", "timed")
    title = f"{bundle.name}: cuts that some link, load or codec makes best; from nodes, and timed"
    times = ColumnUnit.of((s for row in rows for s in _times_s(row, profiles)), DURATIONS, 1)
    headers = (times.header(column) for column in columns)
    table = new_table(title, "cut", "best on uplinks", "with", *headers, left=3)
    for row in rows:
        head, tail = _measured(row.cut, profiles)
        win, *more = row.survivor.wins
        table.add_row(
            row.cut or "–",
            f"{format_rate(win.from_bps)} – {_upper(win)}",
            f"{win}{f' (+{len(more)})' if more else ''}",
            times.write(row.survivor.edge_s),
            times.write(head.seconds) if head else "–",
            times.write(row.survivor.cloud_s),
            times.write(tail.seconds) if tail else "–",
            style="bold green" if row.added else None,
        )
    return table


def _upper(win: Win) -> str:
    return "any" if math.isinf(win.to_bps) else format_rate(win.to_bps)


def _win_json(win: Win) -> dict[str, Any]:
    return {
        "bits": win.bits,
        "assumed_bits": win.assumption.bits,
        "loss": win.loss.value,
        "edge_load": win.assumption.edge_load,
        "cloud_load": win.assumption.cloud_load,
        "from_bps": win.from_bps,
        "to_bps": None if math.isinf(win.to_bps) else win.to_bps,
    }


def _measured(
    cut: str | None, profiles: tuple[Profile, Profile]
) -> tuple[StageProfile | None, StageProfile | None]:
    edge, cloud = profiles
    head = edge.cuts[cut].head if cut in edge.cuts else None
    tail = cloud.cuts[cut].tail if cut in cloud.cuts else None
    return head, tail


def _measured_json(cut: str | None, profiles: tuple[Profile, Profile]) -> dict[str, Any]:
    head, tail = _measured(cut, profiles)
    return {
        "edge_s": head.seconds if head else None,
        "cloud_s": tail.seconds if tail else None,
    }


def _times_s(row: Row, profiles: tuple[Profile, Profile]) -> tuple[float, ...]:
    timed = [stage.seconds for stage in _measured(row.cut, profiles) if stage]
    return row.survivor.edge_s, row.survivor.cloud_s, *timed
