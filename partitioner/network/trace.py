"""A trace: a link over time, as steps with exact sums."""

from dataclasses import dataclass

from partitioner.network.link import Link
from partitioner.network.step_function import AtEnd, Steps
from protos.errors import UsageError


@dataclass(frozen=True)
class Trace:
    """A link over time. `downlink_bps` and `rtt_s` are None where the file does not say."""

    name: str
    uplink_bps: Steps
    downlink_bps: Steps | None = None
    rtt_s: Steps | None = None

    @classmethod
    def constant(cls, link: Link) -> "Trace":
        """Return a link that never changes."""
        columns = (link.uplink_bps, link.downlink_bps, link.rtt_s)
        return cls(str(link), *(Steps([0.0], [value], 1.0) for value in columns))

    def filled(self, rtt_s: float, downlink_bps: float | None = None) -> "Trace":
        """Return the trace with a round trip and a downlink where it has none; None: as the uplink."""
        down = self.uplink_bps if downlink_bps is None else Steps([0.0], [downlink_bps], 1.0)
        return Trace(
            self.name,
            self.uplink_bps,
            self.downlink_bps or down,
            self.rtt_s or Steps([0.0], [rtt_s], 1.0),
        )

    def mean_link(self, share: int = 1) -> Link:
        """Return what one of `share` devices has on average of a filled trace; each has its own downlink."""
        down, rtt = self.downlink_bps or self.uplink_bps, self.rtt_s
        return Link(self.uplink_bps.mean / share, down.mean, rtt.mean if rtt else 0.0)

    @property
    def duration_s(self) -> float:
        """Seconds until it loops or holds."""
        return self.uplink_bps.duration

    def uplink_bps_at(self, time_s: float) -> float:
        """Return the uplink at a time; 0 in a black-out."""
        return self.uplink_bps.at(time_s)

    def link_at(self, time_s: float, otherwise: Link) -> Link | None:
        """Return the link at a time, or None in a black-out; `otherwise` says what the trace does not.

        Without a downlink of its own the trace takes that of `otherwise`.
        """
        up, down, rtt = (
            steps.at(time_s) if steps else given
            for steps, given in (
                (self.uplink_bps, otherwise.uplink_bps),
                (self.downlink_bps, otherwise.downlink_bps),
                (self.rtt_s, otherwise.rtt_s),
            )
        )
        return Link(up, down, rtt) if up > 0 and down > 0 else None

    def uploaded_at(self, size_bytes: float, start_s: float) -> float:
        """Return when a message that starts at `start_s`, alone on the uplink, is through; inf: never."""
        return self.uplink_bps.reaches(8 * size_bytes, start_s)


def parse_at_end(text: str) -> AtEnd:
    """Return what happens at a trace's end; UsageError when `text` is neither loop nor hold."""
    if text == "loop":
        return "loop"
    if text == "hold":
        return "hold"
    raise UsageError(f"at its end a trace can loop or hold, not {text!r}. Write loop or hold.")
