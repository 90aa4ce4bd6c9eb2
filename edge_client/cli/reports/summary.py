"""The summary of a run: a table on a terminal, a JSON line, and advice."""

from dataclasses import asdict
from typing import Any

from rich.markup import escape
from rich.table import Table

from edge_client.cli.reports.advice import advise, explain_waiting
from edge_client.cli.reports.result_json import RecordWriter
from edge_client.cli.reports.tally import Tally
from edge_client.client.async_client import AsyncEdgeClient
from edge_client.client.sync_client import EdgeClient
from partitioner.bundle.bundle import Bundle
from partitioner.common.units import (
    format_duration,
    format_energy,
    format_rate,
    format_size,
    plural,
)
from partitioner.terminal import console


def sum_up(
    tally: Tally,
    client: EdgeClient | AsyncEdgeClient,
    writer: RecordWriter,
    *,
    as_json: bool,
    slow: float,
    dropped: int = 0,
    unreadable: int = 0,
    stops: int = 0,
    window: int = 1,
) -> None:
    """Write the summary of what was done, as a table where people read, and what would make it better.

    `slow`: how many times as slow as this one the device was played. `window`: the frames that a source had
    at work at the same time; 1 where callers have a pace of their own.
    """
    summary = tally.summary(dropped=dropped, unreadable=unreadable, link=client.link)
    summary["stops"] = stops
    summary |= {"fallbacks": dict(client.fallbacks), "switches": client.switches, "slow": slow}
    summary["hedges"] = client.hedges.summary()
    summary["looks"] = asdict(client.looks)
    summary["link_is_measured"] = client.link_is_measured
    summary["cloud"] = client.absence if client.cloud_is_away else None
    summary["server"] = client.server_in_use
    bundle = client.bundle
    if not as_json:
        print_summary(summary, bundle)
    writer.write({"summary": summary})
    if why := explain_waiting(summary, window):
        console.remark(why)
    has_exits, name = bundle.exits is not None, str(bundle.path)
    if advice := advise(summary, has_exits=has_exits, name=name, window=window):
        console.complain(advice)


def print_summary(summary: dict[str, Any], bundle: Bundle) -> None:
    """Print the summary of a run as a table."""
    table = Table(
        title=f"{bundle.name}: {plural(summary['frames'], 'frame')}", title_justify="left"
    )
    table.add_column("")
    table.add_column("", justify="right")
    for name, value in _rows(summary):
        table.add_row(name, escape(value))
    table.show_header = False
    console.screen.print(table)


def _rows(summary: dict[str, Any]) -> list[tuple[str, str]]:
    rows = [("served by", _counts(summary["served_by"]))]
    if summary["slow"] > 1:
        rows.append(("device", f"played {summary['slow']:g} times as slow"))
    rows += [
        (name, str(summary[name])) for name in ("failed", "dropped", "unreadable") if summary[name]
    ]
    if summary["stops"]:
        rows.append(("camera stopped", plural(summary["stops"], "time")))
    if (deadline := summary["deadline"]) and deadline["missed"]:
        rows.append(("missed the deadline", str(deadline["missed"])))
    if summary["accuracy"] is not None:
        rows.append(("accuracy", f"{summary['accuracy']:.1%} of {summary['labelled']} labelled"))
    rows += _frame_rows(summary)
    rows.append(("frames a second", f"{summary['fps']:.1f}"))
    rows.append(("cut", _counts(summary["cuts"])))
    if summary["switches"]:
        rows.append(("cut moved", plural(summary["switches"], "time")))
    if summary["fallbacks"]:
        rows.append(("without the cloud", _tallied(summary["fallbacks"])))
    if (hedges := summary["hedges"])["begun"]:
        first = f"{hedges['device_first']} first here, {hedges['cloud_first']} in the cloud"
        rows.append(("hedged", f"{hedges['begun']}: {first}"))
        rows.append(("  dropped here", format_duration(hedges["dropped_s"])))
        rows.append(("  answers unused", str(hedges["unused_answers"])))
    if (looks := summary["looks"])["sent_bytes"]:
        how = f"{_tried(looks['tries'])}, {plural(looks['probes'], 'probe')}"
        rows.append(("looked at the link", f"{how}: {format_size(looks['sent_bytes'])}"))
    return rows + _end_rows(summary)


def _end_rows(summary: dict[str, Any]) -> list[tuple[str, str]]:
    """Return how the cloud and its link were at the end."""
    rows = []
    if summary["server"]:
        rows.append(("server", summary["server"]))
    if summary["cloud"]:
        rows.append(("at the end", summary["cloud"]))
    if link := summary["link"]:
        rates = f"{format_rate(link['uplink_bps'])} up, {format_rate(link['downlink_bps'])} down"
        origin = "measured" if summary["link_is_measured"] else "given"
        rows.append((f"link, as {origin}", f"{rates}, RTT {format_duration(link['rtt_s'])}"))
    return rows


def _frame_rows(summary: dict[str, Any]) -> list[tuple[str, str]]:
    """Return what a served frame took: seconds, bytes, joules and money, as far as they are known."""
    latency = summary["latency_s"]
    if not latency:
        return []
    over = f" of {summary['frames'] - summary['failed']} served" if summary["failed"] else ""
    rows = [
        *(
            (f"latency {key}{over}", format_duration(latency[key]))
            for key in ("p50", "p95", "mean")
        ),
        *(
            (f"  {stage} p50", format_duration(summary[f"{stage}_s"]))
            for stage in ("edge", "network", "queue", "cloud", "wait")
        ),
        ("upload a frame", format_size(summary["upload_bytes"])),
    ]
    if (joules := summary["energy_j"]) is not None:
        rows.append(("energy a frame", format_energy(joules)))
    if (money := summary["money"]) is not None:
        rows.append(("cost a frame", f"{money:.3g}"))
    return rows


def _tried(count: int) -> str:
    return "1 try" if count == 1 else f"{count} tries"


def _tallied(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items())


def _counts(counts: dict[str, int]) -> str:
    if len(counts) == 1:
        return next(iter(counts))
    return ", ".join(f"{name} {count}" for name, count in counts.items()) or "none"
