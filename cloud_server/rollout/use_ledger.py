"""The ledger of use: what devices have told of each version, in all, by minute, and in its roll-out."""

from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from cloud_server.rollout.verdict import MOST_REASONS, SEVERAL, VersionUse
from protos.telemetry import Telemetry, VersionSeen

_MINUTE_S = 60.0
_KEPT = 60
"""Minutes that are remembered."""
_LEAST_FRAMES = 20
"""Of each of two versions, in a minute in which they are compared."""
_DEVICES = 1 << 16
"""That are remembered, at some 700 bytes each: 45 MB for the largest fleet."""
_SILENT_S = 24 * 3600.0
"""A device that tells of nothing for so long is no part of the fleet any more."""
_VERSIONS = 4
"""Of one device: it comes back to those that it has left."""

Key = tuple[str, str]
"""The name of a bundle, and the beginning of a digest."""
Known = Callable[[Key], bool]
"""Tells of which versions something is booked: devices may name any."""


class Counts(NamedTuple):
    """Frames of one version, those of them that fell back, and those that may have failed by it."""

    frames: int = 0
    fallbacks: int = 0
    faults: int = 0

    def plus(self, other: "Counts") -> "Counts":
        """Return the sum of both."""
        return Counts(*(one + more for one, more in zip(self, other, strict=True)))

    def since(self, before: "Counts") -> "Counts":
        """Return what came since it was `before`."""
        return Counts(*(max(0, one - less) for one, less in zip(self, before, strict=True)))


NONE = Counts()


@dataclass(slots=True)
class _Device:
    """What a device has told last of one bundle."""

    heard_s: float
    started_s: float
    number: int
    """With the start of its run it tells one snapshot from any other."""
    frames: int
    """Of all versions, in this run."""
    counts: Mapping[str, Counts]
    """By the beginnings of digests, the newest last: of each version since it began to serve in this run."""
    running: Key
    refused: Key | None = None
    reason: str = ""
    is_excused: bool = False
    """It had refused that before the roll-out was begun again."""


@dataclass(slots=True)
class _Total:
    """What all devices have told of one version; `begun`: what it was when its roll-out began."""

    devices: int = 0
    refused: int = 0
    excused: int = 0
    counts: Counts = NONE
    begun: Counts = NONE
    reasons: Counter[str] = field(default_factory=Counter)
    faulty: set[str] = field(default_factory=set)
    """Edges that have told of faults since then, the first few of them."""
    falling: set[str] = field(default_factory=set)
    """Those that have told of fallbacks."""

    def add(self, edge: str, new: Counts) -> None:
        """Count what an edge has served by the version."""
        self.counts = self.counts.plus(new)
        for told, edges in ((new.faults, self.faulty), (new.fallbacks, self.falling)):
            if told and len(edges) < SEVERAL:
                edges.add(edge)


class UseLedger:
    """Turns counts since a version began to serve on a device into sums. Used in one loop.

    A report costs the same however many devices there are.
    """

    def __init__(self, capacity: int = _DEVICES) -> None:
        self._capacity = capacity
        self._minutes: OrderedDict[int, dict[Key, Counts]] = OrderedDict()
        self._devices: OrderedDict[tuple[str, str], _Device] = OrderedDict()
        """By edge and bundle; who has not told anything for longest comes first."""
        self._totals: dict[Key, _Total] = {}
        self._again: set[Key] = set()
        """What is rolled out for another time: who is new here and refuses it may have done so before."""

    def take(self, seen: Iterable[Telemetry], now_s: float, known: Known) -> None:
        """Book what is new in snapshots, each device's oldest first, as of `now_s` of any one clock."""
        minute = self._minute(now_s, known)
        for snapshot in seen:
            if snapshot.version is not None:
                self._note(minute, snapshot, snapshot.version, now_s, known)
        self._forget(now_s)

    def begin(self, name: str, digest: str, *, again: bool) -> None:
        """Count for the verdict what comes from now on; `again`: this version was rolled out before."""
        key = name, digest
        total = self._totals.setdefault(key, _Total())
        total.begun = total.counts
        total.faulty, total.falling = set(), set()
        for minute in self._minutes.values():
            minute.pop(key, None)
        if not again:
            return
        self._again.add(key)
        for device in self._devices.values():
            if device.refused == key:
                device.is_excused = True
        total.excused = total.refused

    def use(self, name: str, digest: str) -> VersionUse:
        """Return all that devices have told of a version."""
        total = self._totals.get((name, digest), _Total())
        reasons = tuple(total.reasons)[:MOST_REASONS]
        return VersionUse(total.devices, total.refused, *total.counts, reasons=reasons)

    def refusals(self, name: str, digest: str) -> list[tuple[str, int]]:
        """Return why devices have refused a version since its roll-out began, the most frequent first.

        A few reasons, each with the number of its devices. Looks at all devices, so ask it seldom.
        """
        told = Counter(
            device.reason
            for device in self._devices.values()
            if device.refused == (name, digest) and not device.is_excused and device.reason
        )
        return told.most_common(MOST_REASONS)

    def since(self, name: str, digest: str) -> VersionUse:
        """Return what they have told of it since its roll-out began."""
        total = self._totals.get((name, digest), _Total())
        counts = total.counts.since(total.begun)
        return VersionUse(
            total.devices,
            total.refused - total.excused,
            *counts,
            faulty=len(total.faulty),
            falling=len(total.falling),
        )

    def beside(self, name: str, one: str, other: str) -> tuple[VersionUse, VersionUse]:
        """Return what two versions of a bundle served in the minutes in which both did."""
        found = NONE, NONE
        for minute in self._minutes.values():
            both = [minute.get((name, digest), NONE) for digest in (one, other)]
            if min(counts.frames for counts in both) >= _LEAST_FRAMES:
                found = found[0].plus(both[0]), found[1].plus(both[1])
        return VersionUse(0, 0, *found[0]), VersionUse(0, 0, *found[1])

    def _minute(self, now_s: float, known: Known) -> dict[Key, Counts]:
        number = int(now_s // _MINUTE_S)
        if number not in self._minutes:
            self._minutes[number] = {}
            for key in [key for key, one in self._totals.items() if not known(key)]:
                if not self._totals[key].devices and not self._totals[key].refused:
                    del self._totals[key]
                    self._again.discard(key)
        while len(self._minutes) > _KEPT:
            self._minutes.popitem(last=False)
        return self._minutes[number]

    def _note(
        self,
        minute: dict[Key, Counts],
        snapshot: Telemetry,
        told: VersionSeen,
        now_s: float,
        known: Known,
    ) -> None:
        who = snapshot.edge, snapshot.bundle
        before = self._devices.get(who)
        same_run = before is not None and before.started_s == snapshot.started_s
        if before is not None and same_run and snapshot.number <= before.number:
            return  # sent twice
        key = snapshot.bundle, told.digest
        device = _read(snapshot, told, before if same_run else None, now_s)
        new = _news(before, device, same_run=same_run)
        if device.refused and not known(device.refused):
            device.refused = None
        if device.refused:
            is_same = before is not None and before.refused == device.refused
            excused_before = before.is_excused if before is not None and is_same else False
            device.is_excused = excused_before or (before is None and device.refused in self._again)
        if before is not None:
            self._strike(before)
        self._devices[who] = device
        self._devices.move_to_end(who)
        self._enter(device, known)
        if not known(key):
            return
        total = self._totals[key]
        if new is not None:
            total.add(snapshot.edge, new)
            minute[key] = minute.get(key, NONE).plus(new)
            return
        # The first word of a device may tell of hours.
        counts = device.counts[told.digest]
        if key in self._again:
            total.counts, total.begun = total.counts.plus(counts), total.begun.plus(counts)
        else:
            total.add(snapshot.edge, counts)

    def _enter(self, device: _Device, known: Known) -> None:
        """Count a device among those that run a version, and those that refuse one."""
        if known(device.running):
            self._totals.setdefault(device.running, _Total()).devices += 1
        else:
            device.running = "", ""
        if device.refused:
            total = self._totals.setdefault(device.refused, _Total())
            total.refused += 1
            total.excused += device.is_excused
            if device.reason:
                total.reasons[device.reason] += 1

    def _strike(self, device: _Device) -> None:
        """Count a device no more as what it was."""
        if device.running in self._totals:
            self._totals[device.running].devices -= 1
        if device.refused:
            total = self._totals[device.refused]
            total.refused -= 1
            total.excused -= device.is_excused
            total.reasons = total.reasons - Counter([device.reason])

    def _forget(self, now_s: float) -> None:
        while self._devices:
            who, device = next(iter(self._devices.items()))
            if len(self._devices) <= self._capacity and now_s - device.heard_s < _SILENT_S:
                return
            self._strike(self._devices.pop(who))


def _read(snapshot: Telemetry, told: VersionSeen, before: _Device | None, now_s: float) -> _Device:
    """Return what a snapshot says; `before`: what its device has told in the same run."""
    counts = dict(before.counts) if before else {}
    counts.pop(told.digest, None)
    counts[told.digest] = Counts(told.frames, told.fallbacks, told.faults)
    refuses = told.phase == "refused" and told.offered
    return _Device(
        heard_s=now_s,
        started_s=snapshot.started_s,
        number=snapshot.number,
        frames=sum(snapshot.served_by.values()),
        counts=dict(list(counts.items())[-_VERSIONS:]),
        running=(snapshot.bundle, told.digest),
        refused=(snapshot.bundle, told.offered) if refuses else None,
        reason=told.reason if refuses else "",
    )


def _news(before: _Device | None, now: _Device, *, same_run: bool) -> Counts | None:
    """Return what a device has served by the version that it runs since its last word; None: it had none.

    A version of which this run has not told may have served for hours before this server was there to hear
    it: its counts are new if they are no more than what the device has served since.
    """
    counts = now.counts[now.running[1]]
    if before is None:
        return None
    if not same_run:
        return counts
    last = before.counts.get(now.running[1])
    if last is None:
        return counts if counts.frames <= now.frames - before.frames else NONE
    return counts if counts.frames < last.frames else counts.since(last)
