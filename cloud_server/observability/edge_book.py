"""Telemetry from edges: the newest snapshot of each for the metrics, and changes of health for the log."""

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence

from partitioner.common.units import plural
from protos.errors import UsageError
from protos.rpc.printable import printable
from protos.telemetry import MAX_SNAPSHOTS, Telemetry, read_snapshot

_EDGES = 1024
"""That are remembered: each takes some 8 kB, and 10 kB and 1 ms of the page of metrics."""
_SILENT_S = 300.0
"""Who has told nothing for so long makes way. Nobody else does: of a fleet that is larger, the page has the
same edges each time, and not those that happened to be last."""
_BUNDLES = 8
"""Of one edge: it takes no other's place by making names up."""

_log = logging.getLogger(__name__)


class EdgeBook:
    """Keeps the newest snapshot of each edge, by its name and bundle.

    Used from the event loop; `newest` from any thread.
    """

    def __init__(self, capacity: int = _EDGES, clock: Callable[[], float] = time.monotonic) -> None:
        self._newest: OrderedDict[tuple[str, str], Telemetry] = OrderedDict()
        """Who has not told anything for longest comes first."""
        self._heard_s: dict[tuple[str, str], float] = {}
        self._bundles: dict[str, list[str]] = {}
        """Of each edge, in the same order."""
        self._capacity = capacity
        self._clock = clock
        self._is_full = False
        self.on_news: Callable[[Sequence[Telemetry]], None] = _unheard
        """Is called in the event loop with snapshots that were taken, the oldest first."""

    def newest(self) -> Iterable[Telemetry]:
        """Return the newest snapshot of each edge."""
        return tuple(self._newest.values())

    async def take(
        self,
        documents: Sequence[str],
        device: str = "",
        check: Callable[[str], object] = lambda _bundle: None,
    ) -> None:
        """Take snapshots in JSON, the oldest first. UsageError if one is none; then none is taken.

        They are of the `device` that sends them, whatever they say; empty: senders have no names. `check`
        raises for a bundle of which the sender may not tell.
        """
        if len(documents) > MAX_SNAPSHOTS:
            raise UsageError(
                f"{plural(len(documents), 'snapshot')} came at once, and {MAX_SNAPSHOTS} are taken. Send "
                "fewer."
            )
        # Off the loop, as 64 of them take some milliseconds.
        snapshots = await asyncio.to_thread(lambda: [read_snapshot(text) for text in documents])
        for bundle in {seen.bundle for seen in snapshots}:
            check(bundle)
        if device:
            snapshots = [seen.model_copy(update={"edge": device}) for seen in snapshots]
        for seen in snapshots:
            self._note(seen)
        self.on_news(snapshots)

    def _note(self, seen: Telemetry) -> None:
        key = seen.edge, seen.bundle
        before = self._newest.get(key)
        # Runs are not ordered by their start: a device's clock may have gone back meanwhile.
        if before and seen.started_s == before.started_s and seen.number <= before.number:
            return  # sent twice, since our answer was lost
        own = self._bundles.get(seen.edge, [])
        if before is None and len(own) >= _BUNDLES:
            self._drop((seen.edge, own[0]))
        if before is None and not self._has_place():
            return
        self._newest[key] = seen
        self._newest.move_to_end(key)
        self._heard_s[key] = self._clock()
        self._bundles[seen.edge] = [*(one for one in own if one != seen.bundle), seen.bundle]
        changed = before is None or before.health != seen.health
        level = logging.INFO if changed else logging.DEBUG
        _log.log(level, "%s", printable(_sentence(seen)))

    def _has_place(self) -> bool:
        """Tell whether another edge may be remembered, in the place of one that is silent if need be."""
        if len(self._newest) < self._capacity:
            return True
        oldest = next(iter(self._newest))
        if self._clock() - self._heard_s[oldest] >= _SILENT_S:
            self._drop(oldest)
            return True
        if not self._is_full:
            self._is_full = True
            _log.warning(
                "%s send telemetry, and more: those that came later are in no metrics of this server. "
                "Roll-outs count them all the same; scrape the edges themselves.",
                plural(self._capacity, "edge"),
            )
        return False

    def _drop(self, key: tuple[str, str]) -> None:
        edge, bundle = key
        del self._newest[key], self._heard_s[key]
        self._bundles[edge].remove(bundle)
        if not self._bundles[edge]:
            del self._bundles[edge]


def _sentence(seen: Telemetry) -> str:
    served = ", ".join(f"{name} {count}" for name, count in seen.served_by.items()) or "none yet"
    return (
        f"edge {seen.edge} ({seen.bundle}) is {seen.health}: {seen.health_reason}; cut {seen.cut}; "
        f"frames: {served}"
    )


def _unheard(_snapshots: Sequence[Telemetry]) -> None:
    """Do nothing with the news."""
