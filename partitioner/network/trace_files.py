"""Traces from the formats in which bandwidth is published.

    rates      `seconds Mbit/s` a line; a rate holds until the next line's time
    mahimahi   whole milliseconds, one opportunity to send a packet of 1,500 bytes a line
               (Netravali et al., USENIX ATC 2015)
    csv        a header with time_s and uplink_mbps, and downlink_mbps or rtt_ms where known

Times count from the first line. The last rate lasts as long as the median interval.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import median_low
from typing import Literal

from partitioner.network.step_function import AtEnd, Steps
from partitioner.network.trace import Trace
from protos.errors import TraceError, UsageError

TraceFormat = Literal["rates", "mahimahi", "csv"]

GAP_RATIO = 15
GAP_S = 10.0
"""An interval longer than this, and than `GAP_RATIO` times the median one, is a hole in the data."""


MAHIMAHI_PACKET_BYTES = 1500


_CSV_COLUMNS = ("time_s", "uplink_mbps", "downlink_mbps", "rtt_ms")


_WANTED = (
    "wanted `seconds Mbit/s` a line (rates), whole milliseconds (mahimahi), or a header with "
    "time_s,uplink_mbps (csv)"
)


def read_trace(path: str | Path, kind: TraceFormat | None = None, at_end: AtEnd = "loop") -> Trace:
    """Return the trace in a file; `kind` None finds the format out.

    Raises TraceError, which names the line, what was found and what was wanted.
    """
    file = Path(path)
    lines = _read_lines(file)
    found = kind or _detect(file, lines)
    return _READERS[found](file, lines, at_end)


def parse_format(text: str | None) -> TraceFormat | None:
    """Return the trace format called `text`; UsageError lists those that exist."""
    if text is None:
        return None
    for kind in _READERS:
        if text == kind:
            return kind
    raise UsageError(f"there is no trace format {text!r}. There are: {', '.join(_READERS)}.")


_LARGEST = 1e9
"""In any column: 30 years, a petabit a second. Sums stay far from the end of numbers."""


_MOST_DIGITS = 12
"""Of milliseconds, which are then as many years."""


@dataclass(frozen=True)
class _Line:
    """One line that says something, and where it stands."""

    path: Path
    number: int
    text: str

    def error(self, found: str, wanted: str) -> TraceError:
        return TraceError(f"trace {self.path}, line {self.number}: found {found}, wanted {wanted}.")

    def number_in(self, text: str, what: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise self.error(f"{text.strip()!r}" if text.strip() else "nothing", f"{what}")
        if not 0 <= value <= _LARGEST:
            raise self.error(
                text.strip(), f"{what} of 0 or more" if value < 0 else f"less as {what}"
            )
        return value


def _read_lines(path: Path) -> list[_Line]:
    try:
        text = path.read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        raise TraceError(f"trace {path} is no text: {error.reason}; {_WANTED}.") from error
    except OSError as error:
        raise TraceError(f"trace {path} cannot be read: {error.strerror}. Give a file.") from error
    numbered = enumerate(text.splitlines(), start=1)
    lines = [_Line(path, number, line.strip()) for number, line in numbered]
    lines = [line for line in lines if line.text and not line.text.startswith("#")]
    if not lines:
        raise TraceError(f"trace {path} is empty; {_WANTED}.")
    return lines


def _detect(path: Path, lines: Sequence[_Line]) -> TraceFormat:
    first = lines[0]
    if "," in first.text and any(name in first.text.lower() for name in _CSV_COLUMNS):
        return "csv"
    if _is_whole(first.text):
        return "mahimahi"
    fields = first.text.split()
    if len(fields) == 2 and all(_is_number(field) for field in fields):
        return "rates"
    raise TraceError(
        f"trace {path} has an unknown format: line {first.number} is {first.text[:60]!r}; {_WANTED}."
    )


def _is_whole(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _read_rates(path: Path, lines: Sequence[_Line], at_end: AtEnd) -> Trace:
    rows = []
    for line in lines:
        fields = line.text.split()
        if len(fields) != 2:
            raise line.error(f"{line.text[:60]!r}", "two numbers, `seconds Mbit/s`")
        rows.append(
            (
                line.number_in(fields[0], "a time in s"),
                line.number_in(fields[1], "a rate in Mbit/s"),
            )
        )
    times, duration = _checked_times(lines, [time for time, _ in rows])
    return Trace(path.name, _rates(path, times, [rate for _, rate in rows], duration, at_end))


def _read_csv(path: Path, lines: Sequence[_Line], at_end: AtEnd) -> Trace:
    names = [name.strip().lower() for name in lines[0].text.split(",")]
    if missing := [name for name in _CSV_COLUMNS[:2] if name not in names]:
        raise lines[0].error(f"a header without {', '.join(missing)}", ", ".join(_CSV_COLUMNS))
    if len(lines) == 1:
        raise TraceError(f"trace {path} is empty: it has a header and no rows; wanted some.")
    columns: dict[str, list[float]] = {name: [] for name in _CSV_COLUMNS if name in names}
    for line in lines[1:]:
        fields = line.text.split(",")
        if len(fields) != len(names):
            raise line.error(f"{len(fields)} fields", f"{len(names)} as in the header")
        for name, values in columns.items():
            values.append(line.number_in(fields[names.index(name)], name))
    times, duration = _checked_times(lines[1:], columns["time_s"])
    down, rtt = columns.get("downlink_mbps"), columns.get("rtt_ms")
    return Trace(
        path.name,
        _rates(path, times, columns["uplink_mbps"], duration, at_end),
        _rates(path, times, down, duration, at_end) if down else None,
        Steps(times, [1e-3 * value for value in rtt], duration, at_end) if rtt else None,
    )


def _read_mahimahi(path: Path, lines: Sequence[_Line], at_end: AtEnd) -> Trace:
    """Return the rates whose sum passes through every opportunity at its own millisecond."""
    slots: dict[int, int] = {}
    before = 0
    for line in lines:
        if not _is_whole(line.text):
            raise line.error(f"{line.text[:60]!r}", "one whole number of milliseconds")
        slot = int(line.text)
        if slot < before:
            raise line.error(f"{slot} ms after {before} ms", "times that do not go back")
        before = slot
        slots[max(slot, 1)] = slots.get(max(slot, 1), 0) + 1
    times: list[float] = []
    rates: list[float] = []
    for start, end in pairwise((0, *slots)):
        rate = slots[end] * 8 * MAHIMAHI_PACKET_BYTES / ((end - start) / 1000)
        if not rates or rate != rates[-1]:
            times.append(start / 1000)
            rates.append(rate)
    return Trace(path.name, Steps(times, rates, before / 1000 or 0.001, at_end))


def _checked_times(lines: Sequence[_Line], times: list[float]) -> tuple[list[float], float]:
    """Return the times from 0 on, and the duration; TraceError when they go back or leave a hole."""
    intervals = [after - before for before, after in pairwise(times)]
    for line, before, interval in zip(lines[1:], times, intervals, strict=False):
        if interval <= 0:
            raise line.error(
                f"time {before + interval:g} s after {before:g} s", "times that ascend"
            )
    usual = median_low(intervals) if intervals else 1.0
    for line, before, interval in zip(lines[1:], times, intervals, strict=False):
        if interval > max(GAP_S, GAP_RATIO * usual):
            raise line.error(
                f"a gap of {interval:g} s after {before:g} s, where {usual:g} s are usual",
                "a line for every interval: 0 Mbit/s for a black-out, or the rate once more",
            )
    return [time - times[0] for time in times], times[-1] - times[0] + usual


def _rates(
    path: Path, times: list[float], mbps: Sequence[float], duration: float, at_end: AtEnd
) -> Steps:
    if not any(mbps):
        raise TraceError(
            f"trace {path} carries nothing: all its bandwidths are 0; wanted one above 0."
        )
    return Steps(times, [1e6 * rate for rate in mbps], duration, at_end)


_READERS: dict[TraceFormat, Callable[[Path, Sequence[_Line], AtEnd], Trace]] = {
    "rates": _read_rates,
    "mahimahi": _read_mahimahi,
    "csv": _read_csv,
}
