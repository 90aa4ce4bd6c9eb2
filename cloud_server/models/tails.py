"""Tails in memory: sessions that are loaded when first asked for, and go when others need their room."""

import asyncio
import logging
import math
import threading
import time
import weakref
from collections import OrderedDict
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

from cloud_server.models.version import Model
from partitioner.common.memory import release_freed_pages
from partitioner.runtime.sessions import RuntimeOptions, Stage, open_weighed

_log = logging.getLogger(__name__)

Key: TypeAlias = tuple[str, str]


@dataclass
class TailCounts:
    """What was done to tails since the store was made; `load_s` is the time of all loads together."""

    loads: int = 0
    failed_loads: int = 0
    load_s: float = 0.0
    evictions: int = 0


class Tails:
    """The sessions of tails, the one not used for longest evicted first.

    `loaded` may be called from any thread, `load` and `keep` from the event loop.
    """

    def __init__(
        self, options: RuntimeOptions, max_sessions: int, memory_bytes: float = math.inf
    ) -> None:
        self.counts = TailCounts()
        self._options = options
        self._max_sessions, self._memory_bytes = max_sessions, memory_bytes
        self._kept: Collection[str] = frozenset()
        self._sizes: dict[Key, int] = {}
        self._stages: OrderedDict[Key, Stage] = OrderedDict()
        self._lock = threading.Lock()
        self._loading: dict[Key, asyncio.Task[Stage]] = {}
        # One at a time: loading takes cores from the inferences that run.
        self._loader = ThreadPoolExecutor(1, thread_name_prefix="load")

    def keep(self, digests: Collection[str]) -> None:
        """Keep tails of the bundles with these digests alone, now and from now on.

        Requests that run have the session that they began with. With the last of them its memory goes back
        to the system.
        """
        self._kept = digests
        with self._lock:
            gone = [key for key in self._stages if key[0] not in digests]
            stages = [self._stages.pop(key) for key in gone]
            for key in [key for key in self._sizes if key[0] not in digests]:
                del self._sizes[key]
        for stage in stages:
            self._give_back(stage)

    def loaded(self, model: Model) -> Stage | None:
        """Return the tail if it is in memory, and count this as its latest use."""
        with self._lock:
            stage = self._stages.get(model.tail)
            if stage is not None:
                self._stages.move_to_end(model.tail)
            return stage

    def sizes(self) -> dict[Key, int]:
        """Return the bytes of each tail in memory, as they were when it was loaded; from any thread."""
        with self._lock:
            return {key: self._sizes[key] for key in self._stages}

    async def load(self, model: Model) -> Stage:
        """Return the tail, loading it off the loop if need be; all who ask meanwhile share the load.

        Raises BundleError when the runtime refuses the graph.
        """
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
        self._loader.shutdown(wait=False, cancel_futures=True)

    async def _load(self, model: Model) -> Stage:
        loop, begun_s = asyncio.get_running_loop(), time.perf_counter()
        try:
            stage, size = await loop.run_in_executor(self._loader, _open, model, self._options)
        except Exception:
            self.counts.failed_loads += 1
            raise
        self.counts.loads += 1
        self.counts.load_s += time.perf_counter() - begun_s
        if model.bundle.digest not in self._kept:
            self._give_back(stage)  # its version went meanwhile: for those alone who ask already
            return stage
        # A load may seem to take less than it does.
        self._sizes[model.tail] = max(size, self._sizes.get(model.tail, 0))
        with self._lock:
            self._stages[model.tail] = stage
            while self._is_full():
                evicted, _ = self._stages.popitem(last=False)
                self.counts.evictions += 1
                _log.info("evicted %s: %d tails are loaded", evicted[1], len(self._stages))
        _log.info("loaded %s, version %s", model.name, model.version)
        return stage

    def _is_full(self) -> bool:
        """Tell whether one must go; the one that was loaded last stays even if it alone is too large."""
        size = sum(self._sizes[key] for key in self._stages)
        over = len(self._stages) > self._max_sessions or size > self._memory_bytes
        return over and len(self._stages) > 1

    def _forget(self, key: Key, task: asyncio.Task[Stage]) -> None:
        del self._loading[key]
        if not task.cancelled():
            task.exception()

    def _give_back(self, stage: Stage) -> None:
        """Have the system get the memory of a session back, once nobody holds it any more."""
        weakref.finalize(stage, self._trim).atexit = False

    def _trim(self) -> None:
        # By then its memory is free; whoever let go of it, a worker or the loop, must not wait for this.
        with suppress(RuntimeError):
            self._loader.submit(release_freed_pages)


def _open(model: Model, options: RuntimeOptions) -> tuple[Stage, int]:
    return open_weighed(partial(model.bundle.open_tail, model.cut, options))
