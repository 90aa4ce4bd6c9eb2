"""Listeners: everybody who wants to hear of the same thing, in the order of asking."""

from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Listeners(Generic[T]):
    """Tells a piece of news to all who were added, on the thread of whoever tells it."""

    def __init__(self) -> None:
        self._listeners: tuple[Callable[[T], None], ...] = ()

    def add(self, listener: Callable[[T], None]) -> None:
        """Let one more hear what is told from now on."""
        self._listeners = (*self._listeners, listener)

    def tell(self, news: T) -> None:
        """Call every listener with `news`."""
        for listener in self._listeners:
            listener(news)
