"""The pacer of bytes on a slow link: it computes when bytes that come now are delivered."""

from dataclasses import dataclass


@dataclass(frozen=True)
class OneWay:
    """One direction of a link: bits per second, and the seconds that every byte travels."""

    rate_bps: float
    delay_s: float


class Pacer:
    """A line that sends one byte after the other at a rate, and delivers each after a delay.

    Pure: every moment is a parameter, in seconds of any one clock. A chunk is admitted only shortly
    before the line is free for it, so that a change of the link takes hold within `horizon_s` and
    what waits, waits with the sender.
    """

    def __init__(self, line: OneWay, horizon_s: float = 0.005) -> None:
        self._line = line
        self._horizon_s = horizon_s
        self._free_at = float("-inf")

    @property
    def line(self) -> OneWay:
        """Rate and delay for what is admitted next."""
        return self._line

    def follow(self, line: OneWay) -> None:
        """Take rate and delay of `line` from the next chunk on."""
        self._line = line

    @property
    def chunk_bytes(self) -> int:
        """Bytes to admit at once: 2 ms of the line, but at least a packet and at most 64 KiB."""
        return int(min(65536, max(1448, self._line.rate_bps * 0.002 / 8)))

    @property
    def capacity_bytes(self) -> int:
        """Bytes that one connection may have under way: as much as the line holds twice, and 64 KiB."""
        under_way_s = 2 * (self._line.delay_s + self._horizon_s)
        return int(65536 + self._line.rate_bps * under_way_s / 8)

    def wait_s(self, now: float) -> float:
        """Return the seconds until the line takes the next chunk; 0 when it takes it now."""
        return max(0.0, self._free_at - self._horizon_s - now)

    def admit(self, size: int, now: float) -> float:
        """Put `size` bytes on the line and return the moment at which their last is delivered."""
        self._free_at = max(self._free_at, now) + 8 * size / self._line.rate_bps
        return self._free_at + self._line.delay_s
