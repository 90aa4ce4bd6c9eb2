"""Telemetry from edges: the newest snapshot of each for the metrics, and changes of health for the log."""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence

from partitioner.common.units import plural
from protos.errors import UsageError
from protos.rpc.printable import printable
from protos.telemetry import MAX_SNAPSHOTS, Telemetry, read_snapshot

_EDGES = 256
"""That are remembered; who has not told anything for longest makes way."""
_BUNDLES = 8
"""Of one edge: it takes no other's place by making names up."""

_log = logging.getLogger(__name__)


class EdgeBook:
    """Keeps the newest snapshot of each edge, by its name and bundle.

    Used from the event loop; `newest` from any thread.
    """

    def __init__(self, capacity: int = _EDGES) -> None:
        self._newest: OrderedDict[tuple[str, str], Telemetry] = OrderedDict()
        self._capacity = capacity
        self.on_news: Callable[[], None] = _unheard
        """Is called in the event loop once snapshots were taken."""

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
        for seen in snapshots:
            self._note(seen.model_copy(update={"edge": device}) if device else seen)
        self.on_news()

    def _note(self, seen: Telemetry) -> None:
        key = seen.edge, seen.bundle
        before = self._newest.get(key)
        # Runs are not ordered by their start: a device's clock may have gone back meanwhile.
        if before and seen.started_s == before.started_s and seen.number <= before.number:
            return  # sent twice, since our answer was lost
        self._newest[key] = seen
        self._newest.move_to_end(key)
        own = [known for known in self._newest if known[0] == seen.edge]
        if len(own) > _BUNDLES:
            del self._newest[own[0]]
        elif len(self._newest) > self._capacity:
            self._newest.popitem(last=False)
        changed = before is None or before.health != seen.health
        level = logging.INFO if changed else logging.DEBUG
        _log.log(level, "%s", printable(_sentence(seen)))


def _sentence(seen: Telemetry) -> str:
    served = ", ".join(f"{name} {count}" for name, count in seen.served_by.items()) or "none yet"
    return (
        f"edge {seen.edge} ({seen.bundle}) is {seen.health}: {seen.health_reason}; cut {seen.cut}; "
        f"frames: {served}"
    )


def _unheard() -> None:
    """Do nothing with the news."""
