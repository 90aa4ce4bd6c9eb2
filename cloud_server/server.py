"""The server as a Python object, for programs, tests and the command."""

import asyncio
from types import TracebackType
from typing import Self

from cloud_server.engine.engine_parts import EngineParts
from cloud_server.models.model_store import ModelStore
from cloud_server.models.repository import Repository
from cloud_server.observability.edge_book import EdgeBook
from cloud_server.options import ServerOptions
from cloud_server.processes.shares import share_of
from cloud_server.rollout.rollout_control import RolloutControl
from cloud_server.security.gate import Gate, gate_of, warn_of_certificates
from cloud_server.server_parts import Served, ServerParts, use_of
from partitioner.common.event_loop import LoopThread
from partitioner.settings.declaration import spelled_out
from protos.errors import UsageError
from protos.security.server_tls import ServerTls


class CloudServer:
    """Serves the tails of bundles. Use it with `async with`, with `with`, or by `start` and `stop`.

    With `with`, the server runs in a thread of its own. ServerOptions lists what it takes. Starting raises
    BundleError for bundles that cannot be loaded and UsageError for an address that cannot be used.
    """

    @spelled_out(ServerOptions)
    def __init__(self, options: ServerOptions) -> None:
        self.options = options
        self._running: ServerParts | None = None
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
    def served(self) -> Served:
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

    def _started(self) -> ServerParts:
        if self._running is None:
            raise UsageError("the server is not running. Use `with CloudServer(...)`, or start it.")
        return self._running


async def _run(options: ServerOptions) -> ServerParts:
    options = share_of(options)
    options.exposure.check(options.listen, "listen")
    tls = ServerTls(options.tls) if options.tls else None
    use = use_of(options)
    gate = await asyncio.to_thread(gate_of, options, use)
    warn_of_certificates(gate, asked_for=bool(options.tls and options.tls.authorities))
    parts = EngineParts.of(options)
    try:
        repository = await parts.offer(options.preload)
        running = ServerParts(options, parts, repository, tls, gate, use)
    except BaseException:
        parts.close()
        raise
    try:
        await running.start(options.listen)
        options.exposure.announce(running.address)
    except BaseException:
        running.close()
        raise
    return running
