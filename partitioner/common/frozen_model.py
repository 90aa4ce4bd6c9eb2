"""The base of documents: what is read from JSON or TOML, checked, and never changed."""

from collections.abc import Iterator, Sized
from typing import Any

from pydantic import BaseModel, ConfigDict

from partitioner.common.units import plural

_SHOWN = 3
"""Items of a collection that are shown; of more, or of documents, their number is."""


class FrozenModel(BaseModel):
    """A document of which every field is known; a number that is none is refused unless told otherwise."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        """Return what is shown of the fields."""
        for name, value in super().__repr_args__():
            yield name, _Count(value) if _is_long(value) else value

    def __str__(self) -> str:
        return repr(self)


class _Count:
    """What is shown in place of a long collection."""

    def __init__(self, items: Sized) -> None:
        self._number = len(items)

    def __repr__(self) -> str:
        return f"<{plural(self._number, 'item')}>"


def _is_long(value: object) -> bool:
    if not isinstance(value, dict | list | tuple | set | frozenset):
        return False
    items = value.values() if isinstance(value, dict) else value
    return len(value) > _SHOWN or any(isinstance(item, BaseModel) for item in items)
