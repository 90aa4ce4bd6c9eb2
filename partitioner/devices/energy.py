"""Energy that a frame costs the device: computing, the radio, and waiting for the answer."""

import math
from dataclasses import dataclass

from partitioner.devices.device import Device
from partitioner.devices.radio import Radio


@dataclass(frozen=True, slots=True)
class FrameEnergy:
    """Joules of one frame, by what they were spent on."""

    compute_j: float
    radio_j: float
    idle_j: float

    @property
    def total_j(self) -> float:
        """The sum."""
        return self.compute_j + self.radio_j + self.idle_j


def frame_energy(
    device: Device,
    radio: Radio,
    *,
    edge_s: float,
    network_s: float,
    cloud_s: float,
    upload_bytes: float,
    download_bytes: float,
    fps: float | None = None,
    speed: float = 1.0,
) -> FrameEnergy:
    """Return what one frame costs the device, from its start to its result.

    Computing: `edge_s` at the device's power while it computes (at `speed`, at most 1, as its thermal
    model says; `edge_s` is the time that this takes). Radio: slope times bytes, plus the power of an
    awake radio for `network_s` (J. Huang et al., MobiSys 2012, section 5.3), plus its tail of `tail_s`,
    which the next frame cuts short if there is one, `fps` times a second. Idle: the device's idle
    power while network and cloud have the frame. What it draws between frames belongs to no
    option, so it is in none.
    """
    return FrameEnergy(
        compute_j=edge_s * compute_power_w(device, speed),
        radio_j=radio.frame_j(network_s, cloud_s, upload_bytes, download_bytes, fps),
        idle_j=device.idle_w * (network_s + cloud_s),
    )


def compute_power_w(device: Device, speed: float = 1.0) -> float:
    """Return the device's power in watts while it computes at `speed` times its full speed."""
    exponent = device.thermal.power_exponent if device.thermal else 1.0
    return device.idle_w + (device.compute_w - device.idle_w) * math.pow(speed, exponent)
