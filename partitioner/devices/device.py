"""Devices and radios as data: what they draw, how fast they compute, how hot they get, and who says so.

The ones that we know lie in `partitioner/devices/data`; one of your own is a file of the same form.
"""

import tomllib
from importlib.resources import files
from pathlib import Path
from typing import Self, TypeVar

from pydantic import Field, ValidationError, model_validator

from partitioner.common.faults import first_fault
from partitioner.common.frozen_model import FrozenModel
from partitioner.common.nearest import meant_text
from partitioner.devices.citation import Citation
from partitioner.devices.radio import Radio
from partitioner.profiles.profile import Profile
from protos.errors import FileError, ProfileError, UnknownNameError, UsageError, reason
from protos.names import EDGE

_MAX_W = 1e6
"""What no device draws."""
_EXAMPLES = {"device": "raspberry-pi-4", "radio": "wifi"}


class Thermal(FrozenModel):
    """A device as one thermal resistance and one capacity between its chip (or skin) and the air."""

    ambient_c: float
    throttle_c: float
    """The temperature in °C at which it starts to slow down."""
    resistance_c_per_w: float = Field(gt=0)
    time_constant_s: float = Field(gt=0)
    power_exponent: float = Field(default=2.0, ge=1)
    """Power over idle at `s` times the full speed is `s` to this: 1 with the clock alone, 3 with voltage."""

    @model_validator(mode="after")
    def _has_room(self) -> Self:
        if self.throttle_c <= self.ambient_c:
            raise ValueError("throttle_c must be above ambient_c")
        return self


class Device(FrozenModel):
    """What a device draws, in watts of the whole board, and how fast it computes."""

    name: str = ""
    title: str
    idle_w: float = Field(ge=0, le=_MAX_W)
    """Awake and waiting."""
    compute_w: float = Field(gt=0, le=_MAX_W)
    """While it computes with all that the model may use, the idle power included."""
    gflops: float | None = Field(default=None, ge=1e-6, le=1e9)
    """float32 GFLOP/s that it reaches with models; None: profiles are of the device itself."""
    radio: str = "wifi"
    """The radio that it has unless another is named."""
    thermal: Thermal | None = None
    sources: tuple[Citation, ...] = ()

    @model_validator(mode="after")
    def _draws_more_when_it_works(self) -> Self:
        if self.compute_w < self.idle_w:
            raise ValueError("compute_w includes the idle power, so it cannot be below idle_w")
        return self


_Kind = TypeVar("_Kind", Device, Radio)


def device_names() -> list[str]:
    """Return the names of the devices that come with Splitpoint."""
    return _names("devices")


def radio_names() -> list[str]:
    """Return the names of the radios that come with Splitpoint."""
    return _names("radios")


def load_device(name: str) -> Device:
    """Return a device by its name, or from a TOML file if `name` ends in `.toml`.

    Raises UnknownNameError for a name that we don't know, FileError for a file that is no device.
    """
    return _load(Device, "device", name)


def load_radio(name: str) -> Radio:
    """Return a radio by its name, or from a TOML file if `name` ends in `.toml`.

    Raises UnknownNameError for a name that we don't know, FileError for a file that is no radio.
    """
    return _load(Radio, "radio", name)


def template(name: str) -> str:
    """Return the file of a device or radio that we know, as text, to write one of one's own from.

    Raises UnknownNameError.
    """
    word = "radio" if name in radio_names() else "device"
    return _text(word, name)


def scaled_to(device: Device, profile: Profile, flops: int) -> Profile:
    """Return the profile as the device would have it: an estimate, from rates of computing alone.

    A device without `gflops` is what was profiled. Raises what `device_scale` does.
    """
    scale = device_scale(device, profile, flops)
    return profile if scale is None else profile.scaled(scale)


def device_scale(device: Device, profile: Profile, flops: int) -> float | None:
    """Return how many times as long the device takes as the profiled machine; None: it says nothing of it.

    The profiled machine did the model's `flops` in the median of the cut `edge`; the device's
    `gflops` says how long it takes. Raises ProfileError for a profile without the cut `edge`,
    UsageError where the model's work is not known.
    """
    if device.gflops is None:
        return None
    if EDGE not in profile.cuts:
        raise ProfileError(
            f"the edge profile lacks the cut {EDGE}, so its times cannot be scaled to {device.name}. "
            "Measure it with the whole bundle, or give `edge_scale`."
        )
    whole = profile.cuts[EDGE].head
    if not flops or whole is None or not whole.seconds:
        raise UsageError(
            f"the bundle does not say how much work the model is, so its times cannot be scaled to "
            f"{device.name}. Give `edge_scale`; 1 if the profile is of that device."
        )
    return flops / whole.seconds / (1e9 * device.gflops)


def _names(folder: str) -> list[str]:
    entries = (files("partitioner.devices") / "data" / folder).iterdir()
    return sorted(entry.name.removesuffix(".toml") for entry in entries)


def _load(kind: type[_Kind], word: str, name: str) -> _Kind:
    start = f"Start from one that is known: splitpoint devices {_EXAMPLES[word]}"
    try:
        document = tomllib.loads(_text(word, name))
        return kind.model_validate({"name": Path(name).stem, **document})
    except OSError as error:
        raise FileError(
            f"{word} {name} cannot be read: {reason(error)}. Give the path of a TOML file."
        ) from error
    except ValidationError as error:
        raise FileError(f"{name} is no {word}: {first_fault(error)}. {start}.") from error
    except ValueError as error:
        raise FileError(f"{name} is not TOML: {reason(error)}. {start}.") from error


def _text(word: str, name: str) -> str:
    if name.endswith(".toml"):
        return Path(name).read_text()
    if name not in (known := _names(f"{word}s")):
        raise UnknownNameError(
            f"there is no {word} {name!r}.{meant_text(name, known)} Use one of {', '.join(known)}, "
            f"or a file of your own: my-{word}.toml."
        )
    return (files("partitioner.devices") / "data" / f"{word}s" / f"{name}.toml").read_text()
