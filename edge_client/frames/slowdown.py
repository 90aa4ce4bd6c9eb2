"""A rehearsal of a slower device: what is computed here is waited for, until it took as long as there."""

import contextlib
import math
import threading
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from partitioner.profiles.profile import Profile
from protos.errors import FaultError
from protos.tensors import Array, TensorSpec

R = TypeVar("R")

_LOOKS = 5
"""Runs of new work, of which the fastest is what it usually takes, as in a profile."""
_REMEMBERED = 9
"""The latest runs, of which the fastest tells whether this device has become slower."""


@dataclass(frozen=True, slots=True)
class _Pace:
    """What one piece of work takes here: in a row, as it was looked at, and in frames, after a wait."""

    look_s: float = math.inf
    fastest_s: float = math.inf
    latest_s: tuple[float, ...] = ()

    def with_run(self, seconds: float) -> "_Pace":
        latest_s = (*self.latest_s, seconds)[-_REMEMBERED:]
        return replace(self, fastest_s=min(self.fastest_s, seconds), latest_s=latest_s)

    @property
    def is_sure(self) -> bool:
        """True once this is known from more than one run."""
        return self.look_s < math.inf or len(self.latest_s) > 1

    @property
    def usual_s(self) -> float:
        """The fastest of the latest runs, less what runs after a wait take longer than those in a row."""
        if not self.latest_s:
            return self.look_s
        return min(self.latest_s) - self.cooled_s

    @property
    def cooled_s(self) -> float:
        """What runs after a wait take longer than those in a row; infinite before the first."""
        return max(0.0, self.fastest_s - self.look_s)


class Slowdown:
    """Makes work take `times` as long as it takes here, by sleeping before it, so that the core is free.

    Before, since what comes after a sleep is slower for a while: the work's result is handed on at once.
    What work usually takes is found by `look`, outside of frames, and followed from run to run: what a
    single run takes longer here, after a pause or beside others, is no property of the slower device and
    is not multiplied. What frames cost a device beside its work, and what work usually takes longer in a
    frame that comes after a pause, are waited for too, once a profile tells them. With `times` 1 nothing
    waits; it is never less. Safe to call from several threads.
    """

    def __init__(
        self,
        times: float = 1.0,
        clock: Callable[[], float] = time.perf_counter,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.times = times
        self._clock, self._sleep = clock, sleep
        self._looking = threading.Lock()
        self._paces: dict[Hashable, dict[int, _Pace]] = {}
        self._profiled_s: dict[Hashable, float] = {}
        self._resume_s = self._crossing_s = 0.0
        self._resumed_s: dict[Hashable, float] = {}

    def know(self, profile: Profile) -> None:
        """Take from the slower device's profile what waking up, resuming work and handing over take it.

        Work that a frame brings before it was looked at takes at most what the profile says.
        """
        more = 1 - 1 / self.times
        self._resume_s, self._crossing_s = more * profile.resume_s, more * profile.crossing_s
        self._profiled_s = {
            name: seconds / self.times for name, (seconds, _) in _named_seconds(profile).items()
        }
        self._resumed_s = {
            name: more * resume_s for name, (_, resume_s) in _named_seconds(profile).items()
        }

    def knows(self, name: Hashable) -> bool:
        """Tell whether work was looked at, or has run; nothing need be known where nothing waits."""
        return self.times == 1 or name in self._paces

    def look(self, name: Hashable, work: Callable[[], object], batch: int = 1) -> None:
        """Run work a few times, to know what it usually takes, unless that is known; not within a frame.

        Where the runtime fails on what it was given, made-up values, the first frame has to tell.
        """
        with self._looking:  # another thread may look at the same
            if self.knows(name):
                return
            look_s = math.inf
            with contextlib.suppress(FaultError):
                look_s = min(self._timed(work)[1] for _ in range(_LOOKS))
            paces = self._paces.setdefault(name, {})
            if look_s < math.inf:
                paces[batch] = replace(paces.get(batch, _Pace()), look_s=look_s)

    def run(
        self,
        name: Hashable,
        work: Callable[[], R],
        batch: int = 1,
        sleep: Callable[[float], None] | None = None,
    ) -> tuple[R, float]:
        """Return what `work` returns, and the seconds that it took, with the wait for it.

        Runs of the same `name` and `batch` are of the same work. The first two of what was not looked at,
        of which one may be cold, are waited for afterwards, by the faster of them, or by what another
        batch or the profile lets expect if that is less. `sleep`: what waits, where the run may be ended.
        """
        if self.times == 1:
            return self._timed(work)
        begun, wait = self._clock(), sleep or self._sleep
        pace = self._paces.get(name, {}).get(batch, _Pace())
        if pace.is_sure:
            resumed_s = min(self._resumed_s.get(name, 0.0), (self.times - 1) * pace.cooled_s)
            wait((self.times - 1) * pace.usual_s + resumed_s)
        made, took_s = self._timed(work)
        self._paces.setdefault(name, {})[batch] = pace.with_run(took_s)
        if not pace.is_sure:
            wait((self.times - 1) * self._most_s(name, batch))
        return made, self._clock() - begun

    def wake(self) -> None:
        """Wait for what waking up takes the slower device longer."""
        self._rest(self._resume_s)

    def hand_over(self) -> None:
        """Wait for what sending a frame, and reading its answer, take the slower device longer."""
        self._rest(self._crossing_s)

    def _most_s(self, name: Hashable, batch: int) -> float:
        """Return what a batch takes here at most, by its own runs, other batches and the profile."""
        known = [(size, pace.usual_s) for size, pace in list(self._paces[name].items())]
        if name in self._profiled_s:
            known.append((1, self._profiled_s[name]))
        return min(max(1.0, batch / size) * usual_s for size, usual_s in known)

    def _rest(self, seconds: float) -> None:
        if seconds > 0:
            self._sleep(seconds)

    def _timed(self, work: Callable[[], R]) -> tuple[R, float]:
        begun = self._clock()
        return work(), self._clock() - begun


def batch_of(specs: Sequence[TensorSpec], values: Mapping[str, Array]) -> int:
    """Return the batch size of the values of `specs`; 1 where none has a batch axis."""
    sizes = (values[spec.name].shape[spec.shape.index(-1)] for spec in specs if -1 in spec.shape)
    return next(sizes, 1)


def encoding_of(label: str) -> Hashable:
    """Return the name of the encoding of a choice, by its label."""
    return "encoding", label


def _named_seconds(profile: Profile) -> dict[Hashable, tuple[float, float]]:
    """Return the seconds of each head, tail and encoding in a frame, and how many of them resuming takes."""
    seconds: dict[Hashable, tuple[float, float]] = {}
    for cut_id, cut in profile.cuts.items():
        for side, stage in (("head", cut.head), ("tail", cut.tail)):
            if stage is not None:
                seconds[side, cut_id] = stage.frame_s, stage.resume_s
        for codec, found in cut.codecs.items():
            seconds[encoding_of(f"{cut_id}/{codec}")] = found.encode_s, found.resume_s
    return seconds
