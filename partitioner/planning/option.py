"""An option: a cut with a codec, and what a frame of it takes on one link."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from partitioner.bundle.accuracy import Accuracy
from partitioner.common.units import format_duration, format_size
from protos.names import EDGE


@dataclass(frozen=True)
class LastResort:
    """What remains of an option without a cloud on a device that has no tails: its exit, however unsure."""

    agreement: float
    """Share of held-out inputs to which it gave the whole model's class."""
    exit_s: float


CELLS = ("option", "upload", "edge", "network", "cloud", "total")


@dataclass(frozen=True)
class Option:
    """A cut with a codec and its measured numbers, and what they come to on one link.

    `edge_s` is head and encoding, `cloud_s` decoding and tail, each with what resuming takes there, and
    `edge_s` with what crossing takes besides; bytes are whole messages; `frontier_bytes` is what crosses
    before the codec.
    """

    cut: str
    codec: str
    edge_s: float
    upload_bytes: float
    network_s: float
    cloud_s: float
    download_bytes: float
    frontier_bytes: int
    edge_memory_bytes: int
    cloud_memory_bytes: int
    accuracy: Accuracy | None = None
    """What it loses by its codec; None where nothing is lost, and where that was not measured."""
    exit_rate: float = 0.0
    """The chance that the exit at the cut answers, so that nothing crosses."""
    exit_s: float = 0.0
    """What asking the exit takes on the device."""
    handing_s: float = 0.0
    """Of `edge_s`, what is spent on waking up, and on handing over the frame and its answer: results call it
    waiting."""
    encode_s: float = 0.0
    """Of `edge_s`, what encoding takes, which a frame that exits is spared."""
    last_resort: LastResort | None = None
    """None where the rest can be computed here, and where there is no exit either."""
    finish_s: float | None = None
    """What the rest takes on the device, by the tail or else by the exit; None where neither is here."""

    def __repr__(self) -> str:
        stages = (("edge", self.edge_s), ("network", self.network_s), ("cloud", self.cloud_s))
        parts = ", ".join(f"{name} {format_duration(seconds)}" for name, seconds in stages)
        total, sent = format_duration(self.total_s), format_size(self.upload_bytes)
        return f"<Option {self.label}: {total} ({parts}), {sent} up>"

    def to_dict(self) -> dict[str, Any]:
        """Return the option as plain data: seconds and bytes."""
        return {
            "cut": self.cut,
            "codec": self.codec,
            "edge_s": self.edge_s,
            "upload_bytes": self.upload_bytes,
            "network_s": self.network_s,
            "cloud_s": self.cloud_s,
            "download_bytes": self.download_bytes,
            "exit_s": self.exit_s,
            "exit_rate": self.exit_rate,
            "total_s": self.total_s,
            "frontier_bytes": self.frontier_bytes,
            "edge_memory_bytes": self.edge_memory_bytes,
            "cloud_memory_bytes": self.cloud_memory_bytes,
            "accuracy": self.accuracy.to_dict() if self.accuracy else None,
            "last_resort": asdict(self.last_resort) if self.last_resort else None,
        }

    def to_row(self) -> dict[str, Any]:
        """Return the same without what is nested, and with its label and what it loses."""
        numbers = self.to_dict()
        del numbers["accuracy"], numbers["last_resort"]
        lost = self.accuracy.drop_points if self.accuracy else None
        return {"option": self.label, **numbers, "drop_points": lost}

    @property
    def cells(self) -> tuple[str, ...]:
        """What a small table shows of it, under CELLS; times in ms, an exit's with the edge's."""
        seconds = (self.edge_s + self.exit_s, self.network_s, self.cloud_s, self.total_s)
        times = (f"{1e3 * each:.1f}" for each in seconds)
        return self.label, format_size(self.upload_bytes), *times

    @property
    def is_exact(self) -> bool:
        """Whether nothing that crosses loses anything."""
        return self.cut == EDGE or self.codec == "raw"

    @property
    def total_s(self) -> float:
        """Seconds from the frame to its result; the mean of those that exit and those that cross."""
        crossing_s = self.network_s + self.cloud_s
        return self.edge_s + self.exit_s + (1 - self.exit_rate) * crossing_s

    @property
    def expected(self) -> "Option":
        """What a frame costs on average, as an option without an exit."""
        if not self.exit_s and not self.exit_rate:
            return self
        share = 1 - self.exit_rate
        return replace(
            self,
            edge_s=self.edge_s + self.exit_s,
            upload_bytes=share * self.upload_bytes,
            network_s=share * self.network_s,
            cloud_s=share * self.cloud_s,
            download_bytes=share * self.download_bytes,
            exit_rate=0.0,
            exit_s=0.0,
        )

    @property
    def label(self) -> str:
        """Cut and codec as people write them: `cut-05/raw`, `edge`."""
        return self.cut if self.cut == EDGE else f"{self.cut}/{self.codec}"


Column = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class OptionColumns:
    """The numbers of some options as arrays of float64, one entry an option, to weigh them all at once."""

    options: tuple[Option, ...]
    computed_s: Column
    """On the device, with the exit, without handing over."""
    handing_s: Column
    crosses: npt.NDArray[np.bool_]
    share: Column
    """Of frames that cross; 0 for what stays on the device."""
    upload_bytes: Column
    download_bytes: Column
    cloud_s: Column
    finish_s: Column
    """Infinite where nothing here can finish a frame."""
    by_exit: npt.NDArray[np.bool_]
    """Where an exit finishes it, which is worse than the cloud's answer."""

    @classmethod
    def of(cls, options: Sequence[Option]) -> Self:
        """Return the columns of these options, in their order."""

        def column(*values: float) -> Column:
            return np.array(values, np.float64)

        crosses = np.array([option.cut != EDGE for option in options])
        return cls(
            tuple(options),
            column(*(o.edge_s - o.handing_s + o.exit_s for o in options)),
            column(*(o.handing_s for o in options)),
            crosses,
            crosses * column(*(1 - o.exit_rate for o in options)),
            column(*(o.upload_bytes for o in options)),
            column(*(o.download_bytes for o in options)),
            column(*(o.cloud_s for o in options)),
            column(*(math.inf if o.finish_s is None else o.finish_s for o in options)),
            np.array([o.last_resort is not None for o in options]),
        )

    @cached_property
    def places(self) -> dict[tuple[str, str], int]:
        """Where each option is, by cut and codec."""
        return {(option.cut, option.codec): at for at, option in enumerate(self.options)}
