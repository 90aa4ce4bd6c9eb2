"""Listeners: all hear what is told, whatever one of them does."""

import pytest

from edge_client.control.listeners import Listeners


def test_listener_that_raises_takes_the_news_from_no_other() -> None:
    listeners, heard = Listeners[str](), []

    def broken(_news: str) -> None:
        raise BrokenPipeError("nobody reads")

    for listener in (heard.append, broken, heard.append):
        listeners.add(listener)
    with pytest.raises(BrokenPipeError):
        listeners.tell("moved")
    assert heard == ["moved", "moved"]
