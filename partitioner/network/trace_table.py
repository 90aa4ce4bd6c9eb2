"""The text of a trace as lines of fields, each of which knows where it stands."""

import codecs
import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from protos.errors import TraceError

WANTED = (
    "wanted `seconds Mbit/s` a line (rates), whole milliseconds (mahimahi), a table whose header has "
    "time_s,uplink_mbps (csv), a log of HSDPA or Ghent (log), or Lumos5G's table (lumos5g); `columns` reads "
    "any other table"
)
LARGEST = 1e9
"""In any column but times: a petabit a second. Sums stay far from the end of numbers."""
LARGEST_TIME = 1e19
"""Nanoseconds since 1970, and more."""


@dataclass(frozen=True)
class Line:
    """One line that says something, and where it stands."""

    path: Path
    number: int
    text: str

    def error(self, found: str, wanted: str) -> TraceError:
        """Return the error that something else was wanted in this line."""
        return TraceError(f"trace {self.path}, line {self.number}: found {found}, wanted {wanted}.")

    def fields(self, delimiter: str | None) -> list[str]:
        """Return the fields, stripped; None: white space lies between them."""
        if delimiter is None:
            return self.text.split()
        try:
            row = next(csv.reader([self.text], delimiter=delimiter, strict=True))
        except csv.Error as error:
            raise self.error(f"no row of a table ({error})", "quotes that close") from error
        return [field.strip() for field in row]

    def number_in(self, text: str, what: str, largest: float = LARGEST) -> float:
        """Return a number from 0 to `largest`; `what` it is, as `a rate in Mbit/s`."""
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            if is_number(text.replace(",", ".", 1)) and "," in text:
                raise self.error(f"{text!r}", f"{what} with a decimal point, not a comma")
            raise self.error(f"{text.strip()!r}" if text.strip() else "nothing", f"{what}")
        if not 0 <= value <= largest:
            bound = "0 or more" if value < 0 else f"at most {largest:g}"
            raise self.error(text.strip(), f"{what} of {bound}")
        return value

    def time_in(self, text: str, what: str) -> float:
        """Return a time in the unit that it is written in; a date and time of ISO 8601 in seconds."""
        if not is_number(text):
            try:
                moment = datetime.fromisoformat(text)
            except ValueError:
                return self.number_in(text, what, LARGEST_TIME)
            return moment.replace(tzinfo=moment.tzinfo or UTC).timestamp()
        return self.number_in(text, what, LARGEST_TIME)


def read_lines(path: Path) -> list[Line]:
    """Return the lines that are neither empty nor a remark (`#`); TraceError."""
    try:
        content = path.read_bytes()
        wide = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        text = content.decode("utf-16" if wide else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise TraceError(f"trace {path} is no text: {error.reason}; {WANTED}.") from error
    except OSError as error:
        raise TraceError(f"trace {path} cannot be read: {error.strerror}. Give a file.") from error
    numbered = enumerate(text.splitlines(), start=1)
    lines = [Line(path, number, line.strip()) for number, line in numbered]
    lines = [line for line in lines if line.text and not line.text.startswith("#")]
    if not lines:
        raise TraceError(f"trace {path} is empty; {WANTED}.")
    return lines


def delimiter_of(lines: Sequence[Line]) -> str | None:
    """Return what lies between the fields of a table, by its first line; None: white space.

    Commas lie between fields where the first is a header, or where decimals have points.
    """
    first = lines[0].text
    for delimiter in (";", "\t", "|"):
        if delimiter in first:
            return delimiter
    if "," not in first:
        return None
    parts = [part.strip() for part in first.split(",")]
    if not all(is_number(part) for part in parts):
        return None if all(is_number(part.replace(",", ".", 1)) for part in first.split()) else ","
    if any("." in line.text for line in lines[:100]) or len(parts) > 2:
        return ","
    raise lines[0].error(
        f"{first!r}, which is two columns or a decimal comma",
        "points in decimals, or a header such as time_s,uplink_mbps",
    )


def is_number(text: str) -> bool:
    """Tell whether `text` is written as a number."""
    try:
        float(text)
    except ValueError:
        return False
    return True
