"""The names that are most like a misspelt one."""

from collections.abc import Iterable
from difflib import SequenceMatcher, get_close_matches

_LEAST_ALIKE = 0.6
"""As a share of the letters: below it a name is another one rather than misspelt."""


def meant_text(name: str, known: Iterable[str]) -> str:
    """Return ` Did you mean cut-03?` with the first of the names that are most alike; empty: none is."""
    ranked = [(_alike(name, one), one) for one in known]
    best = max(ranked, key=lambda pair: pair[0], default=(0.0, ""))
    return f" Did you mean {best[1]}?" if best[0] >= _LEAST_ALIKE else ""


def _alike(one: str, other: str) -> float:
    return SequenceMatcher(None, one.casefold(), other.casefold()).ratio()


def nearest(name: str, known: Iterable[str]) -> str:
    """Return the known name that is most like `name`, however far it is."""
    return get_close_matches(name, list(known), n=1, cutoff=0.0)[0]
