"""Flags of what is minimised, and on what terms options are priced."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from partitioner.cli.flags import choices
from partitioner.common.defaults import DEFAULT_THREADS
from partitioner.settings.panels import CHOICE, TERMS
from partitioner.terminal.flags import flag

if TYPE_CHECKING:
    from partitioner.planning.objective import Objective
    from partitioner.planning.terms import Terms


@dataclass(frozen=True)
class ObjectiveFlags:
    """What the best option is the best in."""

    minimize: Annotated[
        str,
        flag(
            "latency, p95, throughput (the slowest stage), energy, bytes or cost.",
            "METRIC",
            panel=CHOICE,
            choices=choices.metrics,
        ),
    ] = "latency"
    weights: Annotated[
        str | None,
        flag(
            "A weighted sum instead, as latency=1,energy=0.2,bytes=1e-6,cost=100: weights of a "
            "second, a joule, a byte, a unit of money.",
            "WEIGHTS",
            panel=CHOICE,
        ),
    ] = None

    def read(self) -> "Objective":
        """Return the objective. Raises UsageError."""
        from partitioner.planning.objective import Objective

        return Objective.asked(self.minimize, self.weights)


DeviceOption = Annotated[
    str | None,
    flag(
        "What the edge is: raspberry-pi-4, raspberry-pi-5, jetson-orin-nano, phone, laptop or "
        "FILE.toml. Gives its energy, and unless --edge-scale is there its speed: scaled, not measured.",
        "DEVICE",
        panel=TERMS,
        choices=choices.devices,
    ),
]

DeviceThreads = Annotated[
    int,
    flag(
        "Threads that the --device computes with, as splitpoint-edge run is told by its --threads.",
        "N",
        panel=TERMS,
        min=1,
    ),
]


@dataclass(frozen=True)
class TermsFlags:
    """Device, radio and prices."""

    device: DeviceOption = None
    radio: Annotated[
        str | None,
        flag(
            "lte, 5g, wifi or FILE.toml; else the device's own.",
            "RADIO",
            panel=TERMS,
            choices=choices.radios,
        ),
    ] = None

    threads: DeviceThreads = DEFAULT_THREADS

    price_worker_hour: Annotated[
        float | None,
        flag("Money for an hour of a busy cloud worker.", "PRICE", panel=TERMS),
    ] = None
    price_gb: Annotated[
        float | None, flag("Money for a GB (10^9 bytes), up or down.", "PRICE", panel=TERMS)
    ] = None

    def read(
        self, fps: float | None = None, workers: int = 1, *, sustained: bool = False
    ) -> "Terms":
        """Return the terms; a device without --radio has its own.

        Raises UsageError, UnknownNameError or FileError.
        """
        from partitioner.planning.terms import Terms

        return Terms.named(
            self.device,
            self.radio,
            price_worker_hour=self.price_worker_hour,
            price_gb=self.price_gb,
            fps=fps,
            workers=workers,
            sustained=sustained,
            threads=self.threads,
        )


@dataclass(frozen=True)
class LoadFlags:
    """How much is asked of device and cloud."""

    fps: Annotated[
        float | None, flag("Frames a second: for costs a month.", "RATE", panel=TERMS)
    ] = None
    sustained: Annotated[
        bool,
        flag(
            "After hours at --fps, as slow as heat makes the --device.",
            None,
            "--sustained",
            panel=TERMS,
        ),
    ] = False
    workers: Annotated[int, flag("Cloud workers, for throughput.", "N", panel=TERMS)] = 1
