"""The repository, in Triton's words: what the folder of bundles has becomes what the store offers."""

import asyncio
import logging
from collections.abc import Iterable, Mapping

from cloud_server.models.bundle_folder import BundleFolder, no_bundle
from cloud_server.models.model_store import ModelStore

_log = logging.getLogger(__name__)


class Repository:
    """Keeps a store as its folder is. Used from one event loop."""

    def __init__(
        self, folder: BundleFolder, store: ModelStore, preload: Iterable[str] = ()
    ) -> None:
        """`preload`: models, or cuts of every bundle, that are loaded before a version is offered."""
        self._folder = folder
        self._store = store
        self._preload = tuple(preload)
        self._clashes: Mapping[str, str] = {}
        self._busy = asyncio.Lock()

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
        async with self._busy:
            done = await asyncio.to_thread(self._folder.look, settled=settled)
            clashes = self._store.offer(self._folder.versions)
            for name in clashes.keys() - self._clashes.keys():
                _log.error("%s is not served: %s", name, clashes[name])
            self._clashes = clashes
            return done
