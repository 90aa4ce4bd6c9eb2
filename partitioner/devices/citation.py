"""Citations: where the numbers of devices and radios come from, and how sure they are."""

from collections.abc import Iterable
from typing import Literal

from partitioner.common.frozen_model import FrozenModel

Kind = Literal["measured", "documented", "estimate"]
"""How sure a number is: `measured` and `documented` by those whom a text names; `estimate`: derived."""


class Citation(FrozenModel):
    """Where numbers come from: the fields they are, how sure they are, and the words for it."""

    fields: tuple[str, ...]
    kind: Kind
    text: str


def citation_of(sources: Iterable[Citation], field: str) -> Citation | None:
    """Return where the number in `field` comes from; None: no citation does."""
    return next((source for source in sources if field in source.fields), None)
