"""Flags of what a command writes beside its table."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from partitioner.common.files import check_target
from partitioner.settings.panels import OUTPUT
from partitioner.terminal.console import JsonFlag, remark
from partitioner.terminal.flags import flag


@dataclass(frozen=True)
class PlotFlags:
    """A picture, and JSON instead of tables."""

    plot: Annotated[Path | None, flag("Draw it.", "FILE.png", panel=OUTPUT)] = None
    as_json: JsonFlag = False

    def check(self) -> None:
        """Raise UsageError for a file that cannot be written, before anything takes long."""
        check_target("--plot", self.plot)

    def tell(self) -> None:
        """Say on stderr what was written."""
        if self.plot:
            remark(f"Plot: {self.plot}")


@dataclass(frozen=True)
class RowsFlags(PlotFlags):
    """Rows as CSV, a picture, and JSON instead of tables."""

    csv: Annotated[Path | None, flag("Write the rows.", "FILE.csv", panel=OUTPUT)] = None

    def check(self) -> None:
        """Raise UsageError for a file that cannot be written, before anything takes long."""
        check_target("--csv", self.csv)
        super().check()

    def tell(self) -> None:
        """Say on stderr what was written."""
        if self.csv:
            remark(f"Rows: {self.csv}")
        super().tell()
