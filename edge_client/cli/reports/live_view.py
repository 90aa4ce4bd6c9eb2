"""The live line of a run, on stderr."""

from types import TracebackType
from typing import Self

from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn

from edge_client.cli.reports.tally import Tally
from edge_client.frames.result import Result
from partitioner.common.units import format_duration
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
            disable=not console.is_watched(),
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
