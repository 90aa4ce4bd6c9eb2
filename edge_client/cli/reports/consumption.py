"""What a run's frames cost in joules and money, by the planner's formulas."""

from collections import deque
from typing import NamedTuple

from edge_client.frames.result import Result, Timings
from partitioner.devices.energy import frame_energy
from partitioner.planning.metrics import frame_money
from partitioner.planning.terms import NO_TERMS, Terms

_REMEMBERED = 20_000


class _Frame(NamedTuple):
    timings: Timings
    device_s: float
    """With what a hedge has computed for nothing."""
    upload_bytes: int
    download_bytes: int


class Consumption:
    """Notes what served frames took, of the last 20,000, from which joules and money follow."""

    def __init__(self, terms: Terms = NO_TERMS) -> None:
        self._terms = terms
        self._frames: deque[_Frame] = deque(maxlen=_REMEMBERED)

    def add(self, result: Result) -> None:
        """Note one result."""
        if self._terms.knows_energy or self._terms.prices:
            timings, hedged = result.timings, result.hedged
            device_s = timings.edge_s + (hedged.dropped_s if hedged else 0.0)
            self._frames.append(
                _Frame(timings, device_s, result.upload_bytes, result.download_bytes)
            )

    def mean_j(self, fps: float | None) -> float | None:
        """Return the mean joules a frame; None without a device and its radio, or without frames.

        The next frame cuts the tail of the radio short, `fps` times a second; None: no frame does. Waiting
        on the device costs nothing, as in a plan.
        """
        joules = [
            found for frame in self._frames if (found := self._joules(frame, fps)) is not None
        ]
        return sum(joules) / len(joules) if joules else None

    def mean_money(self) -> float | None:
        """Return what a frame is billed on average; None without prices, or without frames."""
        if self._terms.prices is None or not self._frames:
            return None
        prices = self._terms.prices
        billed = (
            frame_money(one.timings.cloud_s, one.upload_bytes + one.download_bytes, prices)
            for one in self._frames
        )
        return sum(billed) / len(self._frames)

    def _joules(self, frame: _Frame, fps: float | None) -> float | None:
        device, radio, timings = self._terms.device, self._terms.radio, frame.timings
        if device is None or radio is None:
            return None
        return frame_energy(
            device,
            radio,
            edge_s=frame.device_s,
            network_s=timings.network_s,
            cloud_s=timings.queue_s + timings.cloud_s,
            upload_bytes=frame.upload_bytes,
            download_bytes=frame.download_bytes,
            fps=fps,
        ).total_j
