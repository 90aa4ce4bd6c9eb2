"""How the values of options are written in flags, variables and files: a metavar, and text to value."""

from collections.abc import Callable
from dataclasses import dataclass
from numbers import Integral, Real
from os import PathLike
from pathlib import Path
from typing import Any

from partitioner.common.arguments import need
from partitioner.common.units import parse_duration, parse_rate, parse_size
from protos.errors import UsageError


def _same(value: Any) -> Any:
    return value


@dataclass(frozen=True)
class Kind:
    """One way to write values.

    `base`: the type that a flag or a file has them in; `read`: from there to the value, UsageError if it
    cannot be; `write`: and back; `unit`: what of an option's name is left out where the value says it.
    `types`: what a program may give as the value, () for anything; `wanted`: the same in words.
    """

    metavar: str
    base: type = str
    read: Callable[[Any], Any] = _same
    write: Callable[[Any], Any] = str
    unit: str = ""
    choices: tuple[str, ...] = ()
    """All that there is, where that is known."""
    types: tuple[type, ...] = (str,)
    wanted: str = "a text"
    secret: bool = False
    """Where true, it is told by a variable alone, and shown nowhere."""

    def check(self, name: str, value: Any) -> None:
        """Raise UsageError, which calls the value `name`, for one of another type."""
        if self.secret and not isinstance(value, self.types):
            raise UsageError(f"`{name}` is of type {type(value).__name__}. Give {self.wanted}.")
        if self.types:
            need(name, value, *self.types, wanted=self.wanted)


def words(metavar: str) -> Kind:
    """Return a text that needs no reading."""
    return Kind(metavar)


def one_of(*known: str) -> Kind:
    """Return one word of several."""

    def read(text: str) -> str:
        if text not in known:
            raise UsageError(f"{text!r} is none of: {', '.join(known)}.")
        return text

    return Kind("|".join(known), read=read, choices=known)


def count(metavar: str = "N") -> Kind:
    """Return a whole number."""
    return Kind(metavar, int, write=_same, types=(Integral,), wanted="a whole number, such as 8")


def number(metavar: str) -> Kind:
    """Return any number."""
    return Kind(metavar, float, write=_same, types=(Real,), wanted="a number, such as 0.5")


def _read_number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise UsageError(f"{text!r} is no number. Write one such as 0.5.") from None


def number_or_word(metavar: str) -> Kind:
    """Return any number of an option for which a word may stand, too."""
    return Kind(
        metavar,
        read=_read_number,
        write="{:g}".format,
        types=(Real,),
        wanted="a number, such as 0.5",
    )


def _read_address(text: str) -> str:
    from protos.rpc.addresses import split_address

    split_address(text)
    return text


def _read_names(text: str) -> tuple[str, ...]:
    return () if text == "none" else tuple(part.strip() for part in text.split(",") if part.strip())


def _write_names(names: tuple[str, ...]) -> str:
    return ",".join(names) or "none"


def _read_counts(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in _read_names(text))
    except ValueError:
        raise UsageError(f"{text!r} is no list of whole numbers. Write them as 4,8.") from None


def _write_counts(counts: tuple[int, ...]) -> str:
    return _write_names(tuple(map(str, counts)))


def _write_size(size: int) -> str:
    for unit, factor in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if size % factor == 0:
            return f"{size // factor}{unit}"
    return f"{size}B"


TIME = Kind(
    "TIME",
    read=parse_duration,
    write=lambda seconds: f"{seconds:g}s",
    unit="_s",
    types=(Real,),
    wanted="a number of seconds, such as 0.1",
)
SIZE = Kind(
    "SIZE",
    read=parse_size,
    write=_write_size,
    unit="_bytes",
    types=(Integral,),
    wanted="a whole number of bytes, such as 64 << 20",
)
SECRET = Kind("SECRET", secret=True)
RATE = Kind(
    "RATE",
    read=parse_rate,
    write=lambda bps: f"{bps:g}bit",
    unit="_bps",
    types=(Real,),
    wanted="a number of bits per second, such as 2e6",
)
SWITCH = Kind("", bool, write=_same, types=(bool,), wanted="True or False")
FILE = Kind("FILE", Path, read=Path, types=(str, PathLike), wanted="a path")
FOLDER = Kind("FOLDER", Path, read=Path, types=(str, PathLike), wanted="a path")
ADDRESS = Kind("HOST:PORT", read=_read_address)
NAMES = Kind(
    "NAME[,NAME…]|none",
    read=_read_names,
    write=_write_names,
    types=(tuple, list),
    wanted="a tuple of texts",
)
COUNTS = Kind(
    "N[,N…]|none",
    read=_read_counts,
    write=_write_counts,
    types=(tuple, list),
    wanted="a tuple of whole numbers, such as (4, 8)",
)
