"""Waiting for what comes about by itself: for the condition itself, and patiently."""

import asyncio
import time
from collections.abc import Callable

PATIENCE_S = 60.0
"""Longer than anything takes on a machine that is busy with other work as well."""


def until(holds: Callable[[], bool]) -> None:
    """Wait until something is true that another thread or process brings about."""
    ends_at = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < ends_at, "it has never come true"
        time.sleep(0.01)


async def eventually(holds: Callable[[], bool]) -> None:
    """Let the event loop go on until something is true that no event tells of."""
    async with asyncio.timeout(PATIENCE_S):
        while not holds():  # noqa: ASYNC110
            await asyncio.sleep(0)
