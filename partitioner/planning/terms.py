"""On what terms options are priced: device, radio, rate, workers, prices."""

import math
from dataclasses import dataclass

from partitioner.common.defaults import DEFAULT_THREADS
from partitioner.devices.device import Device, load_device, load_radio
from partitioner.devices.radio import Radio
from protos.errors import UsageError

HOURS_A_MONTH = 730.0
"""As clouds bill: 365 * 24 / 12."""


@dataclass(frozen=True)
class Prices:
    """What the cloud bills, in any one currency: worker time, and traffic in both directions."""

    worker_hour: float = 0.0
    gb: float = 0.0

    def __post_init__(self) -> None:
        for name, price in (("price_worker_hour", self.worker_hour), ("price_gb", self.gb)):
            if not 0 <= price < math.inf:
                raise UsageError(f"`{name}` {price} is no price. Give 0 or more.")


@dataclass(frozen=True)
class Terms:
    """On what terms options are priced; no energy without device and radio, no money without prices."""

    device: Device | None = None
    radio: Radio | None = None
    fps: float | None = None
    """Frames a second; None: one frame by itself."""
    workers: int = 1
    """Cloud workers that serve frames at the same time."""
    prices: Prices | None = None
    sustained: bool = False
    """After hours at `fps`, as warm as the device then is."""

    def __post_init__(self) -> None:
        if self.fps is not None and not 0 < self.fps < math.inf:
            raise UsageError(f"`fps` {self.fps} has no meaning. Give a rate above 0, such as 10.")
        if self.workers < 1:
            raise UsageError(f"`workers` {self.workers} serve nothing. Give 1 or more.")
        if self.sustained and (self.device is None or self.fps is None):
            raise UsageError("`sustained` needs a device and a rate: `device` NAME `fps` 10.")
        if self.radio is not None and self.device is None:
            raise UsageError("`radio` needs the device that it is in: `device` NAME.")

    @classmethod
    def named(
        cls,
        device: str | None = None,
        radio: str | None = None,
        *,
        price_worker_hour: float | None = None,
        price_gb: float | None = None,
        fps: float | None = None,
        workers: int = 1,
        sustained: bool = False,
        threads: int = DEFAULT_THREADS,
    ) -> "Terms":
        """Return terms with a device and a radio by name, or from files; without `radio` the device's own.

        `threads`: those that the device computes with.
        Raises what `load_device` and `load_radio` do.
        """
        found = load_device(device).with_threads(threads) if device else None
        name = radio or (found.radio if found else None)
        priced = price_worker_hour is not None or price_gb is not None
        return cls(
            device=found,
            radio=load_radio(name) if name else None,
            fps=fps,
            workers=workers,
            prices=Prices(price_worker_hour or 0.0, price_gb or 0.0) if priced else None,
            sustained=sustained,
        )

    @property
    def knows_energy(self) -> bool:
        """True if they say what a frame costs the device in joules."""
        return self.device is not None and self.radio is not None


NO_TERMS = Terms()
"""Seconds and bytes, and nothing that needs a device or a price."""
