"""The reporter: it writes health and snapshots to a file, and sends snapshots to the cloud."""

import asyncio
import math
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from itertools import islice
from time import perf_counter
from typing import Any

from edge_client import defaults
from edge_client.client.async_client import AsyncEdgeClient
from edge_client.telemetry.health import State
from edge_client.telemetry.observer import Observer
from partitioner.common.event_loop import repeat
from protos.errors import NetworkError, OverloadedError, SplitpointError

TICK_S = 0.5
"""Between two looks at the health."""
_STANDS_S = defaults.OFFLINE_AFTER_S
"""A cause has to stand for so long until it is told: a server that starts fails in several ways at first."""
_AT_ONCE = 16
"""Snapshots in one message: some 20 kB, so that frames do not wait long behind what was kept."""
_FRAMING_BYTES = 16
"""Bytes that a snapshot takes in a message beside its own, at most."""
_LAST_S = 2.0
"""Seconds that the end of a run may wait for its last report."""

Write = Callable[[dict[str, Any]], None]


class TelemetryBuffer:
    """Snapshots that the cloud has not got yet. Bounded: the oldest make way, and are counted."""

    def __init__(self, capacity: int = defaults.TELEMETRY_KEPT) -> None:
        self.lost = 0
        self._waiting: deque[str] = deque()
        self._capacity = capacity

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, snapshot: str) -> None:
        """Keep one more."""
        if len(self._waiting) == self._capacity:
            self._waiting.popleft()
            self.lost += 1
        self._waiting.append(snapshot)

    def oldest(self, count: int, most_bytes: float = math.inf) -> list[str]:
        """Return up to `count` of together at most `most_bytes`, and one at least, the oldest first.

        They stay here.
        """
        found: list[str] = []
        for snapshot in islice(self._waiting, count):
            most_bytes -= len(snapshot.encode()) + _FRAMING_BYTES
            if found and most_bytes < 0:
                break
            found.append(snapshot)
        return found

    def remove(self, snapshots: Sequence[str], *, lost: bool = False) -> None:
        """Let go of what has arrived, or never will; what has made way meanwhile is gone already."""
        for snapshot in snapshots:
            if self._waiting and self._waiting[0] == snapshot:
                self._waiting.popleft()
                self.lost += lost


class Reporter:
    """Looks, writes and sends at its times. `tick` does what is due now; `run` calls it again and again.

    `every_s`: seconds between snapshots; None: none are made, and only health is looked at. `write` gets
    `{"health": …}` when it, or what keeps frames from the cloud, becomes another, and `{"telemetry": …}`;
    `on_change` gets the state then. Used in the client's loop.
    """

    def __init__(
        self,
        client: AsyncEdgeClient,
        observer: Observer,
        every_s: float | None,
        write: Write,
        on_change: Callable[[State], Awaitable[None]],
        *,
        capacity: int = defaults.TELEMETRY_KEPT,
        clock: Callable[[], float] = perf_counter,
    ) -> None:
        self.buffer = TelemetryBuffer(capacity)
        self._client = client
        self._observer = observer
        self._every_s = every_s
        self._write = write
        self._on_change = on_change
        self._clock = clock
        self._at_once = _AT_ONCE
        self._due_at = clock() + (every_s or 0.0)
        self._told = observer.look()

    async def run(self) -> None:
        """Tick until cancelled; a report that waits for a dead link does not hold up the looking."""
        async with asyncio.TaskGroup() as tasks:
            for work in (self._observe, self._deliver):
                # When the reader of the output has gone, the command ends.
                tasks.create_task(repeat(work, TICK_S, "telemetry", ends_with=BrokenPipeError))

    async def tick(self) -> None:
        """Do what is due now, if anything is."""
        await self._observe()
        await self._deliver()

    async def _observe(self) -> None:
        await self._look()
        if self._every_s is not None and self._clock() >= self._due_at:
            self._due_at = max(self._due_at + self._every_s, self._clock())
            self._take()

    async def _deliver(self) -> None:
        if len(self.buffer) and self._client.takes_telemetry:
            await self._send()

    async def finish(self) -> None:
        """Make the last snapshot, and send what there is if the cloud is there."""
        if self._every_s is None:
            return
        await self._look()
        self._take()
        try:
            async with asyncio.timeout(_LAST_S):
                while len(self.buffer) and self._client.takes_telemetry:
                    if not await self._send():
                        return
        except TimeoutError:
            return  # the next run tells nothing of this one

    async def _look(self) -> None:
        state = self._observer.look()
        if state.health is not self._told.health or self._has_another_cause(state):
            self._told = state
            await self._on_change(state)
            if self._every_s is not None:
                self._write({"health": {"health": str(state.health), "reason": state.reason}})

    def _has_another_cause(self, state: State) -> bool:
        """Tell whether frames are kept from the cloud by what was not told, and not for a moment only."""
        stands = self._clock() - state.cause_since_s >= _STANDS_S
        return bool(state.cause) and state.cause != self._told.cause and stands

    def _take(self) -> None:
        self._observer.count_lost(self.buffer.lost)
        snapshot = self._observer.snapshot()
        self._write({"telemetry": snapshot.model_dump(mode="json")})
        self.buffer.add(snapshot.model_dump_json())

    async def _send(self) -> bool:
        """Send the oldest, as many as fit; True unless they have to wait."""
        server = self._client.server
        most_bytes = server.max_message_bytes if server else math.inf
        batch = self.buffer.oldest(self._at_once, most_bytes)
        try:
            await self._client.report(batch)
        except (NetworkError, OverloadedError):
            return False
        except SplitpointError:
            # What is refused is refused for ever; of several only one may be to blame.
            if len(batch) == 1:
                self.buffer.remove(batch, lost=True)
            self._at_once = max(1, len(batch) // 2)
        else:
            self.buffer.remove(batch)
            self._at_once = min(2 * self._at_once, _AT_ONCE)
        return True
