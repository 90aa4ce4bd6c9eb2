"""The lookahead: in a pause between frames the controller decides for the next one."""

import asyncio

from edge_client.control.controller import Controller

_PAUSE_S = 0.005
"""Seconds after a frame's result, if no other frame comes before."""


class Lookahead:
    """A timer that lets the controller decide ahead in a pause between frames. Used in one event loop."""

    def __init__(self, controller: Controller) -> None:
        self.timer: asyncio.TimerHandle | None = None
        """Runs in a pause; None while a frame is at work."""
        self._controller = controller

    def begin_pause(self) -> None:
        """Decide ahead after a while, where the policy decides, unless the pause ends before."""
        self.end_pause()
        if self._controller.adapts:
            loop = asyncio.get_running_loop()
            self.timer = loop.call_later(_PAUSE_S, self._controller.think_ahead)

    def end_pause(self) -> None:
        """Decide nothing ahead: the next frame is here, or none will come."""
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
