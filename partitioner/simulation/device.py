"""The device of a simulated run: heads, tails after lost calls, and races against the cloud's answers.

It runs one thing at a time to its end, of all that waits what belongs to the oldest frame. A hedge, by which
the device races the cloud, is begun only when nothing else waits, and dropped when the answer comes.
"""

import math
from typing import NamedTuple, Self


class Referee:
    """Says what ends or forbids races; this one lets them all run."""

    def may_hedge(self) -> bool:
        """Tell, and count, whether the device may begin with a frame that the cloud may still answer."""
        return True

    def broken_off(self, until_s: float) -> float | None:
        """Return when all calls in flight broke off, if they did until then and were not told to have yet."""
        del until_s
        return None


class Race(NamedTuple):
    """A frame that the device finishes unless the cloud is first: `seconds` of work from `ready_at` on."""

    frame: int
    ready_at: float
    seconds: float
    answered_at: float
    """When the cloud's answer comes; infinite if none does."""
    give_up_at: float
    """What begins before is a hedge."""
    handed_at: float = 0.0
    """When its message was handed over."""
    broken_at: float | None = None


class Finish(NamedTuple):
    """How a race ended: when, whether the device won it, and the seconds that it worked on it."""

    frame: int
    done_at: float
    won: bool
    hedged: bool
    device_s: float
    broken_at: float | None = None
    """When its call broke off; None if it did not."""


class Device:
    """What the device has been given to do; moments are seconds of the run's clock."""

    __slots__ = ("_finished", "_free_at", "_races", "_referee", "_reserved", "broken_at")

    def __init__(self, referee: Referee) -> None:
        self._referee = referee
        self.broken_at: float | None = None
        """When calls in flight last broke off."""
        self._free_at = 0.0
        self._reserved: tuple[tuple[float, float], ...] = ()
        self._races: tuple[Race, ...] = ()
        self._finished: tuple[Finish, ...] = ()

    def copy(self) -> Self:
        """Return the same state, to go on from independently."""
        other = object.__new__(type(self))
        other._referee, other.broken_at = self._referee, self.broken_at
        other._free_at, other._reserved = self._free_at, self._reserved
        other._races, other._finished = self._races, self._finished
        return other

    def key(self, at_s: float) -> tuple[object, ...]:
        """Return what frames from `at_s` on can tell of the past."""
        spans = tuple(span for span in self._reserved if span[1] > at_s)
        return max(at_s, self._free_at), spans, self._races, self._finished

    @property
    def free_at(self) -> float:
        """When the last head ends, or the last race that has begun."""
        return self._free_at

    def is_free_at(self, from_s: float, seconds: float) -> float:
        """Return the first moment from `from_s` on at which no tail is in the way of `seconds`."""
        for start, end in self._reserved:
            if from_s < end and (from_s >= start or from_s + seconds > start):
                from_s = end
        return from_s

    def next_free(self, ready_at: float) -> float:
        """Return when a younger frame's head may begin that is ready then: once no race begins before."""
        while True:
            race = self._next()
            if race is not None and not self._precedes(race, ready_at):
                race = None
            free_at = max(ready_at, self._free_at)
            if self._breaks_off(free_at if race is None else self._ends(race)):
                continue
            if race is None:
                return free_at
            self._run(race)

    def run(self, ready_at: float, seconds: float) -> float:
        """Run a head for `seconds` as soon as the device is free; return when that begins."""
        begun_at = self.is_free_at(max(ready_at, self._free_at), seconds)
        self._free_at = begun_at + seconds
        if self._reserved:
            self._reserved = tuple(span for span in self._reserved if span[1] > begun_at)
        return begun_at

    def reserve(self, ready_at: float, seconds: float) -> float:
        """Keep the device for a tail of `seconds`, past which heads have to come; return when it begins."""
        start = self.is_free_at(max(ready_at, self._free_at), seconds)
        self._reserved = (*self._reserved, (start, start + seconds))
        return start

    def race(self, race: Race) -> None:
        """Take on a race; `finished` tells its end once nothing younger can change it."""
        self._races = (*self._races, race)

    def settle(self, frame: int) -> None:
        """End the races of all frames up to this one: no head comes before they are done."""
        while (race := self._next()) and any(older.frame <= frame for older in self._races):
            if not self._breaks_off(self._ends(race)):
                self._run(race)

    def finished(self) -> tuple[Finish, ...]:
        """Return the races that have ended since the last call."""
        found, self._finished = self._finished, ()
        return found

    def _precedes(self, race: Race, ready_at: float) -> bool:
        """Tell whether a race begins before a head that is ready then, for which a hedge would wait."""
        begins_at = self._begins(race)
        if begins_at < race.give_up_at:
            return begins_at <= ready_at
        return begins_at <= max(ready_at, self._free_at)

    def _begins(self, race: Race) -> float:
        """Return when a race begins here, or ends before it does."""
        ready_at = max(race.ready_at, self._free_at)
        return min(race.answered_at, self.is_free_at(ready_at, race.seconds))

    def _ends(self, race: Race) -> float:
        """Return when a race that is the next to begin ends."""
        return min(race.answered_at, self._begins(race) + race.seconds)

    def _breaks_off(self, until_s: float) -> bool:
        """Tell whether calls in flight have broken off until then; the device finishes their frames."""
        at_s = self._referee.broken_off(until_s)
        if at_s is None:
            return False
        self.broken_at = at_s
        self._races = tuple(
            _broken(race, at_s)
            if race.handed_at <= at_s < min(race.answered_at, race.give_up_at)
            else race
            for race in self._races
        )
        return True

    def _next(self) -> Race | None:
        """Return the race that is the next to begin, or to end."""

        def turn(race: Race) -> tuple[float, bool, int]:
            begins_at = self._begins(race)
            return begins_at, begins_at < race.give_up_at, race.frame

        return min(self._races, key=turn, default=None)

    def _run(self, race: Race) -> None:
        """Run a race to its end, or put it off until its call is given up."""
        begun_at = self._begins(race)
        self._races = tuple(other for other in self._races if other.frame != race.frame)
        if begun_at == race.answered_at < math.inf:  # before its turn came
            self._finish(Finish(race.frame, begun_at, False, False, 0.0, race.broken_at))
            return
        hedged = begun_at < race.give_up_at
        if hedged and not self._referee.may_hedge():
            self.race(race._replace(ready_at=race.give_up_at))
            return
        self._free_at = min(begun_at + race.seconds, race.answered_at)
        won = self._free_at < race.answered_at
        device_s = self._free_at - begun_at
        self._finish(Finish(race.frame, self._free_at, won, hedged, device_s, race.broken_at))

    def _finish(self, finish: Finish) -> None:
        self._finished = (*self._finished, finish)


def _broken(race: Race, at_s: float) -> Race:
    """Return a race whose call breaks off then."""
    return race._replace(
        ready_at=min(race.ready_at, at_s), answered_at=math.inf, give_up_at=at_s, broken_at=at_s
    )
