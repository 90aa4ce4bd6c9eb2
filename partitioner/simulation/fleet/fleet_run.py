"""One run of a fleet: what its frames came to."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from partitioner.common.tables import data_frame, html_table, text_table
from partitioner.common.units import format_duration, plural
from partitioner.simulation.fleet.fleet import Fleet

LATE_SHARE = 0.01
"""Of the frames, those that may be later than a p99, or never come."""
RATE_SHARE = 0.99
"""Of the frames that are due, those that have to be taken for the rate to be kept."""


@dataclass(frozen=True, eq=False, repr=False)
class FleetRun:
    """What one run came to."""

    fleet: Fleet
    latencies_s: npt.NDArray[np.float64]
    lost: int
    """Frames that never got through: the trace ended without bandwidth."""
    network_s: float
    queue_s: float
    cloud_s: float
    """Means a frame, over the frames that cross; cloud_s is that of a frame's whole batch."""
    crossed: int
    """Frames that cross, of those with a latency."""
    edge_s: float
    """Mean a frame, over all."""
    upload_bytes: float
    download_bytes: float
    """Sums."""
    in_time: int
    """Results that came before the duration's end; the last frames' come after it."""
    traffic_bytes: float
    """Up and down, of the results that came in time."""
    busy_s: float
    """Of the workers, within the duration."""
    batches: int
    uplink_share: float
    """Of what the uplinks could have carried within the duration."""

    @property
    def cloud_share(self) -> float:
        """The part of the workers' time in which they computed."""
        return self.busy_s / (self.fleet.workers * self.fleet.duration_s)

    @property
    def taken_share(self) -> float:
        """The part of the frames due that the devices took: less than 1 where they had no time or room."""
        return (len(self.latencies_s) + self.lost) / self.fleet.due

    @property
    def keeps_rate(self) -> bool:
        """True if the devices took the frames that were due, but for the last one of each."""
        taken = len(self.latencies_s) + self.lost
        return taken + self.fleet.devices >= RATE_SHARE * self.fleet.due

    def keeps(self, p99_s: float) -> bool:
        """Tell whether the p99 is at most this, lost frames counted as late, at the whole frame rate."""
        in_time = self.missed(p99_s) <= LATE_SHARE and self.latency_s(99) <= p99_s
        return in_time and self.keeps_rate

    def latency_s(self, percent: float) -> float:
        """Return a percentile of the latencies."""
        return float(np.percentile(self.latencies_s, percent))

    def missed(self, deadline_s: float) -> float:
        """Return the share of frames that are later than a deadline, or never come."""
        late = int(np.count_nonzero(self.latencies_s > deadline_s)) + self.lost
        return late / (len(self.latencies_s) + self.lost)

    def to_dict(self) -> dict[str, Any]:
        """Return the fleet and what its frames came to as plain data, in SI units."""
        fleet = self.fleet
        return {
            "devices": fleet.devices,
            "workers": fleet.paid_workers,
            "share": fleet.share,
            "options": [demand.label for demand in fleet.demands],
            "offered_fps": 1 / fleet.period_s,
            "duration_s": fleet.duration_s,
            "mean_s": float(self.latencies_s.mean()),
            **{f"p{percent}_s": self.latency_s(percent) for percent in (50, 95, 99)},
            "fps": self.in_time / fleet.duration_s,
            "lost": self.lost,
            "edge_s": self.edge_s,
            "network_s": self.network_s,
            "queue_s": self.queue_s,
            "cloud_s": self.cloud_s,
            "cloud_share": self.cloud_share,
            "uplink_share": self.uplink_share,
            "upload_bytes": self.upload_bytes,
            "download_bytes": self.download_bytes,
            "batches": self.batches,
        }

    def to_pandas(self) -> Any:
        """Return a pandas.DataFrame with one row, so that runs stack; UsageError where pandas is missing."""
        row = self.to_dict()
        return data_frame([{**row, "options": ", ".join(row["options"])}])

    def __repr__(self) -> str:
        return (
            f"<FleetRun of {plural(self.fleet.devices, 'device')} on "
            f"{plural(self.fleet.paid_workers, 'worker')}: {plural(len(self.latencies_s), 'frame')}, p99 "
            f"{format_duration(self.latency_s(99))}>"
        )

    def __str__(self) -> str:
        return text_table(*self._table())

    def _repr_html_(self) -> str:
        return html_table(*self._table())

    def _table(self) -> tuple[str, Sequence[str], Sequence[Sequence[str]]]:
        """Return title, header and cells of a small table."""
        fleet = self.fleet
        title = (
            f"{plural(fleet.devices, 'device')} on {plural(fleet.paid_workers, 'worker')} for "
            f"{fleet.duration_s:g} s: {plural(len(self.latencies_s), 'frame')}, {self.lost} lost"
        )
        rows = [
            ("mean", format_duration(float(self.latencies_s.mean()))),
            *(
                (f"p{percent}", format_duration(self.latency_s(percent)))
                for percent in (50, 95, 99)
            ),
            ("waiting for a worker", format_duration(self.queue_s)),
            ("frames a second", f"{self.in_time / fleet.duration_s:.1f}"),
            ("workers busy", f"{100 * self.cloud_share:.1f} %"),
            ("uplinks busy", f"{100 * self.uplink_share:.1f} %"),
        ]
        return title, ("", "value"), rows
