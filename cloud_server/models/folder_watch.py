"""The watch over the folder of bundles: what changes there is looked at, once it has settled."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from pathlib import Path
from typing import Protocol

from protos.errors import BundleError, reason

LOOK_S = 10.0
"""Between two looks where nothing is told: links into other folders and network disks tell nothing."""

SETTLE_S = 1.0
"""For so long a folder has to stay as it is before it is loaded: copies pause while the network does."""

_log = logging.getLogger(__name__)


class Look(Protocol):
    """Looks at a folder, as Repository.reload does; returns whether all that is new there had settled."""

    def __call__(self, *, settled: bool) -> Awaitable[bool]: ...


Changes = Callable[[Path, float], AsyncIterator[object]]
"""Yields when something below a folder may have changed, and after so many seconds in any case.

Raises OSError where there is no such folder, or the system cannot watch it.
"""


async def file_changes(root: Path, look_s: float) -> AsyncIterator[object]:
    """Yield what the system tells of the files below a folder; see Changes."""
    from watchfiles import awatch

    logging.getLogger("watchfiles").setLevel(logging.WARNING)
    try:
        changes = awatch(
            root, rust_timeout=int(1000 * look_s), yield_on_timeout=True, watch_filter=None
        )
        async with aclosing(changes):
            async for found in changes:
                yield found
    except RuntimeError as error:  # so the watcher tells what is wrong in itself
        raise OSError(str(error)) from error


class FolderWatch:
    """Has a folder looked at when it changes, in one event loop."""

    def __init__(
        self,
        root: Path,
        look: Look,
        *,
        settle_s: float = SETTLE_S,
        look_s: float = LOOK_S,
        changes: Changes = file_changes,
    ) -> None:
        self._root = root
        self._look = look
        self._settle_s, self._look_s = settle_s, look_s
        self._changes = changes
        self._unwatched = ""

    async def run(self) -> None:
        """Watch until cancelled. Where the system cannot, look every `look_s` seconds."""
        while True:
            try:
                await self._watch()
            except OSError as error:
                self._tell(reason(error))
                await asyncio.sleep(self._look_s)
            await self._renew()

    async def _watch(self) -> None:
        """Look at every change, until another folder is there than the one that is watched."""
        watched = _identity(self._root)
        async with aclosing(self._changes(self._root, self._look_s)) as changes:  # type: ignore[type-var]
            async for _ in changes:
                await self._renew()
                if _identity(self._root) != watched:
                    return

    async def _renew(self) -> None:
        try:
            settled = await self._look(settled=True)
            while not settled:
                await asyncio.sleep(self._settle_s)
                settled = await self._look(settled=True)
        except BundleError:
            return  # the folder cannot be read, which was logged; everything is as it was
        except Exception:  # noqa: BLE001 - whatever it is, the next look may do better
            _log.exception("looking at %s has failed, and goes on", self._root)

    def _tell(self, why: str) -> None:
        if why != self._unwatched:
            self._unwatched = why
            _log.warning(
                "%s cannot be watched: %s. It is looked at every %g s.",
                self._root,
                why,
                self._look_s,
            )


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        said = path.stat()
    except OSError:
        return None
    return said.st_dev, said.st_ino
