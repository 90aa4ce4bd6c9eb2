"""Timing calls on a machine that is shared, and whose speed wanders."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from partitioner.profiles.profile import Timing

_MIN_REPEATS, _MAX_REPEATS = 3, 200
WANTED_REPEATS = 5
"""Of fewer, on a busy machine, hardly one may have met it at its own pace."""
_BLOCK_S = 0.01
_TURN_BLOCK_S = 0.005
"""Of calls that stay prepared: they have many turns."""
_PASSES = 3
_ALL_FIRST = 4
"""Turns that all calls have before some are chosen; later every fourth is for all again."""
_NEAR = 3
"""Repeats before and behind one, of whatever call, that tell the machine's pace at that moment."""
_SLOWER = 1.1
"""From this factor on the machine's own pace, it is slowed down by something else."""
_FEWEST = 3
"""Repeats at the machine's own pace that a call needs; with fewer, all count, divided by their pace."""
_ROUNDS = 3
"""Of finding the pace by the calls and the calls by the pace; nothing moves after them."""

Call = Callable[[], object]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Repeat:
    """One timed repeat, and when it began, by time.perf_counter."""

    at_s: float
    seconds: float


def time_call(call: Call, until: float = 0.0, block_s: float = _BLOCK_S) -> Timing:
    """Call until `until` (of time.perf_counter), at least three times, after a warm-up; see sample_call."""
    return Timing.of(sample_call(call, until, block_s))


def sample_call(
    call: Call, until: float = 0.0, block_s: float = _BLOCK_S, least: int = _MIN_REPEATS
) -> list[float]:
    """Return the seconds of repeated calls; see repeat_call."""
    return [repeat.seconds for repeat in repeat_call(call, until, block_s, least)]


def repeat_call(
    call: Call, until: float = 0.0, block_s: float = _BLOCK_S, least: int = _MIN_REPEATS
) -> list[Repeat]:
    """Return repeats of a call, at least so many, after a warm-up.

    Short calls are timed in blocks of `block_s`, and each block counts as one repeat with its mean: on a
    machine that is shared or throttled, one short call is either undisturbed or stalled, and neither is
    what a stream of them takes.
    """
    call()
    start = time.perf_counter()
    call()
    took_s = time.perf_counter() - start
    block = max(1, int(block_s / (took_s + 1e-9)))
    repeats = [Repeat(start, took_s)] if block == 1 else []
    while len(repeats) < least or (len(repeats) < _MAX_REPEATS and time.perf_counter() < until):
        start = time.perf_counter()
        for _ in range(block):
            call()
        repeats.append(Repeat(start, (time.perf_counter() - start) / block))
    return repeats


@dataclass(eq=False)
class Repeated:
    """A call that is prepared when it is first needed, and its repeats so far."""

    prepare: Callable[[], Call]
    repeats: list[Repeat] = field(default_factory=list)
    slot_s: float = 0.0
    """What the shortest slot takes: preparing, where it is prepared anew, and the fewest repeats."""
    _held: Call | None = None

    @property
    def seconds(self) -> list[float]:
        """What each repeat took."""
        return [repeat.seconds for repeat in self.repeats]

    def prepared(self) -> Call:
        """Return the call that is held, or prepare it."""
        return self._held or self.prepare()

    def release(self) -> None:
        """Let go of what was held."""
        self._held = None

    def begin(self, call: Call, prepared_s: float, *, hold: bool) -> None:
        """Take the first turn with a call that took so long to prepare.

        With `hold` it stays prepared, and is repeated once: more follow in turns, see sample_in_turns.
        """
        self._held = call if hold else None
        if hold:
            self._take(call, 0.0, 0.0, 1, _TURN_BLOCK_S)
        else:
            self._take(call, prepared_s, 0.0)

    def sample(self, until: float) -> Call:
        """Prepare the call, repeat it until `until`, at least three times, and return it."""
        begun = time.perf_counter()
        call = self.prepare()
        self._take(call, time.perf_counter() - begun, until)
        return call

    def sample_held(self) -> Call:
        """Repeat the call once, keep it prepared for the next time, and return it."""
        self._held = self.prepared()
        self.repeats += repeat_call(self._held, block_s=_TURN_BLOCK_S, least=1)
        return self._held

    @property
    def is_short(self) -> bool:
        """Tell whether it has fewer repeats than each call needs."""
        return len(self.repeats) < _MIN_REPEATS

    @property
    def is_rare(self) -> bool:
        """Tell whether it has fewer repeats than tell what it takes, see WANTED_REPEATS."""
        return len(self.repeats) < WANTED_REPEATS

    def _take(
        self,
        call: Call,
        prepared_s: float,
        until: float,
        least: int = _MIN_REPEATS,
        block_s: float = _BLOCK_S,
    ) -> None:
        taken = repeat_call(call, until, block_s, least)
        fastest_s = min(repeat.seconds for repeat in taken)
        self.slot_s = prepared_s + (_MIN_REPEATS + 2) * max(_BLOCK_S, fastest_s)
        self.repeats += taken


OnTurn = Callable[[Repeated, Call], None]
"""Hears of a turn behind it, with the call that is still prepared."""


def undisturbed(calls: Sequence[Sequence[Repeat]]) -> list[list[float]]:
    """Return of each call the seconds of the repeats that the machine took at its own pace.

    A machine that other work slows down is slow for all calls of a moment alike. So its pace at each repeat
    is the median of what its neighbours in time took, of whatever call, as factors on their usual time. A
    repeat has no part in its own pace; so what varies from repeat to repeat, as on a machine that is
    throttled, chooses none of them, and their median stays what it is. The machine's own pace is that
    of its faster moments: the median of what is within a tenth of its fastest tenth.
    """
    owner = np.repeat(np.arange(len(calls)), [len(call) for call in calls])
    repeats = [repeat for call in calls for repeat in call]
    if not repeats:
        return [[] for _ in calls]
    order = np.argsort([repeat.at_s for repeat in repeats], kind="stable")
    owner, seconds = owner[order], np.array([repeats[at].seconds for at in order])
    taken = np.log(np.maximum(seconds, 1e-12))
    mine = [owner == place for place in range(len(calls))]
    usual = np.array([_lowest_tenth(taken[own]) if own.any() else 0.0 for own in mine])
    kept: list[Floats] = []
    for _ in range(_ROUNDS):
        pace = _pace(taken - usual[owner])
        calm = pace <= math.log(_SLOWER)
        kept = [
            taken[own & calm] if (own & calm).sum() >= _FEWEST else (taken - pace)[own]
            for own in mine
        ]
        usual = np.array([np.median(found) if len(found) else 0.0 for found in kept])
    return [np.exp(found).tolist() for found in kept]


def _pace(slowness: Floats) -> Floats:
    """Return the logarithm of the machine's pace at each repeat, in the order of time; its own is 0."""
    padded = np.pad(slowness, _NEAR, mode="edge")
    near = np.lib.stride_tricks.sliding_window_view(padded, 2 * _NEAR + 1)
    pace = np.median(np.delete(near, _NEAR, axis=1), axis=1)
    fast = pace[pace <= _lowest_tenth(pace) + math.log(_SLOWER)]
    return np.asarray(pace - np.median(fast))


def _lowest_tenth(values: Floats) -> float:
    """Return the value that a tenth of them do not exceed; of fewer than ten, the least."""
    return float(np.percentile(values, 10, method="lower"))


def sample_in_turns(
    calls: Sequence[Repeated],
    end: float,
    on_turn: OnTurn = lambda _repeated, _call: None,
    hold: bool = False,
    choose: Callable[[], Sequence[Repeated]] = lambda: (),
    overtime_s: float = 0.0,
) -> None:
    """Repeat calls that have been sampled once, in turns, while there is time.

    A machine that is faster for a second makes one call look fast if that second is all it had; over
    several turns it is fast for all of them. With `hold` all calls stay prepared, and turns are as short
    and as many as can be; else they share the time in three turns at most. Each call is repeated three
    times, also where there is no time left; and with `hold` five times, if that takes no more than
    `overtime_s` beyond it. `choose` tells after a few turns, again and again, which calls have most of
    those that follow; none: all as before.
    """
    if hold:
        _sample_held(calls, end, end + overtime_s, on_turn, choose)
        return
    chosen = calls
    for passes_left in range(_PASSES, 0, -1):
        is_late = time.perf_counter() + sum(call.slot_s for call in chosen) > end
        if is_late and not any(call.is_short for call in calls):
            return
        for place, call in enumerate(chosen):
            now = time.perf_counter()
            slots_left = passes_left * len(chosen) - place
            on_turn(call, call.sample(now + max(0.0, end - now) / slots_left))
        chosen = choose() or calls


def _goes_on(calls: Sequence[Repeated], then: float, end: float, last: float) -> bool:
    """Tell whether another pass is due that would be over `then`."""
    return bool(calls) and (
        then < end
        or (then < last and any(call.is_rare for call in calls))
        or any(call.is_short for call in calls)
    )


def _sample_held(
    calls: Sequence[Repeated],
    end: float,
    last: float,
    on_turn: OnTurn,
    choose: Callable[[], Sequence[Repeated]],
) -> None:
    chosen, call_s, passes = calls, sum(call.slot_s for call in calls) / max(1, len(calls)), 0
    while _goes_on(calls, (begun := time.perf_counter()) + call_s * len(chosen), end, last):
        for call in chosen:
            on_turn(call, call.sample_held())
        call_s = (time.perf_counter() - begun) / len(chosen)
        passes += 1
        all_again = passes < _ALL_FIRST or passes % _ALL_FIRST == 0
        chosen = calls if all_again else choose() or calls
    for call in calls:
        call.release()
