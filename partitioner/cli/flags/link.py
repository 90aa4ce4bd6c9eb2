"""The flags of a link: the same ones, with the same meaning, in every command."""

from dataclasses import dataclass
from typing import Annotated, NamedTuple

from partitioner.common.units import parse_duration, parse_rate
from partitioner.network.link import Link, split_link
from partitioner.network.trace import Trace
from partitioner.settings.panels import LINK as PANEL
from partitioner.terminal.flags import flag
from protos.errors import UsageError

LINK_HELP = "as 10mbit,20ms, or 10mbit/50mbit,20ms where the downlink differs"
_RATE, _TIME = "RATE", "TIME"


TraceColumns = Annotated[
    str | None,
    flag(
        "The columns of a trace that is another table, as time=ts:ms,uplink=3:kbps; also downlink, rtt.",
        "ROLE=NAME:UNIT",
        panel=PANEL,
        default="those whose names say it",
    ),
]


class LinkTexts(NamedTuple):
    """What the flags say, as it was written; None: nothing."""

    up: str | None
    down: str | None
    rtt: str | None


@dataclass(frozen=True)
class LinkFlags:
    """`--link UP[/DOWN],RTT`, or `--bandwidth`, `--down` and `--rtt`."""

    link: Annotated[
        str | None,
        flag(f"All of it at once, {LINK_HELP}.", "UP[/DOWN],RTT", panel=PANEL),
    ] = None
    bandwidth: Annotated[
        str | None, flag("Uplink, as 10mbit, 1.5Mbit/s or 2MB/s.", _RATE, panel=PANEL)
    ] = None
    down: Annotated[str | None, flag("Downlink; else as the uplink.", _RATE, panel=PANEL)] = None
    rtt: Annotated[str | None, flag("Round-trip time, as 20ms.", _TIME, panel=PANEL)] = None

    def texts(self, usual: "LinkFlags | None" = None) -> LinkTexts:
        """Return what is said; what `usual` says is a default, which --link replaces.

        Raises UsageError for --link beside a flag that it excludes.
        """
        if self.link is None:
            return LinkTexts(self.bandwidth, self.down, self.rtt)
        names = ("bandwidth", "down", "rtt")
        apart = [
            f"--{name}"
            for name in names
            if getattr(self, name) not in (None, getattr(usual, name, None))
        ]
        if apart:
            raise UsageError(
                f"--link and {', '.join(apart)} exclude each other. Give --link UP[/DOWN],RTT, or only the "
                "separate flags."
            )
        return LinkTexts(*split_link(self.link))

    def read(self) -> Link:
        """Return the link. Raises UsageError, which names what is missing."""
        up, down, rtt = self.texts()
        if up is None and rtt is None:
            raise UsageError(
                "a link is missing. Give it as --link 10mbit,20ms, or by --bandwidth and --rtt."
            )
        if up is None or rtt is None:
            name, example = ("--bandwidth", "10mbit") if up is None else ("--rtt", "20ms")
            raise UsageError(
                f"{name} is missing. Give it, as {name} {example}, or all of the link by --link 10mbit,20ms."
            )
        return Link(parse_rate(up), parse_rate(down or up), parse_duration(rtt))

    def fill(self, trace: Trace) -> Trace:
        """Return the trace with the round trip and the downlink that the flags say where it says none.

        A downlink that neither says is as the trace's uplink, which nothing here replaces. Raises
        UsageError where neither says the round trip.
        """
        up, down, rtt = self.texts()
        if rtt is None and trace.rtt_s is None:
            raise UsageError(
                f"--rtt is missing, and {trace.name} says no round trip. Give it, as --rtt 50ms."
            )
        rate = down or up
        rtt_s = parse_duration(rtt) if rtt else 0.0
        return trace.filled(rtt_s, parse_rate(rate) if rate else None)
