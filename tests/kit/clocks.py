"""Clocks that stand still until a test moves them."""

import asyncio


class FakeClock:
    """Seconds that pass when a test says so, or while somebody sleeps on this clock."""

    def __init__(self, now_s: float = 100.0) -> None:
        self.now_s = now_s

    def __call__(self) -> float:
        return self.now_s

    async def sleep(self, seconds: float) -> None:
        """Move the clock on to the end of this sleep; the event loop runs, so that others get their turn."""
        due_s = self.now_s + seconds
        await asyncio.sleep(0)
        self.now_s = max(self.now_s, due_s)
