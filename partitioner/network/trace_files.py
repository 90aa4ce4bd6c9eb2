"""Traces from the formats in which bandwidth is published.

    rates      `seconds Mbit/s` a line; a rate holds until the next line's time (so Pensieve's FCC and Norway)
    mahimahi   whole milliseconds, one opportunity to send a packet of 1,500 bytes a line
               (Netravali et al., USENIX ATC 2015)
    csv        a header with time_s and uplink_mbps, and downlink_mbps or rtt_ms where known; other units as
               the names say them (`timestamp_ms`, `Throughput [kbps]`)
    log        six columns: time, milliseconds, latitude, longitude, bytes received since the last line, and
               in how many milliseconds (Norway's HSDPA: Riiser et al., MMSys 2013; Ghent's 4G/LTE: van der
               Hooft et al., IEEE Communications Letters 2016)
    lumos5g    the table of Lumos5G 1.0 (Narayanan et al., IMC 2020): a line a second of each run, in Mbit/s;
               runs follow each other

Times count from the first line, and may be those of an epoch. The last rate lasts as long as the median
interval. What logs and Lumos5G measured on the way down counts as the uplink.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from statistics import median_low
from typing import Literal

from partitioner.common.units import plural
from partitioner.network.step_function import AtEnd, Steps
from partitioner.network.trace import Trace
from partitioner.network.trace_columns import (
    Column,
    columns_in,
    epoch_scale,
    is_enough,
    parse_columns,
)
from partitioner.network.trace_table import WANTED, Line, delimiter_of, is_number, read_lines
from protos.errors import TraceError, UsageError

TraceFormat = Literal["rates", "mahimahi", "csv", "log", "lumos5g"]

GAP_RATIO = 15
GAP_S = 10.0
"""An interval longer than this, and than `GAP_RATIO` times the median one, is a hole in the data."""

MAHIMAHI_PACKET_BYTES = 1500
_LOG_FIELDS = 6
_LUMOS = ("run_num", "seq_num", "Throughput")
_MOST_DIGITS = 12
"""Of milliseconds, which are then as many years."""


def read_trace(
    path: str | Path,
    kind: TraceFormat | None = None,
    at_end: AtEnd = "loop",
    columns: str | None = None,
) -> Trace:
    """Return the trace in a file; `kind` None finds the format out.

    `columns` says which columns of any table are what, as `time=ts:ms,uplink=3:kbps`. Raises TraceError,
    which names the line, what was found and what was wanted.
    """
    file = Path(path)
    lines = read_lines(file)
    if columns is not None:
        if kind not in (None, "csv"):
            raise UsageError(f"`columns` are of tables, and {kind} is none. Leave one of both out.")
        header = lines[0].fields(delimiter_of(lines))
        return _read_table(file, lines, at_end, parse_columns(columns, header))
    return _READERS[kind or _detect(file, lines)](file, lines, at_end)


def parse_format(text: str | None) -> TraceFormat | None:
    """Return the trace format called `text`; UsageError lists those that exist."""
    if text is None:
        return None
    for kind in _READERS:
        if text == kind:
            return kind
    raise UsageError(f"there is no trace format {text!r}. There are: {', '.join(_READERS)}.")


def _detect(path: Path, lines: Sequence[Line]) -> TraceFormat:
    first = lines[0]
    if _is_whole(first.text):
        return "mahimahi"
    fields = first.fields(delimiter_of(lines))
    if fields and all(is_number(field.replace(",", ".", 1)) for field in fields):
        if len(fields) == _LOG_FIELDS:
            return "log"
        if len(fields) == 2:
            return "rates"
    if set(_LUMOS) <= set(fields):
        return "lumos5g"
    if len(fields) > 1 and columns_in(fields):
        return "csv"
    if len(fields) > 2:
        raise TraceError(
            f"trace {path}, line {first.number}: none of the columns {', '.join(fields)[:200]} says what it "
            "is and in what unit. Say it with `columns`, as time=dtime,uplink=bytes_sec:Bps."
        )
    raise TraceError(
        f"trace {path} has an unknown format: line {first.number} is {first.text[:60]!r}; {WANTED}."
    )


def _is_whole(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS


def _read_rates(path: Path, lines: Sequence[Line], at_end: AtEnd) -> Trace:
    delimiter = delimiter_of(lines)
    rows = []
    for line in lines:
        fields = line.fields(delimiter)
        if len(fields) != 2:
            raise line.error(f"{line.text[:60]!r}", "two numbers, `seconds Mbit/s`")
        rows.append(
            (line.time_in(fields[0], "a time in s"), line.number_in(fields[1], "a rate in Mbit/s"))
        )
    times, duration = _checked_times(lines, [time for time, _ in rows])
    return Trace(path.name, _rates(path, times, [rate for _, rate in rows], duration, at_end))


def _read_csv(path: Path, lines: Sequence[Line], at_end: AtEnd) -> Trace:
    header = lines[0].fields(delimiter_of(lines))
    found = columns_in(header)
    if not is_enough(found):
        missing = [name for name in ("time", "uplink") if name not in found]
        raise lines[0].error(
            f"a header without {' and '.join(missing)} in a known unit ({', '.join(header)[:200]})",
            "time_s, uplink_mbps and perhaps downlink_mbps, rtt_ms, or `columns` that say which is what",
        )
    return _read_table(path, lines, at_end, found)


def _read_table(
    path: Path, lines: Sequence[Line], at_end: AtEnd, columns: Mapping[str, Column]
) -> Trace:
    delimiter = delimiter_of(lines)
    header = lines[0].fields(delimiter)
    rows = lines if is_number(header[columns["uplink"].at]) else lines[1:]
    if not rows:
        raise TraceError(f"trace {path} is empty: it has a header and no rows; wanted some.")
    values: dict[str, list[float]] = {role: [] for role in columns}
    for line in rows:
        fields = line.fields(delimiter)
        if len(fields) != len(header):
            raise line.error(plural(len(fields), "field"), f"{len(header)} as in the header")
        for role, column in columns.items():
            field, where = fields[column.at], f"in column {column.name}"
            values[role].append(
                line.time_in(field, f"a time {where}")
                if role == "time"
                else line.number_in(field, f"a number {where}")
            )
    times, duration = _checked_times(rows, values["time"], columns["time"].scale)

    def rates(role: str) -> Steps:
        scale = columns[role].scale or 1.0
        return _rates(path, times, [scale * value for value in values[role]], duration, at_end)

    rtt = columns.get("rtt")
    return Trace(
        path.name,
        rates("uplink"),
        rates("downlink") if "downlink" in columns else None,
        Steps(times, [(rtt.scale or 1.0) * value for value in values["rtt"]], duration, at_end)
        if rtt
        else None,
    )


def _read_log(path: Path, lines: Sequence[Line], at_end: AtEnd) -> Trace:
    """Return the rates of a log, each of which holds for the time before its line."""
    delimiter = delimiter_of(lines)
    ends: list[float] = []
    spans: list[float] = []
    rates: list[float] = []
    for line in lines:
        fields = line.fields(delimiter)
        if len(fields) != _LOG_FIELDS:
            raise line.error(plural(len(fields), "field"), f"{_LOG_FIELDS}, as in the first line")
        ends.append(line.time_in(fields[1], "a time in ms"))
        bytes_received = line.number_in(fields[4], "a number of bytes received")
        spans.append(line.number_in(fields[5], "a number of milliseconds since the last line"))
        if spans[-1] == 0:
            raise line.error("0 ms since the last line", "more than 0")
        rates.append(8 * bytes_received / (1000 * spans[-1]))
    checked, _ = _checked_times(lines, ends, 1e-3)
    first_s = spans[0] / 1000
    starts = [0.0, *(first_s + end for end in checked[:-1])]
    return Trace(path.name, _rates(path, starts, rates, first_s + checked[-1], at_end))


def _read_lumos5g(path: Path, lines: Sequence[Line], at_end: AtEnd) -> Trace:
    delimiter = delimiter_of(lines)
    header = lines[0].fields(delimiter)
    run_at, second_at, rate_at = (header.index(name) for name in _LUMOS)
    times: list[float] = []
    rates: list[float] = []
    last: tuple[str, float] = ("", 0.0)
    for line in lines[1:]:
        fields = line.fields(delimiter)
        if len(fields) != len(header):
            raise line.error(plural(len(fields), "field"), f"{len(header)} as in the header")
        run, second = (
            fields[run_at],
            line.number_in(fields[second_at], "a number in column seq_num"),
        )
        passed = second - last[1] if run == last[0] else 1.0
        times.append(times[-1] + passed if times else 0.0)
        rates.append(line.number_in(fields[rate_at], "a number in column Throughput"))
        last = (run, second)
    if not times:
        raise TraceError(f"trace {path} is empty: it has a header and no rows; wanted some.")
    checked, duration = _checked_times(lines[1:], times)
    return Trace(path.name, _rates(path, checked, rates, duration, at_end))


def _read_mahimahi(path: Path, lines: Sequence[Line], at_end: AtEnd) -> Trace:
    slots: list[int] = []
    for line in lines:
        if not _is_whole(line.text):
            raise line.error(f"{line.text[:60]!r}", "one whole number of milliseconds")
        slot = int(line.text)
        if slots and slot < slots[-1]:
            raise line.error(f"{slot} ms after {slots[-1]} ms", "times that do not go back")
        slots.append(slot)
    return Trace(path.name, rates_through(slots, at_end))


def rates_through(slots_ms: Iterable[int], at_end: AtEnd = "loop") -> Steps:
    """Return the rates whose sum passes through every opportunity to send a packet at its own millisecond.

    `slots_ms` ascend, and there is at least one.
    """
    packets = Counter(max(slot, 1) for slot in slots_ms)
    times: list[float] = []
    rates: list[float] = []
    for start, end in pairwise((0, *packets)):
        rate = packets[end] * 8 * MAHIMAHI_PACKET_BYTES / ((end - start) / 1000)
        if not rates or rate != rates[-1]:
            times.append(start / 1000)
            rates.append(rate)
    return Steps(times, rates, end / 1000, at_end)


def _checked_times(
    lines: Sequence[Line], raw: Sequence[float], scale: float | None = None
) -> tuple[list[float], float]:
    """Return the times from 0 on, and the duration; TraceError when they go back or leave a hole.

    `scale`: one of their unit in seconds; None: seconds, or of an epoch what its size tells.
    """
    unit = epoch_scale(raw[0]) if scale is None else scale
    times = [unit * (time - raw[0]) for time in raw]
    start = unit * raw[0] if raw[0] < 1e6 else 0.0
    intervals = [after - before for before, after in pairwise(times)]
    for line, before, interval in zip(lines[1:], times, intervals, strict=False):
        if interval <= 0:
            raise line.error(
                f"time {start + before + interval:g} s after {start + before:g} s",
                "times that ascend",
            )
    usual = median_low(intervals) if intervals else 1.0
    for line, before, interval in zip(lines[1:], times, intervals, strict=False):
        if interval > max(GAP_S, GAP_RATIO * usual):
            raise line.error(
                f"a gap of {interval:g} s after {start + before:g} s, where {usual:g} s are usual",
                "a line for every interval: 0 Mbit/s for a black-out, or the rate once more",
            )
    return times, times[-1] + usual


def _rates(
    path: Path, times: list[float], mbps: Sequence[float], duration: float, at_end: AtEnd
) -> Steps:
    if not any(mbps):
        raise TraceError(
            f"trace {path} carries nothing: all its bandwidths are 0; wanted one above 0."
        )
    return Steps(times, [1e6 * rate for rate in mbps], duration, at_end)


_READERS: dict[TraceFormat, Callable[[Path, Sequence[Line], AtEnd], Trace]] = {
    "rates": _read_rates,
    "mahimahi": _read_mahimahi,
    "csv": _read_csv,
    "log": _read_log,
    "lumos5g": _read_lumos5g,
}
