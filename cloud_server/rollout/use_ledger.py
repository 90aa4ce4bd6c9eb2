"""The ledger of use: what each version served in each minute, from the counts that devices send."""

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from cloud_server.rollout.verdict import VersionUse
from protos.telemetry import Telemetry, VersionSeen

_MINUTE_S = 60.0
_KEPT = 60
"""Minutes that are remembered."""
_LEAST_FRAMES = 20
"""Of each of two versions, in a minute in which they are compared."""
_DEVICES = 4096

_VERSIONS = 4
"""Of one device: it comes back to those that it has left."""

Minute = dict[tuple[str, str], VersionUse]
"""By the names of bundles, and the beginnings of digests."""


@dataclass(frozen=True, slots=True)
class _Told:
    """What a device has told last: in which run, and of each version since it began to serve in that."""

    started_s: float
    number: int
    counts: Mapping[str, VersionSeen]
    """By the beginnings of digests, the newest last."""


class UseLedger:
    """Turns counts since a version began to serve on a device into frames by minute. Used in one loop."""

    def __init__(self) -> None:
        self._minutes: OrderedDict[int, Minute] = OrderedDict()
        self._before: OrderedDict[tuple[str, str], _Told] = OrderedDict()

    def take(self, seen: Iterable[Telemetry], now_s: float) -> None:
        """Book what is new in the newest snapshots of the devices, as of `now_s` of any one clock."""
        minute = self._minutes.setdefault(int(now_s // _MINUTE_S), {})
        while len(self._minutes) > _KEPT:
            self._minutes.popitem(last=False)
        for snapshot in seen:
            if snapshot.version is not None:
                self._book(minute, snapshot, snapshot.version)

    def beside(self, name: str, one: str, other: str) -> tuple[VersionUse, VersionUse]:
        """Return what two versions of a bundle served in the minutes in which both did."""
        found = VersionUse(), VersionUse()
        for minute in self._minutes.values():
            both = [minute.get((name, digest), VersionUse()) for digest in (one, other)]
            if min(use.frames for use in both) >= _LEAST_FRAMES:
                found = _sum(found[0], both[0]), _sum(found[1], both[1])
        return found

    def _book(self, minute: Minute, snapshot: Telemetry, told: VersionSeen) -> None:
        device = snapshot.edge, snapshot.bundle
        known = self._before.pop(device, None)
        same_run = known is not None and known.started_s == snapshot.started_s
        before = known.counts if known is not None and same_run else {}
        counts = {**{d: c for d, c in before.items() if d != told.digest}, told.digest: told}
        newest = dict(list(counts.items())[-_VERSIONS:])
        self._before[device] = _Told(snapshot.started_s, snapshot.number, newest)
        if len(self._before) > _DEVICES:
            self._before.popitem(last=False)
        if known is None:
            return  # it may tell of hours
        if same_run and known.number == snapshot.number:
            return
        new = _since(before.get(told.digest), told)
        key = snapshot.bundle, told.digest
        minute[key] = _sum(minute.get(key, VersionUse()), new)


def _since(before: VersionSeen | None, now: VersionSeen) -> VersionUse:
    """Return the frames between two snapshots; all of a version that began anew."""
    if before is None or now.frames < before.frames:
        return VersionUse(frames=now.frames, fallbacks=now.fallbacks, faults=now.faults)
    return VersionUse(
        frames=now.frames - before.frames,
        fallbacks=max(0, now.fallbacks - before.fallbacks),
        faults=max(0, now.faults - before.faults),
    )


def _sum(one: VersionUse, other: VersionUse) -> VersionUse:
    return VersionUse(
        frames=one.frames + other.frames,
        fallbacks=one.fallbacks + other.fallbacks,
        faults=one.faults + other.faults,
    )
