"""The repository, in Triton's words: what the folder of bundles has becomes what the store offers."""

import asyncio
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass

from cloud_server.models.bundle_folder import BundleFolder, no_bundle
from cloud_server.models.model_store import ModelStore
from cloud_server.models.version import Version
from protos.errors import BundleError, UnknownNameError, UsageError
from protos.serving.refusals import without_folders

READY, UNAVAILABLE = "READY", "UNAVAILABLE"
"""The states of a version; the words are Triton's."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class IndexEntry:
    """A version that the repository has, or a folder that it refuses: then `version` is empty."""

    name: str
    version: str
    state: str = READY
    reason: str = ""


class Repository:
    """Keeps a store as its folder is. Used from one event loop."""

    def __init__(
        self, folder: BundleFolder, store: ModelStore, preload: Iterable[str] = ()
    ) -> None:
        """`preload`: models, or cuts of every bundle, that are loaded before anybody asks for them."""
        self._folder = folder
        self._store = store
        self._preload = tuple(preload)
        self._clashes: Mapping[str, str] = {}
        self._unreadable = ""
        self._busy = asyncio.Lock()
        self._looks: set[asyncio.Task[bool]] = set()
        self.on_offer: Callable[[], None] = _unheard
        """Is called in the event loop once the store offers what the folder has now."""

    async def start(self) -> None:
        """Load what there is; BundleError when that is nothing, UnknownNameError for what to preload."""
        await self.reload()
        if not self._store.versions:
            raise no_bundle(self._folder)
        await self._store.preload(self._preload)

    async def reload(self, *, settled: bool = False) -> bool:
        """Offer what the folder has now, and nothing else; return whether all that is new was looked at.

        `settled` as in BundleFolder.look. Raises BundleError, and nothing has changed then, when the folder
        itself cannot be read.
        """
        look = asyncio.create_task(self._look(settled))
        self._looks.add(look)
        look.add_done_callback(self._looked)
        # A caller who gives up meanwhile must not take along what was found: no later look would find it new.
        return await asyncio.shield(look)

    @property
    def refused(self) -> list[IndexEntry]:
        """What the folder holds and is not served, and why."""
        why = list(self._clashes.items())
        why += [(refused.name, refused.reason) for refused in self._folder.refusals]
        return [IndexEntry(name, "", UNAVAILABLE, without_folders(reason)) for name, reason in why]

    def index(self, *, ready: bool = False) -> list[IndexEntry]:
        """Return all versions, and what is refused and why; `ready`: only what can be asked for."""
        found = list(_entries(self._store.versions.values(), READY))
        if ready:
            return found
        found += _entries(self._store.hidden.values(), UNAVAILABLE, "unloaded")
        return sorted(found + self.refused, key=lambda entry: (entry.name, entry.state))

    async def load(self, name: str) -> None:
        """Look at the folder, and serve what it has of the bundle `name`, though it was unloaded before.

        Raises UnknownNameError where it has none, which says why if it is refused, BundleError where the
        folder cannot be read, and UsageError for the name of a cut.
        """
        self._check_name(name)
        await self.reload()
        try:
            self._store.show(name)
        except UnknownNameError as error:
            for entry in self.index():
                if entry.name == name:
                    raise UnknownNameError(entry.reason) from error
            raise
        await self._load_ahead(self._preload)

    def unload(self, name: str) -> None:
        """Refuse requests for a bundle and its cuts until it is loaded again.

        Those that are in the server finish, and with the last of them its memory goes back. Raises
        UnknownNameError where it is not served, and UsageError for the name of a cut.
        """
        self._check_name(name)
        self._store.hide(name)
        _log.info("%s was unloaded", name)

    async def _look(self, settled: bool) -> bool:
        async with self._busy:
            before = self._folder.versions
            try:
                done = await asyncio.to_thread(self._folder.look, settled=settled)
            except BundleError as error:
                self._tell_unreadable(str(error))
                raise
            self._tell_unreadable("")
            if self._folder.versions != before:
                await self._offer()
            return done

    def _looked(self, look: asyncio.Task[bool]) -> None:
        self._looks.discard(look)
        if not look.cancelled():
            look.exception()  # is raised for who waits

    async def _offer(self) -> None:
        before = set(self._store.versions)
        clashes = self._store.offer(self._folder.versions)
        self.on_offer()
        for name, why in clashes.items():
            if self._clashes.get(name) != why:
                _log.error("%s: %s", name, why)
        self._clashes = clashes
        for name in before - set(self._store.versions):
            _log.info("%s is gone", name)
        await self._load_ahead(self._preload)

    async def _load_ahead(self, names: Iterable[str]) -> None:
        """Load what of these is there by now; a failure is one of those who ask for it."""
        for name in names:
            try:
                await self._store.preload([name])
            except UnknownNameError:
                continue
            except BundleError as error:
                _log.error("%s cannot be loaded: %s", name, error)

    def _check_name(self, name: str) -> None:
        with suppress(UnknownNameError):
            bundle = self._store.find(name).bundle.name
            if bundle != name:
                raise UsageError(
                    f"{name!r} is a cut, and cuts come and go with their bundle. Name {bundle!r}."
                )

    def _tell_unreadable(self, why: str) -> None:
        if why and why != self._unreadable and self._store.versions:  # else the start fails with it
            _log.error("%s What was served goes on.", why)
        self._unreadable = why


def _unheard() -> None:
    """Do nothing with the news."""


def _entries(
    found: Iterable[Iterable[Version]], state: str, reason: str = ""
) -> Iterator[IndexEntry]:
    for versions in found:
        for version in versions:
            yield IndexEntry(version.name, version.number, state, reason)
