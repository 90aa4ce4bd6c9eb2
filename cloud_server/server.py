"""The server as a Python object, for programs, tests and the command."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from cloud_server.defaults import ROLLOUTS_FILE
from cloud_server.engine.engine import EXTENSIONS
from cloud_server.engine.engine_parts import EngineParts
from cloud_server.models.folder_watch import FolderWatch
from cloud_server.models.model_store import ModelStore
from cloud_server.models.repository import Repository
from cloud_server.observability.book_sums import BookSums, CallCounts, RequestCounts
from cloud_server.observability.call_book import CallBook
from cloud_server.observability.call_meter import CallMeter
from cloud_server.observability.edge_book import EdgeBook
from cloud_server.observability.memory_limit import memory_limit
from cloud_server.observability.upkeep_metrics import UpkeepFacts
from cloud_server.options import ServerOptions
from cloud_server.processes.shares import share_of
from cloud_server.rollout.rollout_book import RolloutBook
from cloud_server.rollout.rollout_control import RolloutControl
from cloud_server.security.gate import Gate, gate_of, warn_of_certificates
from cloud_server.security.grpc_gate import GrpcGate
from cloud_server.security.guarded_models import access_of, guarded
from cloud_server.services import updates_service
from cloud_server.services.batching_words import BatchingWords
from cloud_server.services.profile_meter import ProfileMeter
from cloud_server.services.repository_service import RepositoryService
from cloud_server.services.splitpoint_service import SERVICE, SplitpointService
from cloud_server.services.statistics_service import StatisticsService, as_it_is
from cloud_server.services.updates_service import UpdatesService
from partitioner.bundle.manifest import MANIFEST_FILE
from partitioner.common.event_loop import LoopThread
from partitioner.common.files import disk_room
from partitioner.settings.declaration import spelled_out
from protos import inference_pb2, splitpoint_pb2
from protos.errors import UsageError
from protos.rpc.addresses import open_listener
from protos.security.server_tls import ServerTls
from protos.serving import inference
from protos.serving.answers import Answerer, Catalogue
from protos.serving.drain import Drain
from protos.serving.oip_server import OipServer, Service
from protos.telemetry import DIGEST_SHOWN
from protos.triton.triton_service import TritonService

if TYPE_CHECKING:
    from cloud_server.processes.replicas import OnShort, Replicas
    from cloud_server.processes.shared_use import SharedUse


class CloudServer:
    """Serves the tails of bundles. Use it with `async with`, with `with`, or by `start` and `stop`.

    With `with`, the server runs in a thread of its own. ServerOptions lists what it takes. Starting raises
    BundleError for bundles that cannot be loaded and UsageError for an address that cannot be used.
    """

    @spelled_out(ServerOptions)
    def __init__(self, options: ServerOptions) -> None:
        self.options = options
        self._running: _Running | None = None
        self._thread: LoopThread | None = None

    def __repr__(self) -> str:
        if self._running is None:
            return f"<CloudServer of {self.options.bundles}, not running>"
        return f"<CloudServer of {self.options.bundles} on {self._running.address}>"

    @classmethod
    def of(cls, options: ServerOptions) -> Self:
        """Return a server with all of these options."""
        return cls(**vars(options))

    @property
    def address(self) -> str:
        """HOST:PORT that the server is bound to; raises UsageError before it has started."""
        return self._started().address

    @property
    def store(self) -> ModelStore:
        """The models that are served; raises UsageError before the server has started."""
        return self._started().store

    @property
    def repository(self) -> Repository:
        """The folder that the models come from; raises UsageError before the server has started."""
        return self._started().repository

    @property
    def served(self) -> "Served":
        """What a listener beside gRPC's serves; raises UsageError before the server has started."""
        return self._started().served

    @property
    def tls(self) -> ServerTls | None:
        """What its listeners speak TLS with; None: they do not. UsageError before the server has started."""
        return self._started().tls

    @property
    def gate(self) -> Gate | None:
        """Who is let in; None: everybody. Raises UsageError before the server has started."""
        return self._started().gate

    @property
    def edges(self) -> EdgeBook:
        """The telemetry that edges have sent; raises UsageError before the server has started."""
        return self._started().edges

    @property
    def rollouts(self) -> RolloutControl:
        """Who is to run which version; raises UsageError before the server has started."""
        return self._started().rollouts

    @property
    def ready(self) -> bool:
        """True between the end of `start` and the beginning of `stop`."""
        return self._running is not None and self._running.drain.ready

    async def start(self) -> None:
        """Load the bundles, bind the address and serve."""
        if self._running is not None:
            raise UsageError("this server has started already. Make another one.")
        self._running = await _run(self.options)

    async def reload(self) -> None:
        """Look at the folder of bundles now; BundleError, and all is as it was, when it cannot be read."""
        await self._started().repository.reload()

    async def stop(self, grace_s: float | None = None) -> None:
        """Drain: refuse new calls, let those in flight finish for `grace_s` (default: the option).

        Before that the server says that it is not ready, and serves on, for `drain_notice_s` of its options.
        """
        running, self._running = self._running, None
        if running is not None:
            await running.announce(self.options.drain_notice_s)
            await running.stop(self.options.drain_s if grace_s is None else grace_s)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()

    def __enter__(self) -> Self:
        self._thread = LoopThread("splitpoint-cloud")
        try:
            self._thread.run(self.start())
        except BaseException:
            self._thread.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        thread, self._thread = self._thread, None
        if thread is not None:
            try:
                thread.run(self.stop())
            finally:
                thread.close()

    def _started(self) -> "_Running":
        if self._running is None:
            raise UsageError("the server is not running. Use `with CloudServer(...)`, or start it.")
        return self._running


@dataclass(frozen=True, kw_only=True)
class Served:
    """The parts of a started server that REST serves, too.

    `catalogue` is what of the `store` a caller may use; `pages`: answers by method, route and status;
    `max_bytes`: of one request; `gather` brings the counts up to now, of which `sums` has those of other
    processes. `upkeep` tells what somebody has to look after.
    """

    store: ModelStore
    catalogue: Catalogue
    answerer: Answerer
    statistics: StatisticsService
    triton: TritonService
    repository: RepositoryService
    edges: EdgeBook
    requests: RequestCounts
    calls: CallCounts
    pages: Counter[tuple[str, str, str]]
    drain: Drain
    max_bytes: int
    gather: Callable[[], Awaitable[None]]
    sums: BookSums
    upkeep: Callable[[], UpkeepFacts]


class _Running:
    """The parts of a started server."""

    def __init__(
        self,
        options: ServerOptions,
        parts: EngineParts,
        repository: Repository,
        tls: ServerTls | None,
        gate: Gate | None,
        use: "SharedUse | None",
    ) -> None:
        store = parts.store
        self._parts = parts
        self.store, self.repository, self.tls, self.gate = store, repository, tls, gate
        self._watch = (
            FolderWatch(Path(options.bundles), repository.reload) if options.watch else None
        )
        self._following: list[asyncio.Task[None]] = []
        self._options = options
        self.drain = Drain()
        self.edges = EdgeBook()
        self.requests = parts.requests
        calls = CallBook()
        sums = BookSums(self.requests, calls)
        replicas = self._replicas = _replicas_of(options, store, sums, use, self._show_short)
        gather = replicas.gather if replicas else as_it_is
        orders = RepositoryService(repository, replicas.settled if replicas else as_it_is)
        limit = options.max_message_bytes
        self.rollouts = RolloutControl(store, RolloutBook(_rollouts_file(options)))
        self.edges.on_news = self.rollouts.hear
        updates = UpdatesService(store, self.rollouts, self.drain, access_of(gate))
        splitpoint = SplitpointService(
            store,
            ProfileMeter(self.drain),
            options.workers,
            limit,
            parts.runtime,
            self.edges,
            access_of(gate),
        )
        catalogue, answerer = guarded(store, parts.engine, gate, self.requests.ended)
        counts = sums if replicas else self.requests
        statistics = StatisticsService(store, catalogue, access_of(gate), counts, gather)
        triton = TritonService(catalogue, BatchingWords(parts.rules))
        self._server = OipServer(
            catalogue,
            answerer,
            self.drain,
            max_message_bytes=limit,
            stream_window=options.stream_window,
            extensions=EXTENSIONS,
            beside=[
                Service(SERVICE, splitpoint.handlers(), splitpoint_pb2),
                Service(updates_service.SERVICE, updates.handlers(), splitpoint_pb2),
                Service(inference.SERVICE, statistics.handlers(), inference_pb2),
                Service(inference.SERVICE, orders.handlers(), inference_pb2),
                Service(inference.SERVICE, triton.handlers(), inference_pb2),
            ],
            tls=tls,
            # Counted first, so that what the gate refuses counts, too.
            interceptors=[CallMeter(calls), *([GrpcGate(gate)] if gate else [])],
            twins=[replicas.front] if replicas else [],
            shares_port=replicas is not None,
        )

        self.served = Served(
            store=store,
            catalogue=catalogue,
            answerer=answerer,
            statistics=statistics,
            triton=triton,
            repository=orders,
            edges=self.edges,
            requests=counts,
            calls=sums if replicas else calls,
            pages=Counter(),
            drain=self.drain,
            max_bytes=limit,
            gather=gather,
            sums=sums,
            upkeep=self._upkeep,
        )

    @property
    def address(self) -> str:
        return self._server.address

    async def start(self, listen: str) -> None:
        # Tried first with a socket, which says why it fails.
        open_listener(listen, "listen").close()
        await self._server.start(listen)
        if self._replicas:
            await self._start(self._replicas)
        if self.gate:
            self._following.append(asyncio.create_task(self.gate.follow()))
        if self._watch:
            self._following.append(asyncio.create_task(self._watch.run()))

    async def _start(self, replicas: "Replicas") -> None:
        """Start the other processes; nothing is left of the server when that fails."""
        try:
            await self._show_short(True)
            await replicas.start(self._server.address)
            await self._show_short(False)
        except BaseException:
            await asyncio.gather(self._server.stop(0), replicas.stop(0))
            raise

    async def _show_short(self, is_short: bool) -> None:
        await self._server.show_short(is_short=is_short)

    async def announce(self, notice_s: float) -> None:
        if notice_s > 0:
            await self._server.announce_drain()
            await asyncio.sleep(notice_s)

    async def stop(self, grace_s: float) -> None:
        loop = asyncio.get_running_loop()
        ends_s = loop.time() + grace_s
        draining = [self._server.stop(grace_s)]
        if self._replicas:
            draining.append(self._replicas.stop(grace_s))
        await asyncio.gather(*draining)
        await self.drain.finished(max(0.0, ends_s - loop.time()))
        self.close()

    def _upkeep(self) -> UpkeepFacts:
        """Return what somebody has to look after; from any thread."""
        options = self._options
        memory = options.memory_bytes
        kept_at = {"bundles": Path(options.bundles), "rollouts": self.rollouts.book.path.parent}
        return UpkeepFacts(
            refused={entry.name for entry in self.repository.refused},
            rollouts=[
                (one.name, one.version_digest[:DIGEST_SHOWN], one.state, one.share)
                for one in self.rollouts.book.rollouts.values()
            ],
            certificates=self.tls.dates if self.tls else {},
            disks={holds: room for holds, path in kept_at.items() if (room := disk_room(path))},
            # The options have the share of one process.
            tail_budget_bytes=None if memory is None else memory * options.processes,
            memory_limit_bytes=memory_limit(),
        )

    def close(self) -> None:
        for task in self._following:
            task.cancel()
        if self._replicas:
            self._replicas.close()
        self._parts.close()


async def _run(options: ServerOptions) -> _Running:
    options = share_of(options)
    options.exposure.check(options.listen, "listen")
    tls = ServerTls(options.tls) if options.tls else None
    use = _use_of(options)
    gate = await asyncio.to_thread(gate_of, options, use)
    warn_of_certificates(gate, asked_for=bool(options.tls and options.tls.authorities))
    parts = EngineParts.of(options)
    repository = await parts.offer(options.preload)
    running = _Running(options, parts, repository, tls, gate, use)
    try:
        await running.start(options.listen)
        options.exposure.announce(running.address)
    except BaseException:
        running.close()
        raise
    return running


def _replicas_of(
    options: ServerOptions,
    store: ModelStore,
    sums: BookSums,
    use: "SharedUse | None",
    on_short: "OnShort",
) -> "Replicas | None":
    """Return the processes beside this one; None where it is the only one."""
    if options.processes == 1:
        return None
    from cloud_server.processes.replicas import Replicas

    return Replicas(options, store, sums, use, on_short)


def _use_of(options: ServerOptions) -> "SharedUse | None":
    """Return what the processes share of the use of devices; None where nothing has to be shared."""
    if options.processes == 1 or options.devices is None:
        return None
    from cloud_server.processes.shared_use import SharedUse

    return SharedUse.make(options.processes)


def _rollouts_file(options: ServerOptions) -> Path:
    """Return the file that keeps roll-outs: as told, or beside the bundles."""
    if options.rollouts is not None:
        return Path(options.rollouts)
    folder = Path(options.bundles)
    return (folder.parent if (folder / MANIFEST_FILE).exists() else folder) / ROLLOUTS_FILE
