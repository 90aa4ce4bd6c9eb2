"""Tails in memory: loaded when first asked for, alone or by segments that they share, and evicted for others.

A session keeps a packed copy of all weights that it reads. So a few tails of a bundle, those that are asked
for most, have a session of their own, and all others are computed by the segments that they have in common.
"""

import asyncio
import logging
import math
import threading
import time
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Self, TypeAlias
from weakref import WeakValueDictionary, finalize

from cloud_server.engine_options import EngineOptions
from cloud_server.models.popularity import Popularity
from cloud_server.models.segment_pool import SegmentPool
from cloud_server.models.version import Model
from partitioner.common.defaults import DEFAULT_PROVIDER
from partitioner.common.memory import release_freed_pages
from partitioner.runtime.sessions import RuntimeOptions, Stage, open_weighed

_log = logging.getLogger(__name__)

Key: TypeAlias = tuple[str, str]
"""The digest of a bundle, and a cut or SEGMENTS."""

SEGMENTS = ""


@dataclass(frozen=True)
class TailLimits:
    """What may be in memory: so many sessions of tails and sets of segments, and what they take together.

    `own_sessions`: tails of one bundle that have a session of their own, where its others share segments.
    """

    max_sessions: int = 32
    memory_bytes: float = math.inf
    own_sessions: float = math.inf

    @classmethod
    def of(cls, options: EngineOptions) -> Self:
        """Return the limits that a server's options ask for."""
        memory = options.memory_bytes
        return cls(
            options.max_sessions, math.inf if memory is None else memory, options.own_sessions
        )


ROOMY = TailLimits()


@dataclass
class TailCounts:
    """What was done to tails since the store was made; `load_s` is the time of all loads together."""

    loads: int = 0
    failed_loads: int = 0
    load_s: float = 0.0
    evictions: int = 0


class Tails:
    """Tails, each with a session of its own or by the segments of its bundle; the least used evicted first.

    `loaded` may be called from any thread, `load` and `keep` from the event loop.
    """

    def __init__(self, options: RuntimeOptions, limits: TailLimits) -> None:
        self.counts = TailCounts()
        self._options = options
        self._limits = limits
        self._kept: Collection[str] = frozenset()
        self._sizes: dict[Key, int] = {}
        self._units: OrderedDict[Key, Stage | SegmentPool] = OrderedDict()
        self._pools: WeakValueDictionary[str, SegmentPool] = WeakValueDictionary()
        """By digest: also those whose first segments are being loaded, so that there is but one."""
        self._own: defaultdict[str, set[str]] = defaultdict(set)
        """By digest: the cuts whose tails have a session of their own, or will have."""
        self._popularity: defaultdict[str, Popularity] = defaultdict(Popularity)
        self._unfit: set[Key] = set()
        """Tails whose own session could not be loaded: they are not tried again at every look."""
        self._lock = threading.Lock()
        self._loading: dict[Key, asyncio.Task[Stage]] = {}
        self._promoting: set[asyncio.Task[None]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        # One at a time: loading takes cores from the inferences that run.
        self._loader = ThreadPoolExecutor(1, thread_name_prefix="load")

    def keep(self, digests: Collection[str]) -> None:
        """Keep tails of the bundles with these digests alone, now and from now on.

        Requests that run have the session that they began with. With the last of them its memory goes back
        to the system.
        """
        self._kept = digests
        with self._lock:
            gone = [key for key in self._units if key[0] not in digests]
            units = [self._drop(key) for key in gone]
            for key in [key for key in self._sizes if key[0] not in digests]:
                del self._sizes[key]
            for digest in [digest for digest in self._popularity if digest not in digests]:
                del self._popularity[digest]
            for digest in [digest for digest, own in self._own.items() if not own]:
                del self._own[digest]
        self._unfit = {key for key in self._unfit if key[0] in digests}
        for unit in units:
            self._give_back(unit)

    def loaded(self, model: Model) -> Stage | None:
        """Return the tail if it is in memory, and count this as its latest use."""
        digest, cut = model.tail
        with self._lock:
            found = self._units.get(model.tail)
            if isinstance(found, Stage):
                self._units.move_to_end(model.tail)
                self._popularity[digest].note(cut)
                return found
            pool = self._units.get((digest, SEGMENTS))
            chain = pool.chain(cut) if isinstance(pool, SegmentPool) else None
            if chain is None:
                return None
            self._units.move_to_end((digest, SEGMENTS))
            due = self._popularity[digest].note(cut)
        if due and self._loop is not None:
            with suppress(RuntimeError):  # the loop is closed: nobody will ask any more
                self._loop.call_soon_threadsafe(self._reconsider, model)
        return chain

    def sizes(self) -> dict[Key, int]:
        """Return the bytes of each tail in memory, as they were when it was loaded; from any thread.

        Tails that share segments have equal parts of these.
        """
        with self._lock:
            found = {key: self._sizes[key] for key in self._units if key[1] != SEGMENTS}
            for (digest, _), pool in self._units.items():
                if isinstance(pool, SegmentPool):
                    sharing = [cut for cut in pool.cuts if (digest, cut) not in found]
                    part = self._sizes[digest, SEGMENTS] // max(1, len(sharing))
                    found |= {(digest, cut): part for cut in sharing}
            return found

    async def load(self, model: Model) -> Stage:
        """Return the tail, loading it off the loop if need be; all who ask meanwhile share the load.

        Raises BundleError when the runtime refuses the graph.
        """
        self._loop = asyncio.get_running_loop()
        if stage := self.loaded(model):
            return stage
        task = self._loading.get(model.tail)
        if task is None:
            task = asyncio.create_task(self._load(model))
            self._loading[model.tail] = task
            task.add_done_callback(lambda done: self._forget(model.tail, done))
        # Shielded: one who gives up waiting must not take the load from the others.
        return await asyncio.shield(task)

    def close(self) -> None:
        """Stop loading; what is loaded goes with this."""
        for task in self._promoting:
            task.cancel()
        self._loader.shutdown(wait=False, cancel_futures=True)

    async def _load(self, model: Model) -> Stage:
        if self._shares(model) and not self._has_place(model):
            return await self._load_chain(model)
        return await self._load_own(model)

    def _has_place(self, model: Model) -> bool:
        """Tell whether a tail may have a session of its own, which nothing has to make way for.

        What was never loaded is tried: nobody knows its size.
        """
        few = len(self._own[model.tail[0]]) < self._limits.own_sessions
        size = self._sizes.get(model.tail, 0) + sum(self._sizes[key] for key in self._units)
        return few and size <= self._limits.memory_bytes

    def _shares(self, model: Model) -> bool:
        """Tell whether a tail can be computed by segments: on a GPU each value between them would cross."""
        on_cpu = self._options.provider == DEFAULT_PROVIDER
        return on_cpu and bool(model.bundle.manifest.segments_from(model.cut))

    async def _load_own(self, model: Model) -> Stage:
        digest, cut = model.tail
        self._own[digest].add(cut)
        try:
            opening = partial(model.bundle.open_tail, cut, self._options)
            stage, size = await self._timed(partial(open_weighed, opening))
        except BaseException:
            self._own[digest].discard(cut)
            raise
        if self._keeps(model.tail, stage, size):
            _log.info("loaded %s, version %s", model.name, model.version)
        return stage

    async def _load_chain(self, model: Model) -> Stage:
        stage = await self._open_chain(self._pool_of(model), *model.tail)
        _log.info("loaded segments for %s, version %s", model.name, model.version)
        return stage

    def _pool_of(self, model: Model) -> SegmentPool:
        digest = model.tail[0]
        pool = self._pools.get(digest)
        if pool is None:
            # Each run of a segment would keep what it needs in between in an arena of its own.
            pool = SegmentPool(model.bundle, replace(self._options, arena=False))
            self._pools[digest] = pool
        return pool

    async def _open_chain(self, pool: SegmentPool, digest: str, cut: str) -> Stage:
        """Load the segments that the pool lacks for a tail, and keep the pool."""
        stage, size = await self._timed(partial(open_weighed, partial(pool.open, cut)))
        pool.size_bytes += size
        self._keeps((digest, SEGMENTS), pool, pool.size_bytes)
        return stage

    async def _timed(self, opens: Callable[[], tuple[Stage, int]]) -> tuple[Stage, int]:
        """Load in the loader's thread, and count that."""

        def load() -> tuple[tuple[Stage, int], float]:
            begun_s = time.perf_counter()  # without the loads before it
            return opens(), time.perf_counter() - begun_s

        try:
            found, took_s = await asyncio.get_running_loop().run_in_executor(self._loader, load)
        except Exception:
            self.counts.failed_loads += 1
            raise
        self.counts.loads += 1
        self.counts.load_s += took_s
        return found

    def _keeps(self, key: Key, unit: Stage | SegmentPool, size: int) -> bool:
        """Keep what was loaded, and evict others if need be; False when its version went meanwhile."""
        if key[0] not in self._kept:
            self._own[key[0]].discard(key[1])
            self._give_back(unit)  # for those alone who ask already
            return False
        # A load may seem to take less than it does.
        self._sizes[key] = max(size, self._sizes.get(key, 0))
        with self._lock:
            self._units[key] = unit
            self._units.move_to_end(key)
            while self._is_full():
                evicted = next(iter(self._units))
                self._give_back(self._drop(evicted))
                self.counts.evictions += 1
                what = evicted[1] or "segments"
                _log.info("evicted %s: %d sets of sessions are left", what, len(self._units))
        return True

    def _drop(self, key: Key) -> Stage | SegmentPool:
        """Forget one that is in memory, and return it. The caller has the lock."""
        self._own[key[0]].discard(key[1])
        if key[1] == SEGMENTS:  # the next pool begins with fewer of them
            del self._sizes[key]
        return self._units.pop(key)

    def _is_full(self) -> bool:
        """Tell whether one must go; the one that was loaded last stays even if it alone is too large."""
        size = sum(self._sizes[key] for key in self._units)
        over = len(self._units) > self._limits.max_sessions or size > self._limits.memory_bytes
        return over and len(self._units) > 1

    def _reconsider(self, model: Model) -> None:
        """Begin to give a tail a session of its own, if it is asked for much more than one that has."""
        digest, cut = model.tail
        if self._promoting or digest not in self._kept or model.tail in self._unfit:
            return
        own = self._own[digest]
        if cut in own:
            return
        if self._has_place(model):  # one was evicted
            makes_way = None
        elif (makes_way := self._popularity[digest].makes_way(cut, own)) is None:
            return
        task = asyncio.create_task(self._promote(model, makes_way))
        self._promoting.add(task)
        task.add_done_callback(self._promoting.discard)

    async def _promote(self, model: Model, makes_way: str | None) -> None:
        digest = model.tail[0]
        pool = self._units.get((digest, SEGMENTS))
        try:
            if makes_way is not None and isinstance(pool, SegmentPool):
                await self._open_chain(pool, digest, makes_way)
            await self._load_own(model)
        except Exception as error:  # noqa: BLE001 - whatever it is, the tail is computed as before
            self._unfit.add(model.tail)
            _log.warning("%s stays in segments: %s", model.name, error)
            return
        if makes_way is None:
            return
        with self._lock:
            known = (digest, makes_way) in self._units
            unit = self._drop((digest, makes_way)) if known else None
        if unit is not None:
            self._give_back(unit)
            _log.info("%s has a session of its own now, and %s shares", model.name, makes_way)

    def _forget(self, key: Key, task: asyncio.Task[Stage]) -> None:
        del self._loading[key]
        if not task.cancelled():
            task.exception()

    def _give_back(self, unit: Stage | SegmentPool) -> None:
        """Have the system get the memory of sessions back, once nobody holds them any more."""
        for stage in unit.segments if isinstance(unit, SegmentPool) else (unit,):
            finalize(stage, self._trim).atexit = False

    def _trim(self) -> None:
        # By then its memory is free; whoever let go of it, a worker or the loop, must not wait for this.
        with suppress(RuntimeError):
            self._loader.submit(release_freed_pages)
