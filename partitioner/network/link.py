"""A link: what the network between edge and cloud can do."""

import re
from dataclasses import dataclass

from partitioner.common.arguments import need, need_numbers
from partitioner.common.units import format_duration, format_rate, parse_duration, parse_rate
from protos.errors import UsageError


@dataclass(frozen=True)
class Link:
    """Bandwidth up and down in bits per second, and the round-trip time in seconds.

    `Link(10e6, 50e6, 0.02)` is 10 Mbit/s up, 50 Mbit/s down and 20 ms, as `Link.parse("10mbit/50mbit,20ms")`.
    """

    uplink_bps: float
    """Bits per second."""
    downlink_bps: float
    """Bits per second."""
    rtt_s: float
    """Seconds."""

    def __post_init__(self) -> None:
        need_numbers(vars(self), "; or write all of it, as Link.parse('10mbit/50mbit,20ms')")
        if not (self.uplink_bps > 0 and self.downlink_bps > 0):
            raise UsageError(
                f"a link of {self.uplink_bps} up and {self.downlink_bps} down (bit/s) carries nothing. "
                "Give bandwidths above 0."
            )
        if not 0 <= self.rtt_s < float("inf"):
            raise UsageError(f"a round-trip time of {self.rtt_s} s has no meaning. Give 0 or more.")

    @classmethod
    def parse(cls, text: str) -> "Link":
        """Return the link in `10mbit,20ms` or `UP/DOWN,RTT`. Raises UsageError."""
        up, down, rtt = split_link(text)
        return cls(parse_rate(up), parse_rate(down or up), parse_duration(rtt))

    @classmethod
    def of(cls, link: "Link | str") -> "Link":
        """Return a link that may be written as text, see `parse`. Raises UsageError."""
        if isinstance(link, str):
            return cls.parse(link)
        need("link", link, Link, wanted="a Link, or text such as '10mbit,20ms'")
        return link

    def predict_s(self, upload_bytes: float, download_bytes: float) -> float:
        """Return the seconds that one request and its reply spend on the network.

        One round trip plus the time that the bytes take at the link's rates (Neurosurgeon, ASPLOS
        2017, section 4, with the round trip that it leaves out); nothing if nothing crosses.
        """
        if upload_bytes == 0 and download_bytes == 0:
            return 0.0
        return (
            self.rtt_s + 8 * upload_bytes / self.uplink_bps + 8 * download_bytes / self.downlink_bps
        )

    def __str__(self) -> str:
        return (
            f"{format_rate(self.uplink_bps)} up, {format_rate(self.downlink_bps)} down, "
            f"RTT {format_duration(self.rtt_s)}"
        )


def split_link(text: str) -> tuple[str, str | None, str]:
    """Return the texts of uplink, downlink (None: as the uplink) and round trip in `UP[/DOWN],RTT`.

    Nothing is read of them yet: each may be a range. Raises UsageError.
    """
    rates, comma, rtt = text.rpartition(",")
    if not comma or "," in rates:
        raise UsageError(
            f"{text!r} is no link. Write UPLINK,RTT as in 10mbit,20ms, or UPLINK/DOWNLINK,RTT as in "
            "10mbit/50mbit,20ms."
        )
    # A slash may divide the rates, or stand in a unit such as Mbit/s.
    for slash in (found.start() for found in re.finditer("/", rates)):
        if re.match(r"\s*\.?\d", rates[slash + 1 :]):
            return rates[:slash], rates[slash + 1 :], rtt
    return rates, None, rtt
