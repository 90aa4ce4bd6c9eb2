"""The replicas of a server: started, kept in step with the front, and started again when one ends."""

import asyncio
import logging
import math
import os
import shutil
import tempfile
import time
from collections.abc import Awaitable, Callable
from itertools import chain
from pathlib import Path

from cloud_server.models.model_store import ModelStore
from cloud_server.observability.book_sums import BookSums
from cloud_server.options import ServerOptions
from cloud_server.processes.private_calls import FRONT_SOCKET, Offer, private_server
from cloud_server.processes.replica_process import ReplicaProcess
from cloud_server.processes.shared_use import SharedUse
from partitioner.common.units import format_duration
from protos.errors import FaultError, FileError, reason

_LOOK_S = 1.0
"""Between two looks at each replica: is it in step, does it answer, what do its books say."""
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.5, 30.0
"""Before a replica that has ended is started again; twice as long each time, unless it had run for long."""
_LONG_S = 60.0
_LAG_S = 10.0
"""A replica that cannot load for so long what others serve would refuse it: it drains, and begins anew."""
_READY_S = 300.0
"""The longest that a replica may take to load what the server has."""

_SOCKET_BYTES = len("/replica-10000-01234567")
_ADDRESS_BYTES = 107
"""Of the path of a socket: sun_path of unix(7), but for the 0 at its end."""

_log = logging.getLogger(__name__)

OnShort = Callable[[bool], Awaitable[None]]
"""Hears whether fewer than half of the processes serve."""


class Replicas:
    """All replicas of one server. Made and used in one event loop, by the front.

    `sums` gets what they tell of their books, `use` is shared with them (None: devices have no names).
    `folder` has their private sockets, for the owner alone.
    """

    def __init__(
        self,
        options: ServerOptions,
        store: ModelStore,
        sums: BookSums,
        use: SharedUse | None,
        on_short: OnShort,
        ready_s: float = _READY_S,
        lag_s: float = _LAG_S,
    ) -> None:
        self.folder = _folder_of_sockets()
        self.front = private_server(self.folder / FRONT_SOCKET, options.max_message_bytes)
        """Where the replicas forward calls to; it has to get all services before it is started."""
        self._options = options
        self._store = store
        self._sums = sums
        self._use = use
        self._on_short = on_short
        self._ready_s = ready_s
        self._lag_s = lag_s
        self._running: dict[int, ReplicaProcess] = {}
        self._news = {number: asyncio.Event() for number in range(1, options.processes)}
        self._keepers: list[asyncio.Task[None]] = []
        self._is_short = False
        self._revision = 0
        store.on_change = self._wake

    async def start(self, address: str) -> None:
        """Start all, and wait until they serve at the address; FaultError when one cannot."""
        await self.front.start()
        starting = [asyncio.ensure_future(self._join(one, address)) for one in self._news]
        try:
            joined = await asyncio.gather(*starting)
        except BaseException:
            for one in starting:
                one.cancel()
            await asyncio.gather(*starting, return_exceptions=True)
            raise
        self._keepers = [asyncio.create_task(self._keep(one, address)) for one in joined]

    async def settled(self) -> None:
        """Wait until every replica that runs offers what the front does now."""
        await asyncio.gather(*map(self._follow, self._running.values()), return_exceptions=True)

    async def gather(self) -> None:
        """Bring the sums up to now; of a replica that does not answer they stay as they were."""
        await asyncio.gather(*map(self._tell, self._running.values()), return_exceptions=True)

    async def stop(self, grace_s: float) -> None:
        """Let all drain and end, side by side."""
        for keeper in self._keepers:
            keeper.cancel()
        await asyncio.gather(*self._keepers, return_exceptions=True)
        running = tuple(self._running.values())
        await asyncio.gather(*(one.stop(grace_s) for one in running))
        await asyncio.gather(*map(self._leave, running))
        await self.front.stop(0)

    def close(self) -> None:
        """End at once what still runs, and let go of the folder and of what is shared."""
        for keeper in self._keepers:
            keeper.cancel()
        for one in self._running.values():
            one.kill()
        self._running.clear()
        self._store.on_change = lambda: None
        if self._use:
            self._use.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    async def _join(self, number: int, address: str) -> ReplicaProcess:
        """Start a replica, and wait until it serves; FaultError when it cannot, and none is left."""
        socket = f"replica-{number}-{os.urandom(4).hex()}"
        use = self._use.descriptor if self._use else None
        one = ReplicaProcess(self._options, self.folder, number, socket, use)
        self._running[number] = one
        try:
            await one.during(self._prepare(one, address))
        except BaseException:
            await self._leave(one)
            raise
        return one

    async def _prepare(self, one: ReplicaProcess, address: str) -> None:
        """Bring a replica in step, and then to the port."""
        await one.reached()
        try:
            async with asyncio.timeout(self._ready_s):
                await self._follow(one)
                while not one.is_in_step:
                    await self._changed(one.number)
                    await self._follow(one)
        except TimeoutError as error:
            raise FaultError(
                f"replica {one.number} is not ready after {format_duration(self._ready_s)}: it cannot load "
                "what the server has. The log says of what, if it told; else look at this machine's memory "
                "and disks, or give fewer `processes`."
            ).passing() from error
        await one.open(address)

    async def _keep(self, one: ReplicaProcess, address: str) -> None:
        """Keep a replica running until cancelled."""
        number, pause_s = one.number, _FIRST_PAUSE_S
        while True:
            begun_s = time.monotonic()
            why = await self._attend(one)
            if time.monotonic() - begun_s > _LONG_S:
                pause_s = _FIRST_PAUSE_S
            await self._leave(one)
            one, pause_s = await self._again(number, address, why, pause_s)
            _log.info("replica %d serves again", number)
            await self._tell_short()

    async def _again(
        self, number: int, address: str, why: str, pause_s: float
    ) -> tuple[ReplicaProcess, float]:
        """Start a replica as often as it takes; return it, and the pause of the next time."""
        while True:
            await self._tell_short()
            _log.error("%s It is started again in %s.", why, format_duration(pause_s))
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
            try:
                return await self._join(number, address), pause_s
            except (FaultError, OSError) as error:
                why = str(error)

    async def _attend(self, one: ReplicaProcess) -> str:
        """Keep a replica in step until it ends; return in what way it did."""
        called = f"replica {one.number} (process {one.pid})"
        ended = asyncio.ensure_future(one.ended())
        tasks = {ended, *map(asyncio.ensure_future, (self._lead(one), self._listen(one)))}
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            if ended in done:
                return f"{called} {one.ending()}."
            return f"{called} is ended: {done.pop().exception()}"
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _lead(self, one: ReplicaProcess) -> None:
        """Keep a replica in step; FaultError when it does not answer, or lags for long and has drained."""
        lags_since_s = math.inf
        while time.monotonic() - lags_since_s < self._lag_s:
            if await self._changed(one.number) or not one.is_in_step:
                await self._follow(one)
                await self._tell_short()
            lags_since_s = math.inf if one.is_in_step else min(lags_since_s, time.monotonic())
        lag = format_duration(self._lag_s)
        _log.error("replica %d lacks for %s what the server has: it drains", one.number, lag)
        await one.stop(self._options.drain_s)
        raise FaultError(f"it has lacked for {lag} what the server has.")

    async def _listen(self, one: ReplicaProcess) -> None:
        """Hear of a replica's books every second; FaultError when it does not answer."""
        while True:
            await asyncio.sleep(_LOOK_S)
            await self._tell(one)

    async def _changed(self, number: int) -> bool:
        """Wait for a change of what is offered, or some time; return which it was."""
        news = self._news[number]
        try:
            async with asyncio.timeout(_LOOK_S):
                await news.wait()
        except TimeoutError:
            return False
        news.clear()
        return True

    async def _follow(self, one: ReplicaProcess) -> None:
        lacks = await one.follow(self._offer())
        if lacks and one.is_in_step:
            _log.error(
                "replica %d is not in step: it cannot load what the server has of %s, and tries again",
                one.number,
                ", ".join(lacks),
            )
        one.is_in_step = not lacks

    async def _tell(self, one: ReplicaProcess) -> None:
        told = await one.tell()
        if self._running.get(one.number) is one:
            self._sums.take(one.number, told)

    async def _leave(self, one: ReplicaProcess) -> None:
        """End a replica, if it has not, and count on with what it has told."""
        if self._running.get(one.number) is one:
            del self._running[one.number]
            self._sums.end(one.number)
        await one.close()
        if self._use:
            self._use.leave(one.number)

    async def _tell_short(self) -> None:
        there = sum(one.is_open and one.is_in_step for one in self._running.values())
        self._sums.missing = len(self._news) - there
        # Who serves serves all that comes, as no connection is given to a process that is not there.
        is_short = 2 * (1 + there) < self._options.processes
        if is_short != self._is_short:
            self._is_short = is_short
            await self._on_short(is_short)

    def _wake(self) -> None:
        self._revision += 1
        for news in self._news.values():
            news.set()

    def _offer(self) -> Offer:
        hidden = self._store.hidden
        there = chain(*self._store.versions.values(), *hidden.values())
        versions = tuple((one.name, one.digest) for one in there)
        return Offer(self._revision, versions, tuple(hidden))


def _folder_of_sockets() -> Path:
    """Return a new folder whose sockets have addresses that the system takes. Raises FileError."""
    try:
        folder = Path(tempfile.mkdtemp(prefix="splitpoint-"))
    except OSError as error:
        raise FileError(
            f"`processes` above 1 need a temporary folder for their sockets: {reason(error)}. Mount one that "
            "may be written to as /tmp, or name one in TMPDIR."
        ) from error
    if len(os.fsencode(folder)) + _SOCKET_BYTES > _ADDRESS_BYTES:
        folder.rmdir()
        raise FileError(
            f"`processes` above 1 need a temporary folder for their sockets, and {folder.parent} has too "
            f"long a path: the system takes {_ADDRESS_BYTES} bytes. Name a shorter one in TMPDIR."
        )
    return folder
