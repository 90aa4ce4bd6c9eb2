"""Listeners: functions that are called with each piece of news, in the order in which they were added."""

from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Listeners(Generic[T]):
    """Calls all that were added, on the thread that tells the news."""

    def __init__(self) -> None:
        self._listeners: tuple[Callable[[T], None], ...] = ()

    def add(self, listener: Callable[[T], None]) -> None:
        """Let one more hear what is told from now on."""
        self._listeners = (*self._listeners, listener)

    def tell(self, news: T) -> None:
        """Call every listener with `news`."""
        for listener in self._listeners:
            listener(news)
