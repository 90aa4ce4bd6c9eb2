"""A replica: a process beside the front, which computes at the same port and leaves all else to the front.

Run as a module, it is told what to do by one line on stdin, and ends with whoever holds the other end.
"""

import asyncio
import json
import logging
import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from itertools import chain
from pathlib import Path

import psutil

from cloud_server.engine.engine import EXTENSIONS
from cloud_server.engine.engine_parts import EngineParts
from cloud_server.observability.book_sums import ProcessCosts, ToldBooks
from cloud_server.observability.call_book import CallBook
from cloud_server.observability.call_meter import CallMeter
from cloud_server.processes import private_calls
from cloud_server.processes.forwarder import Forwarder
from cloud_server.processes.private_calls import (
    FRONT_SOCKET,
    OFFER,
    TOLD_BOOKS,
    Offer,
    private_channel,
    private_handlers,
    private_server,
)
from cloud_server.processes.shared_use import SharedUse
from cloud_server.processes.shares import Assignment
from cloud_server.security.gate import gate_of
from cloud_server.security.grpc_gate import GrpcGate
from cloud_server.security.guarded_models import access_of, guarded
from cloud_server.services.splitpoint_service import probe_handlers
from partitioner.common.memory import keep_freed_pages
from partitioner.terminal import console
from protos.errors import BundleError, UnknownNameError
from protos.names import EDGE, model_name
from protos.security.server_tls import ServerTls
from protos.serving.answers import ServedKey
from protos.serving.drain import Drain
from protos.serving.oip_server import OipServer

_log = logging.getLogger(__name__)


class Replica:
    """The parts of a replica; made and used in one event loop.

    It offers nothing before it was told to follow, and takes no connection before it was told to open.
    """

    def __init__(self, told: Assignment) -> None:
        options = self._options = told.options
        self._tls = ServerTls(options.tls) if options.tls else None
        use = None if told.use is None else SharedUse(told.use, told.number, options.processes)
        self._gate = gate_of(options, use)
        self._parts = parts = EngineParts.of(options)
        self._store, self._folder, self._rules = parts.store, parts.folder, parts.rules
        self._requests, self._engine = parts.requests, parts.engine
        self._calls, self._drain = CallBook(), Drain()
        self._busy = asyncio.Lock()
        self._offer = Offer(-1)
        self._stop: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        self._front = private_channel(told.folder / FRONT_SOCKET, options.max_message_bytes)
        self._server = self._public_server()
        self._private = private_server(told.folder / told.socket, options.max_message_bytes)
        methods = {
            private_calls.FOLLOW: self.follow,
            private_calls.OPEN: self.open,
            private_calls.TELL: self.tell,
            private_calls.STOP: self.stop,
        }
        self._private.add_generic_rpc_handlers((private_handlers(methods),))

    def _public_server(self) -> OipServer:
        catalogue, answerer = guarded(self._store, self._engine, self._gate, self._requests.ended)
        gate = [GrpcGate(self._gate)] if self._gate else []
        return OipServer(
            catalogue,
            answerer,
            self._drain,
            max_message_bytes=self._options.max_message_bytes,
            stream_window=self._options.stream_window,
            extensions=EXTENSIONS,
            interceptors=[CallMeter(self._calls), *gate],
            tls=self._tls,
            before=[
                Forwarder(self._front),
                probe_handlers(self._options.max_message_bytes, access_of(self._gate)),
            ],
            shares_port=True,
        )

    async def run(self) -> None:
        """Do as the front says until it says to stop, and drain."""
        await self._private.start()
        following = asyncio.create_task(self._gate.follow()) if self._gate else None
        grace_s = await self._stop
        ends_s = time.monotonic() + grace_s
        await self._server.stop(grace_s)
        await self._drain.finished(max(0.0, ends_s - time.monotonic()))
        if following:
            following.cancel()
        self._parts.close()
        await self._private.stop(0)
        await self._front.close()

    async def follow(self, data: bytes) -> bytes:
        """Offer what the front does, and nothing else; return the names of the versions that lack.

        What is not offered any more is refused from the first moment on; what is new has to be loaded.
        """
        self._offer = max(self._offer, OFFER.validate_json(data), key=lambda one: one.revision)
        self._offer_known()
        async with self._busy:
            # What is hidden is there still, and what is there may be gone from the disk: then it stays open.
            if self._known() != set(self._offer.versions):
                with suppress(BundleError):  # the front says so, too
                    names = {name for name, _ in self._offer.versions}
                    await asyncio.to_thread(self._folder.look, names=names)
            self._offer_known()
            await self._load_ahead()
        known = self._known()
        return json.dumps([one[0] for one in self._offer.versions if one not in known]).encode()

    async def open(self, data: bytes) -> bytes:
        """Take connections at the address HOST:PORT from now on."""
        await self._server.start(data.decode())
        return b""

    async def tell(self, _data: bytes) -> bytes:
        """Return the books."""
        self._requests.keep(set(self._served()))
        counts, process = self._store.counts, psutil.Process()
        told = ToldBooks(
            tallies=list(self._requests.tallies.items()),
            methods=list(self._calls.methods.items()),
            loads=counts.loads,
            failed_loads=counts.failed_loads,
            load_s=counts.load_s,
            evictions=counts.evictions,
            pending=list(self._requests.pending_by_model.items()),
            streaming=self._calls.streaming,
            tail_bytes=list(self._store.sizes().items()),
            costs=ProcessCosts(cpu_s=time.process_time(), resident_bytes=process.memory_info().rss),
        )
        return TOLD_BOOKS.dump_json(told)

    async def stop(self, data: bytes) -> bytes:
        """Drain for as many seconds as this says, and end."""
        if not self._stop.done():
            self._stop.set_result(float(data))
        return b""

    def _served(self) -> Iterator[ServedKey]:
        for version in chain.from_iterable(self._store.versions.values()):
            for cut in version.bundle.cuts:
                if cut != EDGE:
                    yield model_name(version.name, cut), version.number

    def _known(self) -> set[tuple[str, str]]:
        return {(one.name, one.digest) for one in self._folder.versions}

    def _offer_known(self) -> None:
        wanted = set(self._offer.versions)
        known = [one for one in self._folder.versions if (one.name, one.digest) in wanted]
        self._store.offer(known, self._offer.hidden)

    async def _load_ahead(self) -> None:
        for name in self._options.preload:
            try:
                for model in await self._store.preload([name]):
                    await self._rules.prove(model, await self._store.load(model))
            except UnknownNameError:
                continue
            except BundleError as error:
                _log.error("%s cannot be loaded: %s", name, error)


def _end_with_front(folder: Path) -> None:
    """Wait until the front has gone; then there is nobody to drain for."""
    while os.read(
        sys.stdin.fileno(), 1 << 10
    ):  # not by `sys.stdin`, whose lock would be held at the end
        pass
    shutil.rmtree(folder, ignore_errors=True)
    os._exit(1)


async def _run(told: Assignment) -> None:
    await Replica(told).run()


def main() -> None:
    """Run a replica."""
    import uvloop

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # the front says when
    told = Assignment.read(sys.stdin.buffer.readline())
    threading.Thread(target=_end_with_front, args=(told.folder,), daemon=True).start()
    console.set_up_logs(told.logs)
    keep_freed_pages()
    uvloop.run(_run(told))


if __name__ == "__main__":
    main()
