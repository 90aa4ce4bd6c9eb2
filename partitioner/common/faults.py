"""The first fault that pydantic finds in what somebody wrote, in plain words."""

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydantic import ValidationError

_WORDS = {
    "a valid integer": "a whole number",
    "a valid number": "a number",
    "a valid boolean": "true or false",
    "a valid string": "a text",
}
_LONGEST = 60


def first_fault(error: "ValidationError") -> str:
    """Return `field: what is wrong` of the first fault; a fault of the whole names no field."""
    fault = error.errors()[0]
    where = ".".join(map(str, fault["loc"]))
    said = plain_words(fault)
    return f"{where}: {said}" if where else said


def plain_words(fault: Mapping[str, Any]) -> str:
    """Return what is wrong with one value: `'four' should be a whole number`; `it is missing`."""
    if fault["type"] == "missing":
        return "it is missing"
    if fault["type"] == "extra_forbidden":
        return "there is no such field"
    said = str(fault["msg"]).removeprefix("Value error, ")
    if not said.startswith("Input should be "):
        return said
    shown = repr(fault["input"])
    shown = shown if len(shown) <= _LONGEST else f"{shown[:_LONGEST]}…"
    wanted = re.sub(r", (unable to|got) .*", "", said.removeprefix("Input should be "))
    return f"{shown} should be {_WORDS.get(wanted, wanted)}"
