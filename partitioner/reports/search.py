"""What a search found, for people and as JSON."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from partitioner.bundle.bundle import Bundle
from partitioner.common.units import DURATIONS, ColumnUnit, format_duration, format_rate
from partitioner.network.link import Link
from partitioner.profiles.profile import Profile, StageProfile
from partitioner.search.explorer import FoundCut
from partitioner.search.survivors import Survivor, Win
from partitioner.terminal.folding_table import FoldingTable, new_table
from protos.names import CLOUD, EDGE


@dataclass(frozen=True)
class Row:
    """One survivor, its id in the bundle (None: not in it), and whether this search added it."""

    survivor: Survivor
    cut: str | None
    added: bool


def search_json(
    bundle: Bundle, rows: Sequence[Row], profiles: tuple[Profile, Profile], answer: FoundCut | None
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
        "best": None
        if answer is None
        else {
            "after": answer.after,
            "edge_s": answer.edge_s,
            "upload_bytes": answer.upload_bytes,
            "total_s": answer.total_s,
        },
    }


def search_text(rows: Sequence[Row], link: Link, answer: FoundCut | None) -> str:
    """Return in a sentence the best cut on a link, if that was asked, and how many cuts were found."""
    best = f"{_best_text(link, answer)} " if answer else ""
    if not rows:
        return f"{best}No link makes a cut within the model best: one of its ends always is."
    added, missing = sum(row.added for row in rows), sum(row.cut is None for row in rows)
    parts = [f"{added} of them added"] if added else []
    parts += [f"{missing} of them not in the bundle"] if missing else []
    found = (
        "1 cut within the model is" if len(rows) == 1 else f"{len(rows)} cuts within the model are"
    )
    return f"{best}{found} best on some link: {', '.join(parts) or 'the bundle has them all'}."


def _best_text(link: Link, answer: FoundCut) -> str:
    ends = {CLOUD: "everything in the cloud is best", EDGE: "everything on the edge is best"}
    what = ends.get(answer.after, f"of all cuts the one after {answer.after} is best")
    return f"On {link} {what}: {format_duration(answer.total_s)}, by the seconds of nodes."


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
            f"{win.assumption}{f' (+{len(more)})' if more else ''}",
            times.write(row.survivor.edge_s),
            times.write(head.timing.median_s) if head else "–",
            times.write(row.survivor.cloud_s),
            times.write(tail.timing.median_s) if tail else "–",
            style="bold green" if row.added else None,
        )
    return table


def _upper(win: Win) -> str:
    return "any" if math.isinf(win.to_bps) else format_rate(win.to_bps)


def _win_json(win: Win) -> dict[str, Any]:
    return {
        "bits": win.assumption.bits,
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
        "edge_s": head.timing.median_s if head else None,
        "cloud_s": tail.timing.median_s if tail else None,
    }


def _times_s(row: Row, profiles: tuple[Profile, Profile]) -> tuple[float, ...]:
    timed = [stage.timing.median_s for stage in _measured(row.cut, profiles) if stage]
    return row.survivor.edge_s, row.survivor.cloud_s, *timed
