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
from partitioner.devices.throughput import Throughput
from protos.errors import FileError, UnknownNameError, reason

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
    throughput: tuple[Throughput, ...] = ()
    """How fast it computes, for numbers of threads; empty: profiles are of the device itself."""
    threads: int = Field(default=1, ge=1)
    """Those that it computes with."""
    radio: str = "wifi"
    """The radio that it has unless another is named."""
    thermal: Thermal | None = None
    sources: tuple[Citation, ...] = ()

    @model_validator(mode="after")
    def _draws_more_when_it_works(self) -> Self:
        if self.compute_w < self.idle_w:
            raise ValueError("compute_w includes the idle power, so it cannot be below idle_w")
        return self

    @model_validator(mode="before")
    @classmethod
    def _says_throughput(cls, found: object) -> object:
        if isinstance(found, dict) and "gflops" in found:
            raise ValueError(
                "gflops knows no kinds of operators. Say [[throughput]] with dense_gflops, "
                "depthwise_gflops and memory_gb_s"
            )
        return found

    @property
    def rate(self) -> Throughput | None:
        """How fast it is with its threads, or on its GPU; None: not known."""
        fitting = (one for one in self.throughput if one.on == "gpu" or one.threads == self.threads)
        return next(fitting, None)

    def with_threads(self, threads: int) -> Self:
        """Return the device as it computes with so many threads, and draws power for them.

        Its power grows with the cores at work, from idle to all of them (an estimate: what is shared by the
        cores counts as idle).
        """
        cores = max((one.threads for one in self.throughput if one.on == "cpu"), default=0)
        if not cores:
            return self.model_copy(update={"threads": threads})
        busy = min(threads, cores) / cores
        watts = self.idle_w + (self.compute_w - self.idle_w) * busy
        return self.model_copy(update={"threads": threads, "compute_w": watts})


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
