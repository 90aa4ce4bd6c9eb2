"""A device under sustained load: how hot it gets, and how much it then has to slow down.

One resistance R and one capacity C between chip and air, the standard lumped model (K. Skadron et
al., "Temperature-aware microarchitecture", ISCA 2003, section 3):

    T(t) = T_steady + (T(0) - T_steady) * exp(-t / RC),    T_steady = T_ambient + R * P
"""

import math
from dataclasses import dataclass

from partitioner.devices.device import Device, Thermal
from protos.errors import UsageError


@dataclass(frozen=True)
class Sustained:
    """What is left of a device's speed after hours at one frame rate."""

    speed: float
    """Of its full speed, above 0 and at most 1."""
    throttles_after_s: float
    """From idle to throttling; infinite if it never throttles."""
    temperature_c: float
    """Where it settles."""

    @property
    def slowdown(self) -> float:
        """Computing takes this many times as long as when the device is cool."""
        return 1 / self.speed


def sustain(device: Device, edge_s: float, fps: float) -> Sustained:
    """Return how the device does with `fps` frames a second that each take `edge_s` when it is cool.

    Its mean power over idle at speed s is dP * s**e times the share of time it computes,
    min(1, fps * edge_s / s). Throttling settles at the highest speed whose steady temperature is no
    higher than where throttling starts. The radio's heat is left out.

    Raises UsageError if the device has no thermal model, or is too hot when it does nothing.
    """
    thermal = _thermal_of(device)
    room_w = (thermal.throttle_c - thermal.ambient_c) / thermal.resistance_c_per_w - device.idle_w
    if room_w <= 0:
        raise UsageError(
            f"{device.name} reaches its throttling temperature of {thermal.throttle_c:g} °C when idle "
            f"in air of {thermal.ambient_c:g} °C. Mend its [thermal] table."
        )
    full_w, load = device.compute_w - device.idle_w, fps * edge_s
    wanted_w = full_w * min(1.0, load)
    if wanted_w <= room_w:
        return Sustained(1.0, math.inf, _steady_c(thermal, device.idle_w + wanted_w))
    speed = _settled_speed(full_w, load, room_w, thermal.power_exponent)
    hot_c, idle_c = (_steady_c(thermal, device.idle_w + power) for power in (wanted_w, 0.0))
    beyond_c = hot_c - thermal.throttle_c
    if beyond_c <= 0:  # by no more than rounding
        return Sustained(1.0, math.inf, hot_c)
    after_s = thermal.time_constant_s * math.log((hot_c - idle_c) / beyond_c)
    return Sustained(speed, after_s, thermal.throttle_c)


def _settled_speed(full_w: float, load: float, room_w: float, exponent: float) -> float:
    """Return the highest s with full_w * s**e * min(1, load / s) <= room_w, which s = 1 exceeds."""
    saturated: float = (room_w / full_w) ** (1 / exponent)
    if saturated <= load or exponent == 1:
        return saturated
    unsaturated: float = (room_w / (full_w * load)) ** (1 / (exponent - 1))
    return unsaturated


def _thermal_of(device: Device) -> Thermal:
    if device.thermal is None:
        raise UsageError(
            f"{device.name} has no thermal model. Add a [thermal] table to its file, or leave "
            "`sustained` out."
        )
    return device.thermal


def _steady_c(thermal: Thermal, power_w: float) -> float:
    return thermal.ambient_c + thermal.resistance_c_per_w * power_w
