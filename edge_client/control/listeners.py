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
        """Call every listener with `news`; what the first of them raises is raised when all have heard."""
        failure: Exception | None = None
        for listener in self._listeners:
            try:
                listener(news)
            except Exception as error:  # noqa: BLE001 - the others hear of it all the same
                failure = failure or error
        if failure is not None:
            raise failure
