"""Rows into a CSV file, which appears whole or not at all."""

import csv
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from protos.errors import UsageError


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write `rows` under `header`; UsageError when that is not possible, and the file is as before."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with partial.open("w", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(header)
            writer.writerows(rows)
        partial.replace(path)
    except OSError as error:
        raise UsageError(
            f"--csv {path} cannot be written: {error.strerror}. Give another file."
        ) from error
    finally:
        partial.unlink(missing_ok=True)
