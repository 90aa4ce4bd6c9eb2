"""Rows into a CSV file, which appears whole or not at all."""

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path

from partitioner.saving import whole_file
from protos.errors import UsageError


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write `rows` under `header`; UsageError when that is not possible, and the file is as before."""
    with whole_file(path, UsageError) as partial, partial.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)
