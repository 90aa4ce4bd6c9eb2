"""Word of what takes long, from whoever does it to whoever shows it."""

from collections.abc import Callable

OnProgress = Callable[[str, int, int], None]
"""Called with a step in words, the number done, and their total; a total of 0 is not known yet."""


def unheard(_step: str, _done: int, _total: int) -> None:
    """Ignore the progress."""
