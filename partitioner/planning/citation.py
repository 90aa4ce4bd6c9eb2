"""Where the numbers of devices and radios come from, and how sure they are."""

from typing import Literal

from partitioner.common.frozen_model import FrozenModel


class Citation(FrozenModel):
    """Where numbers come from: the fields they are, how sure they are, and the words for it."""

    fields: tuple[str, ...]
    kind: Literal["measured", "documented", "estimate"]
    """`measured` and `documented` by those whom the text names; `estimate`: derived as it says."""
    text: str
