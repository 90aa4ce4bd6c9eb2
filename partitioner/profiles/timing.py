"""Timing calls on a machine that is shared, and whose speed wanders."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from partitioner.profiles.profile import Timing

_MIN_REPEATS, _MAX_REPEATS = 3, 200
_BLOCK_S = 0.01
_PASSES = 3

Call = Callable[[], object]


def time_call(call: Call, until: float = 0.0, block_s: float = _BLOCK_S) -> Timing:
    """Call until `until` (of time.perf_counter), at least three times, after a warm-up; see sample_call."""
    return timing_of(sample_call(call, until, block_s))


def sample_call(
    call: Call, until: float = 0.0, block_s: float = _BLOCK_S, least: int = _MIN_REPEATS
) -> list[float]:
    """Return the seconds of repeated calls, of at least so many repeats.

    Short calls are timed in blocks of `block_s`, and each block counts as one repeat with its mean: on a
    machine that is shared or throttled, one short call is either undisturbed or stalled, and neither is
    what a stream of them takes.
    """
    call()
    start = time.perf_counter()
    call()
    took_s = time.perf_counter() - start
    block = max(1, int(block_s / (took_s + 1e-9)))
    seconds = [took_s] if block == 1 else []
    while len(seconds) < least or (len(seconds) < _MAX_REPEATS and time.perf_counter() < until):
        start = time.perf_counter()
        for _ in range(block):
            call()
        seconds.append((time.perf_counter() - start) / block)
    return seconds


def timing_of(seconds: Sequence[float]) -> Timing:
    """Return median and spread of repeats."""
    p10, median, p90 = np.percentile(seconds, (10, 50, 90)).tolist()
    return Timing(median_s=median, p10_s=p10, p90_s=p90, repeats=len(seconds))


@dataclass
class Repeated:
    """A call that is prepared when it is first needed, and the seconds of its repeats so far."""

    prepare: Callable[[], Call]
    seconds: list[float] = field(default_factory=list)
    slot_s: float = 0.0
    """What the shortest slot takes: preparing, where it is prepared anew, and the fewest repeats."""
    _held: Call | None = None

    def release(self) -> None:
        """Let go of what was held."""
        self._held = None

    def sample(self, until: float) -> None:
        """Prepare the call, and repeat it until `until`, at least three times."""
        begun = time.perf_counter()
        call = self.prepare()
        prepared_s = time.perf_counter() - begun
        seconds = sample_call(call, until)
        self.slot_s = prepared_s + (_MIN_REPEATS + 2) * max(_BLOCK_S, min(seconds))
        self.seconds += seconds

    def sample_held(self) -> None:
        """Repeat the call once, and keep it prepared for the next time."""
        self._held = self._held or self.prepare()
        self.seconds += sample_call(self._held, least=1)


def sample_in_turns(
    calls: Sequence[Repeated],
    end: float,
    on_turn: Callable[[], None] = lambda: None,
    hold: bool = False,
) -> None:
    """Repeat calls that have been sampled once, in turns, while there is time.

    A machine that is faster for a second makes one call look fast if that second is all it had; over
    several turns it is fast for all of them. With `hold` all calls stay prepared, and turns are as short
    and as many as can be; else they share the time in three turns at most.
    """
    if hold:
        _sample_held(calls, end, on_turn)
        return
    for passes_left in range(_PASSES, 0, -1):
        if time.perf_counter() + sum(call.slot_s for call in calls) > end:
            return
        for place, call in enumerate(calls):
            on_turn()
            now = time.perf_counter()
            slots_left = passes_left * len(calls) - place
            call.sample(now + max(0.0, end - now) / slots_left)


def _sample_held(calls: Sequence[Repeated], end: float, on_turn: Callable[[], None]) -> None:
    pass_s = sum(call.slot_s for call in calls)
    while (begun := time.perf_counter()) + pass_s < end:
        for call in calls:
            on_turn()
            call.sample_held()
        pass_s = time.perf_counter() - begun
    for call in calls:
        call.release()
