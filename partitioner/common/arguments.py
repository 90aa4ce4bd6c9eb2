"""Arguments that a Python caller got wrong: a sentence each, where Python would show a traceback."""

from collections.abc import Mapping
from numbers import Real

from protos.errors import UsageError

_LONGEST = 60
"""Characters of a value that a sentence shows."""
_UNITS = {
    "_s": " of seconds, such as 0.1",
    "_bytes": " of bytes, such as 500_000_000",
    "_bps": " of bits per second, such as 10e6",
}


def need(name: str, value: object, *kinds: type, wanted: str) -> None:
    """Raise UsageError unless an argument is of one of these classes, which `wanted` says in words."""
    if not isinstance(value, kinds):
        shown = repr(value)
        shown = shown if len(shown) <= _LONGEST else f"{shown[:_LONGEST]}…"
        raise UsageError(f"`{name}` is {shown}, of type {type(value).__name__}. Give {wanted}.")


def need_numbers(values: Mapping[str, object], instead: str = "") -> None:
    """Raise UsageError unless these arguments, by name, are numbers; `instead`: what else to do."""
    for name, value in values.items():
        unit = next((words for ending, words in _UNITS.items() if name.endswith(ending)), "")
        need(name, value, Real, wanted=f"a number{unit}{instead}")
