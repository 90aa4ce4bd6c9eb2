"""The schedule of a played link: a trace, black-outs, and resets of connections."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from partitioner.common.units import parse_duration, parse_rate
from partitioner.network.link import Link
from partitioner.network.trace import Trace, parse_at_end
from partitioner.network.trace_files import read_trace
from protos.errors import UsageError


@dataclass(frozen=True)
class Blackout:
    """A black-out: from `start_s` on nothing gets through for `length_s`; connections stay open."""

    start_s: float
    length_s: float

    @classmethod
    def parse(cls, text: str) -> "Blackout":
        """Read `10s+5s`: after 10 s, for 5 s. Raises UsageError."""
        start, plus, length = text.partition("+")
        if not (plus and start and length):
            raise UsageError(f"{text!r} is no black-out. Write START+LENGTH, such as 10s+5s.")
        found = cls(parse_duration(start), parse_duration(length))
        if found.length_s <= 0:
            raise UsageError(f"a black-out of {length} changes nothing. Give more than 0.")
        return found


@dataclass(frozen=True)
class Schedule:
    """A link over time, from 0 on. Pure: moments are parameters.

    `link` says what the trace does not; black-outs come on top. Every `reset_every_s` all connections
    are reset.
    """

    link: Link
    trace: Trace | None = None
    blackouts: Sequence[Blackout] = ()
    reset_every_s: float = math.inf

    def __post_init__(self) -> None:
        if not self.reset_every_s > 0:
            raise UsageError(
                f"connections cannot be reset every {self.reset_every_s} s. Give more than 0."
            )

    def __str__(self) -> str:
        if self.trace is None:
            return str(self.link)
        return f"trace {self.trace.name}, at first {self.link_at(0.0) or 'nothing gets through'}"

    def link_at(self, time_s: float) -> Link | None:
        """Return the link at a time; None while nothing gets through."""
        if any(out.start_s <= time_s < out.start_s + out.length_s for out in self.blackouts):
            return None
        return self.trace.link_at(time_s, self.link) if self.trace else self.link

    def next_change_s(self, time_s: float) -> float:
        """Return the first moment after `time_s` at which anything happens; infinite if nothing will."""
        moments = [self.next_reset_s(time_s)]
        for out in self.blackouts:
            moments += [out.start_s, out.start_s + out.length_s]
        if self.trace:
            series = (self.trace.uplink_bps, self.trace.downlink_bps, self.trace.rtt_s)
            moments += [steps.next_change(time_s) for steps in series if steps]
        return min((moment for moment in moments if moment > time_s), default=math.inf)

    def next_reset_s(self, time_s: float) -> float:
        """Return the first moment after `time_s` at which connections are reset."""
        if self.reset_every_s == math.inf:
            return math.inf
        return (math.floor(time_s / self.reset_every_s) + 1) * self.reset_every_s


def read_schedule(
    bandwidth: str | None,
    down: str | None,
    rtt: str,
    trace: Path | None,
    at_end: str,
    blackouts: Sequence[str],
    reset: str | None,
    columns: str | None = None,
) -> Schedule:
    """Return the schedule that the texts of a command say.

    `columns`: those of a trace that is another table. Without a rate, a downlink that the trace does not
    say is as the uplink at each moment. Raises UsageError or TraceError.
    """
    if columns is not None and trace is None:
        raise UsageError("`columns` are of a trace's file. Give `trace` FILE, or leave them out.")
    played = read_trace(trace, at_end=parse_at_end(at_end), columns=columns) if trace else None
    if bandwidth is None and played is None:
        raise UsageError(
            "a link needs a rate. Give `link` 5mbit,40ms, `bandwidth` 5mbit or `trace` FILE."
        )
    if played and played.downlink_bps is None and bandwidth is None and down is None:
        played = replace(played, downlink_bps=played.uplink_bps)
    first_bps = max(played.uplink_bps.values) if played else 0.0
    up_bps = parse_rate(bandwidth) if bandwidth else first_bps
    down_bps = parse_rate(down) if down else up_bps
    return Schedule(
        Link(up_bps, down_bps, parse_duration(rtt)),
        played,
        tuple(Blackout.parse(text) for text in blackouts),
        parse_duration(reset) if reset else math.inf,
    )
