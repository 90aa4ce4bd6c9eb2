"""The models that a server offers, and the tails that it keeps in memory."""

import asyncio
import logging
import math
import threading
import time
from collections import OrderedDict
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from partitioner.bundle.bundle import Bundle
from partitioner.bundle.manifest import MANIFEST_FILE
from partitioner.runtime.sessions import RuntimeOptions, Stage, open_weighed
from protos.errors import BundleError, UnknownNameError
from protos.names import CLOUD, EDGE, model_name
from protos.serving.answers import ServedModel, check_version

_NAMES_SHOWN = 12

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Model(ServedModel):
    """The tail of a cut; the cut `cloud` is the whole model."""

    bundle: Bundle
    cut: str


def load_bundles(path: Path) -> dict[str, Bundle]:
    """Return the bundles in `path`, which is one bundle or a folder of bundle folders, by name.

    Raises BundleError when one is damaged or head-only or has the exits of another, when two have one
    name, or there is none.
    """
    if not path.is_dir():
        raise BundleError(f"{path} is no folder. Give a bundle, or a folder of bundle folders.")
    if (path / MANIFEST_FILE).exists():
        folders = [path]
    else:
        folders = sorted(folder.parent for folder in path.glob(f"*/{MANIFEST_FILE}"))
    if not folders:
        raise BundleError(
            f"{path} holds no bundle: neither it nor a folder in it has a {MANIFEST_FILE}. "
            "Make one with: splitpoint import MODEL --out BUNDLE."
        )
    bundles: dict[str, Bundle] = {}
    for folder in folders:
        bundle = _load(folder)
        if twin := bundles.get(bundle.name):
            raise BundleError(
                f"{twin.path} and {folder} are both called {bundle.name!r}. "
                "Remove one of them, or import it again under another name."
            )
        bundles[bundle.name] = bundle
    return bundles


def _load(folder: Path) -> Bundle:
    bundle = Bundle.load(folder)
    bundle.need_whole("serving it")
    if bundle.exits is not None:
        _log.info("%s has exits at %s", bundle.name, ", ".join(bundle.exits.by_cut))
    return bundle


@dataclass
class TailCounts:
    """What a store has done to tails since it was made; `load_s` is the time of all loads together."""

    loads: int = 0
    failed_loads: int = 0
    load_s: float = 0.0
    evictions: int = 0


class ModelStore:
    """Models by name, and their tail sessions: loaded when first asked for, the oldest evicted.

    `find` and `loaded` may be called from any thread, `load` and `preload` from the event loop.
    """

    def __init__(
        self,
        bundles: dict[str, Bundle],
        options: RuntimeOptions,
        max_sessions: int,
        memory_bytes: float = math.inf,
    ) -> None:
        self.bundles = bundles
        self.models: dict[str, Model] = {}
        self.counts = TailCounts()
        self._options = options
        self._max_sessions, self._memory_bytes = max_sessions, memory_bytes
        self._sizes: dict[str, int] = {}
        self._stages: OrderedDict[str, Stage] = OrderedDict()
        self._lock = threading.Lock()
        self._loading: dict[str, asyncio.Task[Stage]] = {}
        # One at a time: loading takes cores from the inferences that run.
        self._loader = ThreadPoolExecutor(1, thread_name_prefix="load")
        for bundle in bundles.values():
            for model in _models_of(bundle):
                self._offer(model)

    def find(self, name: str, version: str = "") -> Model:
        """Return the model called `name`; UnknownNameError lists those that exist."""
        model = self.models.get(name)
        if model is None and name.endswith(f".{CLOUD}"):
            model = self.models.get(name.removesuffix(f".{CLOUD}"))
        if model is None:
            raise UnknownNameError(self._unknown(name))
        check_version(model, version)
        return model

    def find_bundle(self, name: str) -> Bundle:
        """Return the bundle called `name`; UnknownNameError lists those that exist."""
        try:
            return self.bundles[name]
        except KeyError:
            raise UnknownNameError(
                f"this server has no bundle {name!r}. It has: {_listed(self.bundles)}."
            ) from None

    def loaded(self, model: Model) -> Stage | None:
        """Return the tail if it is in memory, and count this as its latest use."""
        with self._lock:
            stage = self._stages.get(model.name)
            if stage is not None:
                self._stages.move_to_end(model.name)
            return stage

    def sizes(self) -> dict[str, int]:
        """Return the bytes of each tail in memory, as they were when it was loaded; from any thread."""
        with self._lock:
            return {name: self._sizes[name] for name in self._stages}

    async def load(self, model: Model) -> Stage:
        """Return the tail, loading it off the loop if need be; all who ask meanwhile share the load.

        Raises BundleError when the runtime refuses the graph.
        """
        if stage := self.loaded(model):
            return stage
        task = self._loading.get(model.name)
        if task is None:
            task = asyncio.create_task(self._load(model))
            self._loading[model.name] = task
            task.add_done_callback(lambda done: self._forget(model.name, done))
        # Shielded: one who gives up waiting must not take the load from the others.
        return await asyncio.shield(task)

    async def preload(self, names: Iterable[str]) -> list[Model]:
        """Load models by their name, or cuts of every bundle that has them; return what was loaded."""
        wanted = [model for name in names for model in self._named(name)]
        for model in wanted:
            await self.load(model)
        return wanted

    def close(self) -> None:
        """Stop loading; what is loaded goes with the store."""
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
        # A load may seem to take less than it does.
        self._sizes[model.name] = max(size, self._sizes.get(model.name, 0))
        with self._lock:
            self._stages[model.name] = stage
            while self._is_full():
                evicted, _ = self._stages.popitem(last=False)
                self.counts.evictions += 1
                _log.info("evicted %s: %d tails are loaded", evicted, len(self._stages))
        _log.info("loaded %s", model.name)
        return stage

    def _is_full(self) -> bool:
        """Tell whether one must go; the one that was loaded last stays even if it alone is too large."""
        size = sum(self._sizes[name] for name in self._stages)
        over = len(self._stages) > self._max_sessions or size > self._memory_bytes
        return over and len(self._stages) > 1

    def _forget(self, name: str, task: asyncio.Task[Stage]) -> None:
        del self._loading[name]
        if not task.cancelled():
            task.exception()

    def _offer(self, model: Model) -> None:
        if twin := self.models.get(model.name):
            raise BundleError(
                f"{twin.bundle.path} and {model.bundle.path} both offer a model {model.name!r}. "
                "Import one of them again under another name."
            )
        self.models[model.name] = model

    def _named(self, name: str) -> list[Model]:
        found = [
            self.models[model_name(bundle.name, name)]
            for bundle in self.bundles.values()
            if model_name(bundle.name, name) in self.models
        ]
        return found or [self.find(name)]

    def _unknown(self, name: str) -> str:
        owners = [bundle for bundle in self.bundles if name.startswith(f"{bundle}.")]
        owner = max(owners, key=len, default=None)
        if owner and name == model_name(owner, EDGE):
            return (
                f"model {name!r} has nothing to serve: the cut {EDGE!r} leaves everything on the "
                f"edge. The whole model is {owner!r}."
            )
        if owner:
            cuts = [cut for cut in self.bundles[owner].cuts if cut != EDGE]
            return (
                f"{owner} has no cut {name.removeprefix(owner + '.')!r}. It has: {_listed(cuts)}. "
                "Use one of these; if the edge has others, give both sides the same bundle."
            )
        return (
            f"this server has no model {name!r}. It has: {_listed(self.models)}. "
            "A name is <bundle> or <bundle>.<cut>."
        )


def _open(model: Model, options: RuntimeOptions) -> tuple[Stage, int]:
    return open_weighed(partial(model.bundle.open_tail, model.cut, options))


def _models_of(bundle: Bundle) -> list[Model]:
    return [
        Model(
            name=model_name(bundle.name, cut.id),
            bundle=bundle,
            cut=cut.id,
            inputs=cut.frontier,
            outputs=tuple(spec for spec in bundle.outputs if spec.name in cut.tail_outputs),
        )
        for cut in bundle.cuts.values()
        if cut.id != EDGE
    ]


def _listed(names: Iterable[str]) -> str:
    known = list(names)
    rest = len(known) - _NAMES_SHOWN
    shown = ", ".join(known[:_NAMES_SHOWN])
    return f"{shown} and {rest} more" if rest > 0 else shown
