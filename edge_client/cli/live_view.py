"""What people see of a run: a live line on stderr, and a table at the end."""

from types import TracebackType
from typing import Any, Self

from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn
from rich.table import Table

from edge_client.cli.tally import Tally
from edge_client.frames.result import Result
from partitioner.bundle.bundle import Bundle
from partitioner.common.units import format_duration, format_rate, format_size
from partitioner.terminal import console


class LiveView:
    """A progress line: frames, rate, cut, who serves, latency, and accuracy where there are labels."""

    def __init__(self, total: int | None) -> None:
        self._progress = Progress(
            SpinnerColumn(),
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TextColumn("{task.fields[now]}"),
            console=console.notes,
            transient=True,
            disable=not console.notes.is_terminal,
        )
        self._task = self._progress.add_task("", total=total, now="")

    def show(self, result: Result, tally: Tally) -> None:
        """Show the newest result."""
        if self._progress.disable:
            return
        accuracy = "" if tally.accuracy is None else f", {tally.accuracy:.1%} right"
        now = (
            f"{tally.fps:.1f}/s, {result.cut} by {result.served_by}, "
            f"{format_duration(result.latency_s)}{accuracy}"
        )
        self._progress.update(self._task, completed=tally.frames, now=escape(now))

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._progress.stop()


def print_summary(summary: dict[str, Any], bundle: Bundle) -> None:
    """Print the summary of a run as a table."""
    table = Table(title=f"{bundle.name}: {summary['frames']} frames", title_justify="left")
    table.add_column("")
    table.add_column("", justify="right")
    for name, value in _rows(summary):
        table.add_row(name, escape(value))
    table.show_header = False
    console.screen.print(table)


def _rows(summary: dict[str, Any]) -> list[tuple[str, str]]:
    rows = [("served by", _counts(summary["served_by"]))]
    for name in ("failed", "dropped", "unreadable"):
        if summary[name]:
            rows.append((name, str(summary[name])))
    if (deadline := summary["deadline"]) and deadline["missed"]:
        rows.append(("missed the deadline", str(deadline["missed"])))
    if summary["accuracy"] is not None:
        rows.append(("accuracy", f"{summary['accuracy']:.1%} of {summary['labelled']} labelled"))
    if latency := summary["latency_s"]:
        over = f" of {summary['frames'] - summary['failed']} served" if summary["failed"] else ""
        rows += [
            (f"latency {key}{over}", format_duration(latency[key]))
            for key in ("p50", "p95", "mean")
        ]
        rows += [
            (f"  {stage} p50", format_duration(summary[f"{stage}_s"]))
            for stage in ("edge", "network", "queue", "cloud", "wait")
        ]
        rows.append(("upload a frame", format_size(summary["upload_bytes"])))
    rows.append(("frames a second", f"{summary['fps']:.1f}"))
    rows.append(("cut", _counts(summary["cuts"])))
    if summary["switches"]:
        rows.append(("cut moved", f"{summary['switches']} times"))
    if summary["fallbacks"]:
        rows.append(("without the cloud", _tallied(summary["fallbacks"])))
    if link := summary["link"]:
        rates = f"{format_rate(link['uplink_bps'])} up, {format_rate(link['downlink_bps'])} down"
        rows.append(("link", f"{rates}, RTT {format_duration(link['rtt_s'])}"))
    return rows


def _tallied(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items())


def _counts(counts: dict[str, int]) -> str:
    if len(counts) == 1:
        return next(iter(counts))
    return ", ".join(f"{name} {count}" for name, count in counts.items()) or "none"
