"""The heads, exits and tails of this device: opened when first needed, run one at a time."""

import logging
import threading
import weakref
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Literal

import numpy as np

from edge_client.frames.slowdown import Slowdown, batch_of
from partitioner.bundle.bundle import Bundle
from partitioner.common.units import format_size
from partitioner.profiles.profile import Profile
from partitioner.runtime.interruption import Interruption
from partitioner.runtime.sessions import RuntimeOptions, Stage, open_weighed, random_feeds
from protos.errors import UsageError
from protos.tensors import Array, TensorSpec

_log = logging.getLogger(__name__)

Side = Literal["head", "exit", "tail"]
Key = tuple[Side, str]

KEPT = 4
"""Heads, and as many tails, that stay open where no memory budget is given: a cut that moves back and
forth costs nothing, and one that wanders over all cuts does not fill a small device's memory."""


class Stages:
    """The sessions of one bundle that this device holds. Safe to call from several threads.

    One stage runs at a time: on a small device two would only slow each other down. Opening one (with its
    first run, on a GPU) keeps no other from running. `memory_bytes` bounds what all together take; the one
    that was not used for longest makes way, and the one in use stays even if it alone is larger. All that
    they say of seconds is that of the device that `slowdown` rehearses; None: of this one. What is opened
    ahead of its first frame is looked at before it counts as open; a frame never waits for that. Raises
    BundleError where the exits are of another bundle.
    """

    def __init__(
        self,
        bundle: Bundle,
        options: RuntimeOptions,
        memory_bytes: int | None = None,
        slowdown: Slowdown | None = None,
    ) -> None:
        self.bundle = bundle
        self.slowdown = slowdown or Slowdown()
        self.options = options
        self.memory_bytes = memory_bytes
        self._profile: Profile | None = None
        self._stages: dict[Key, Stage] = {}
        self._sizes: dict[Key, int] = {}
        self._seconds: dict[Key, float] = {}
        self._wanted: set[Key] = set()
        self._table, self._opening, self._turn = (
            threading.Lock(),
            threading.Lock(),
            threading.Lock(),
        )
        self._opener: ThreadPoolExecutor | None = None
        self._closed = False
        self._others: Callable[[], Stages | None] = _nobody

    def know(self, profile: Profile) -> None:
        """Take sizes and seconds from this device's profile."""
        self._profile = profile
        self.slowdown.know(profile)

    def is_open(self, side: Side, cut_id: str) -> bool:
        """Tell whether a stage can run at once, as fast as it ever will."""
        key = (side, cut_id)
        return key in self._stages and self.slowdown.knows(key)

    def warm(self, cut_id: str) -> None:
        """Open the head of a cut, so that its first frame does not wait for it.

        Raises UsageError when it takes more than the memory budget.
        """
        self._warm(("head", cut_id))
        if self.has_exit(cut_id):
            self._warm(("exit", cut_id))
        size = self._size(("head", cut_id))
        if self.memory_bytes is not None and size > self.memory_bytes:
            raise UsageError(
                f"the head of {cut_id} takes about {format_size(size)} of memory, and the budget is "
                f"{format_size(self.memory_bytes)}. Allow more, or use an earlier cut."
            )

    def rehearse_tail(self, cut_id: str) -> None:
        """Open the tail of a cut and run it once, so that it is known what finishing here takes.

        Does nothing where there are heads only.
        """
        if self.bundle.heads_only:
            return
        self._warm(("tail", cut_id))
        self.run_tail(cut_id, _made_up(self.bundle.cut(cut_id).frontier))

    def prefetch(self, side: Side, cut_id: str) -> None:
        """Open a stage in the background, unless it is open, absent, or larger than the whole budget."""
        if side == "tail" and self.bundle.heads_only:
            return
        key = (side, cut_id)
        size = self._size(key)
        if self.is_open(side, cut_id) or (
            self.memory_bytes is not None and size > self.memory_bytes
        ):
            return
        with self._table:
            if self._closed or key in self._wanted:
                return
            self._wanted.add(key)
            if self._opener is None:
                self._opener = ThreadPoolExecutor(1, thread_name_prefix="splitpoint-opener")
            self._opener.submit(self._fetch, key)

    def tail_s(self, cut_id: str) -> float | None:
        """Return the seconds that a tail takes here: as last measured, or profiled; None if unknown."""
        if self.bundle.heads_only:
            return None
        return self._seconds.get(("tail", cut_id), self._profiled_s(cut_id))

    def head_s(self, cut_id: str) -> float:
        """Return the seconds that a head takes here, as last measured; 0 before that."""
        return self._seconds.get(("head", cut_id), 0.0)

    def run_head(self, cut_id: str, inputs: Mapping[str, Array]) -> tuple[dict[str, Array], float]:
        """Return the frontier and the head's own outputs, and the seconds that computing them took."""
        return self._run(("head", cut_id), inputs)

    def has_exit(self, cut_id: str) -> bool:
        """Tell whether an exit was trained at a cut."""
        return self.bundle.exit_at(cut_id) is not None

    def run_exit(
        self, cut_id: str, frontier: Mapping[str, Array]
    ) -> tuple[dict[str, Array], float]:
        """Return the exit's scores and its confidence, and the seconds that asking it took."""
        return self._run(("exit", cut_id), frontier)

    def run_tail(
        self,
        cut_id: str,
        frontier: Mapping[str, Array],
        interruption: Interruption | None = None,
    ) -> tuple[dict[str, Array], float]:
        """Return the tail's outputs, computed here, and the seconds that it took.

        Raises InterruptedRunError when it was asked to end; then it counts for nothing.
        """
        return self._run(("tail", cut_id), frontier, interruption)

    @property
    def open_bytes(self) -> int:
        """What all stages that are open take, as profiled or as seen."""
        with self._table:
            return sum(map(self._size, self._stages))

    def fits_beside(self, others: "Stages", cut_id: str) -> bool:
        """Tell whether the head of a cut fits into the budget while the stage that `others` use stays open.

        They let go of all that they have not used last.
        """
        if self.memory_bytes is None:
            return True
        with others._table:
            for unused in list(others._stages)[:-1]:
                del others._stages[unused]
        key: Key = ("head", cut_id)  # one of them may not know what it takes
        return max(self._size(key), others._size(key)) + others.open_bytes <= self.memory_bytes

    def make_way(self, others: "Stages") -> None:
        """Share the budget with the stages of the version before, which make way first while they exist."""
        self._others, others._others = weakref.ref(others), _nobody
        if (latest := next(reversed(self._stages), None)) is not None:
            self._make_room(latest, 0)

    def close(self) -> None:
        """Open nothing more in the background; what is open goes with this object. Does nothing twice."""
        with self._table:
            self._closed = True
        if self._opener is not None:
            self._opener.shutdown(wait=False, cancel_futures=True)

    def _run(
        self, key: Key, feeds: Mapping[str, Array], interruption: Interruption | None = None
    ) -> tuple[dict[str, Array], float]:
        stage = self._get(key)
        work, batch = partial(stage.run, feeds, interruption), batch_of(stage.inputs, feeds)
        sleep = None if interruption is None else interruption.sleep
        with self._turn:
            values, took_s = self.slowdown.run(key, work, batch, sleep)
        before = self._seconds.get(key, took_s)
        self._seconds[key] = before + 0.3 * (took_s - before)
        return values, took_s

    def _warm(self, key: Key) -> None:
        """Open a stage, and look at what it takes where that is waited for.

        It takes no turn: a frame would wait for it, and most of a slowed frame is sleep.
        """
        stage = self._get(key)
        if not self.slowdown.knows(key):
            self.slowdown.look(key, partial(stage.run, _made_up(stage.inputs)))

    def _get(self, key: Key) -> Stage:
        """Return a stage, opened if it has to be, and count this as its latest use."""
        if (stage := self._use(key)) is not None:
            return stage
        with self._opening:
            if (stage := self._use(key)) is not None:  # another thread opened it meanwhile
                return stage
            if self.memory_bytes is None:
                self._make_room(key, 0)
            else:
                self._make_room(key, self._size(key))
            stage = self._open(key)
            with self._table:
                self._stages[key] = stage
            self._make_room(key, 0)
            return stage

    def _use(self, key: Key) -> Stage | None:
        with self._table:
            stage = self._stages.pop(key, None)
            if stage is not None:
                self._stages[key] = stage
            return stage

    def _open(self, key: Key) -> Stage:
        side, cut_id = key
        open_stage: Callable[[str, RuntimeOptions], Stage] = {
            "head": self.bundle.open_head,
            "exit": self.bundle.open_exit,
            "tail": self.bundle.open_tail,
        }[side]
        stage, taken = open_weighed(partial(open_stage, cut_id, self.options))
        self._sizes[key] = max(self._sizes.get(key, 0), taken)  # it may seem to take less
        return stage

    def _make_room(self, key: Key, needed: int) -> None:
        """Let the oldest go until what is kept, and `needed` bytes more, fits."""
        with self._table:
            others = [other for other in self._stages if other != key]
            while self._is_full(key, needed) and (beside := self._others()):
                if not beside.let_oldest_go():
                    break
            while others and self._is_full(key, needed):
                del self._stages[others.pop(0)]

    def let_oldest_go(self) -> bool:
        """Close the stage that was not used for longest; False where none is open."""
        with self._table:
            oldest = next(iter(self._stages), None)
            if oldest is not None:
                del self._stages[oldest]
        return oldest is not None

    def _is_full(self, key: Key, needed: int) -> bool:
        if self.memory_bytes is None:
            same = [other for other in self._stages if other[0] == key[0]]
            return len(same) + (key not in self._stages) > KEPT
        beside = self._others()
        beside_bytes = beside.open_bytes if beside else 0
        return sum(map(self._size, self._stages)) + beside_bytes + needed > self.memory_bytes

    def _size(self, key: Key) -> int:
        """Return the bytes that a stage takes: as profiled, else as seen when it was opened."""
        side, cut_id = key
        known = self._profile.cuts.get(cut_id) if self._profile else None
        stage = None if known is None else {"head": known.head, "tail": known.tail}.get(side)
        return stage.memory_bytes if stage else self._sizes.get(key, 0)

    def _profiled_s(self, cut_id: str) -> float | None:
        known = self._profile.cuts.get(cut_id) if self._profile else None
        return known.tail.frame_s if known and known.tail else None

    def _fetch(self, key: Key) -> None:
        side, cut_id = key
        try:
            if side == "head" and self.has_exit(cut_id):
                self._warm(("exit", cut_id))  # first, as the head's first frame may ask it
            self._warm(key)
        except Exception:  # noqa: BLE001 - no caller waits for it
            _log.exception("the %s of %s cannot be loaded, and is not tried again", side, cut_id)
        else:
            self._wanted.discard(key)


def _made_up(inputs: tuple[TensorSpec, ...]) -> dict[str, Array]:
    return random_feeds(inputs, np.random.default_rng(0))


def _nobody() -> Stages | None:
    """There is no other version."""
    return None
