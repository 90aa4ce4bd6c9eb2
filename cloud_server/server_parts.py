"""The parts of a server: what it consists of, and how it starts and stops."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

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
from cloud_server.observability.greeting_book import GreetingBook
from cloud_server.observability.memory_limit import memory_limit
from cloud_server.observability.upkeep_metrics import UpkeepFacts
from cloud_server.options import ServerOptions
from cloud_server.rollout.rollout_book import RolloutBook
from cloud_server.rollout.rollout_control import RolloutControl
from cloud_server.security.gate import Gate
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
from partitioner.common.files import disk_room
from protos import inference_pb2, splitpoint_pb2
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
    greetings: GreetingBook
    requests: RequestCounts
    calls: CallCounts
    pages: Counter[tuple[str, str, str]]
    drain: Drain
    max_bytes: int
    gather: Callable[[], Awaitable[None]]
    sums: BookSums
    upkeep: Callable[[], UpkeepFacts]


class ServerParts:
    """What a server consists of once its bundles are loaded; made and used in one event loop."""

    def __init__(
        self,
        options: ServerOptions,
        engine: EngineParts,
        repository: Repository,
        tls: ServerTls | None,
        gate: Gate | None,
        use: "SharedUse | None",
    ) -> None:
        self.store, self.repository, self.tls, self.gate = engine.store, repository, tls, gate
        self._options, self._engine = options, engine
        self.drain = Drain()
        self.edges, self._greetings = EdgeBook(), GreetingBook()
        self.rollouts = RolloutControl(self.store, RolloutBook(_rollouts_file(options)))
        self.edges.on_news = self.rollouts.hear
        self._calls = CallBook()
        self._sums = BookSums(engine.requests, self._calls)
        self._replicas = _replicas_of(options, self.store, self._sums, use, self._show_short)
        self._watch = (
            FolderWatch(Path(options.bundles), repository.reload) if options.watch else None
        )
        self._following: list[asyncio.Task[None]] = []
        self.served = self._make_served()
        self._server = self._make_server()

    def _make_served(self) -> Served:
        replicas, gate, requests = self._replicas, self.gate, self._engine.requests
        gather, settled = (replicas.gather, replicas.settled) if replicas else (as_it_is, as_it_is)
        catalogue, answerer = guarded(self.store, self._engine.engine, gate, requests.ended)
        counts = self._sums if replicas else requests
        return Served(
            store=self.store,
            catalogue=catalogue,
            answerer=answerer,
            statistics=StatisticsService(self.store, catalogue, access_of(gate), counts, gather),
            triton=TritonService(catalogue, BatchingWords(self._engine.rules)),
            repository=RepositoryService(self.repository, settled),
            edges=self.edges,
            greetings=self._greetings,
            requests=counts,
            calls=self._sums if replicas else self._calls,
            pages=Counter(),
            drain=self.drain,
            max_bytes=self._options.max_message_bytes,
            gather=gather,
            sums=self._sums,
            upkeep=self._upkeep,
        )

    def _make_server(self) -> OipServer:
        replicas, gate = self._replicas, self.gate
        return OipServer(
            self.served.catalogue,
            self.served.answerer,
            self.drain,
            max_message_bytes=self._options.max_message_bytes,
            stream_window=self._options.stream_window,
            extensions=EXTENSIONS,
            beside=self._services(),
            tls=self.tls,
            # Counted first, so that what the gate refuses counts, too.
            interceptors=[CallMeter(self._calls), *([GrpcGate(gate)] if gate else [])],
            twins=[replicas.front] if replicas else [],
            shares_port=replicas is not None,
        )

    def _services(self) -> list[Service]:
        """Return what is served by gRPC beside inference."""
        options, access, served = self._options, access_of(self.gate), self.served
        updates = UpdatesService(self.store, self.rollouts, self.drain, access)
        splitpoint = SplitpointService(
            self.store,
            ProfileMeter(self.drain),
            options.workers,
            options.max_message_bytes,
            self._engine.runtime,
            self.edges,
            self._greetings,
            access,
        )
        return [
            Service(SERVICE, splitpoint.handlers(), splitpoint_pb2),
            Service(updates_service.SERVICE, updates.handlers(), splitpoint_pb2),
            Service(inference.SERVICE, served.statistics.handlers(), inference_pb2),
            Service(inference.SERVICE, served.repository.handlers(), inference_pb2),
            Service(inference.SERVICE, served.triton.handlers(), inference_pb2),
        ]

    @property
    def address(self) -> str:
        """HOST:PORT that it is bound to, once it has started."""
        return self._server.address

    async def start(self, listen: str) -> None:
        """Bind the address and serve, with all processes; UsageError where that cannot be."""
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
        """Say that it is not ready, and serve on for so long."""
        if notice_s > 0:
            await self._server.announce_drain()
            await asyncio.sleep(notice_s)

    async def stop(self, grace_s: float) -> None:
        """Drain: gRPC of all processes side by side, then the engine."""
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
        """End at once what is left of it."""
        for task in self._following:
            task.cancel()
        if self._replicas:
            self._replicas.close()
        self._engine.close()


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


def use_of(options: ServerOptions) -> "SharedUse | None":
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
