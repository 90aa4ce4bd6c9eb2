"""The tally of a run: it counts results, makes a record of each, and sums them up."""

import statistics
from collections import Counter, deque
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from edge_client.cli.reports.advice import Punctuality
from edge_client.cli.reports.consumption import Consumption
from edge_client.cli.reports.interpretation import Interpretation
from edge_client.cli.reports.result_json import record_of
from edge_client.frames.result import Result, ServedBy, Timings
from partitioner.bundle.bundle import Bundle
from partitioner.network.link import Link
from partitioner.planning.terms import NO_TERMS, Terms
from protos.names import EDGE

_REMEMBERED = 20_000


class Tally:
    """Adds up results as they come; `clock` tells seconds, from which the frame rate follows.

    Counts hold for all frames, medians and percentiles for the last 20,000, so that a run may be
    endless.
    """

    def __init__(
        self,
        bundle: Bundle,
        labels: Mapping[str, int],
        clock: Callable[[], float],
        deadline_s: float | None = None,
        terms: Terms = NO_TERMS,
    ) -> None:
        self.frames = 0
        self.served_by: Counter[str] = Counter()
        self.cuts: Counter[str] = Counter()
        self._meaning = Interpretation(bundle, labelled=bool(labels))
        self._labels = labels
        self.named = 0
        """Frames that the labels name, answered or not."""
        self.last_source = ""
        self._labelled = self._right = 0
        self._punctuality = Punctuality(deadline_s)
        self._consumption = Consumption(terms)
        self._fps = terms.fps
        self._upload_bytes = 0
        self._timings: deque[Timings] = deque(maxlen=_REMEMBERED)
        self._clock = clock
        self._begun = clock()

    def add(self, result: Result, source: str) -> None:
        """Count one result."""
        self.frames += 1
        self.named += source in self._labels
        self.last_source = source
        self.served_by[str(result.served_by)] += 1
        self._punctuality.add(result)
        if result.served_by is not ServedBy.NONE:
            self.cuts[_label(result)] += 1
            self._upload_bytes += result.upload_bytes
            self._timings.append(result.timings)
            self._consumption.add(result)
            if source in self._labels and self._meaning.names_one_class:
                strongest = self._meaning.top1(result.outputs)
                self._labelled += 1  # also where the scores are no numbers, and name no class
                self._right += strongest is not None and strongest["index"] == self._labels[source]

    def record(self, result: Result, source: str, came_at_s: float) -> dict[str, Any]:
        """Return the record of a result of a frame that came at `came_at_s`, in Unix time.

        Its outputs are read for that, which takes longer than counting: only where somebody reads it.
        """
        return record_of(result, source, came_at_s, self._meaning)

    @property
    def failed(self) -> int:
        """Frames without an answer."""
        return self.served_by[str(ServedBy.NONE)]

    @property
    def accuracy(self) -> float | None:
        """Share of the labelled frames that were classified rightly; None without labels."""
        return self._right / self._labelled if self._labelled else None

    @property
    def fps(self) -> float:
        """Frames a second since the start."""
        return self.frames / max(self._clock() - self._begun, 1e-9)

    @property
    def _energy_j(self) -> float | None:
        """The mean joules a frame, at the rate that was asked for, else at the rate that was seen."""
        seen = self.fps if self.frames > 1 else None
        joules = self._consumption.mean_j(self._fps or seen)
        return None if joules is None else round(joules, 9)

    def summary(self, *, dropped: int, unreadable: int, link: Link | None) -> dict[str, Any]:
        """Return the sum as plain data: seconds, joules, money, bytes, frames a second."""
        seconds, served = self._clock() - self._begun, self.frames - self.failed
        return {
            "frames": self.frames,
            "failed": self.failed,
            "dropped": dropped,
            "unreadable": unreadable,
            "deadline": self._punctuality.summary(),
            "served_by": dict(self.served_by),
            "accuracy": self.accuracy,
            "labelled": self._labelled,
            "latency_s": _spread([time.latency_s for time in self._timings]),
            **{
                f"{stage}_s": _median([getattr(time, f"{stage}_s") for time in self._timings])
                for stage in ("edge", "network", "queue", "cloud", "wait")
            },
            "upload_bytes": round(self._upload_bytes / served, 1) if served else None,
            "energy_j": self._energy_j,
            "money": self._consumption.mean_money(),
            "cuts": dict(self.cuts),
            "link": _plain(link),
            "seconds": round(seconds, 6),
            "fps": round(self.fps, 3),
        }


def _label(result: Result) -> str:
    return result.cut if result.cut == EDGE else f"{result.cut}/{result.codec}"


def _spread(values: list[float]) -> dict[str, float] | None:
    if not values:
        return None
    p50, p95 = np.percentile(values, [50, 95])
    return {
        "p50": round(float(p50), 6),
        "p95": round(float(p95), 6),
        "mean": round(statistics.fmean(values), 6),
    }


def _median(values: list[float]) -> float | None:
    return round(statistics.median(values), 6) if values else None


def _plain(link: Link | None) -> dict[str, float] | None:
    if link is None:
        return None
    return {
        "uplink_bps": link.uplink_bps,
        "downlink_bps": link.downlink_bps,
        "rtt_s": link.rtt_s,
    }
