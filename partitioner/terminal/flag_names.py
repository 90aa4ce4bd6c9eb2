"""Flags of commands where the planner names parameters: `accuracy_drop` is `--accuracy-drop`."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from protos.errors import SplitpointError

_OTHERWISE = {"replace": "--force", "input_shapes": "--input"}
_UNIT = re.compile("_(?:s|j|bps|bytes)$")


def flag_of(parameter: str) -> str:
    """Return the flag that sets a parameter; people write a unit with the value, not with the flag."""
    return _OTHERWISE.get(parameter, "--" + _UNIT.sub("", parameter).replace("_", "-"))


def with_flags(said: str) -> str:
    """Return a sentence with the flags of the parameters that stand in backticks in it."""
    return re.sub("`([a-z][a-z0-9_]*)`", lambda found: flag_of(found[1]), said)


@contextmanager
def flags_in_errors() -> Iterator[None]:
    """Let errors that pass name flags where they name parameters."""
    try:
        yield
    except SplitpointError as error:
        error.args = tuple(with_flags(each) for each in error.args if isinstance(each, str))
        raise


def document_with_flags(document: Any) -> Any:
    """Return plain data with the flags of the parameters in it."""
    if isinstance(document, dict):
        return {
            "flag" if key == "parameter" else key: flag_of(value)
            if key == "parameter"
            else document_with_flags(value)
            for key, value in document.items()
        }
    if isinstance(document, list):
        return [document_with_flags(each) for each in document]
    return with_flags(document) if isinstance(document, str) else document
