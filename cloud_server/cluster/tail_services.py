"""Our services around one engine, as a replica has them: called with bytes, by the names of gRPC."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from cloud_server.cluster.method_table import Answer, MethodTable
from cloud_server.cluster.options import ClusterOptions
from cloud_server.engine.engine_parts import EngineParts
from cloud_server.models.folder_watch import FolderWatch
from cloud_server.models.model_store import ModelStore
from cloud_server.models.repository import Repository
from cloud_server.observability.edge_book import EdgeBook
from cloud_server.observability.greeting_book import GreetingBook
from cloud_server.security.guarded_models import OpenAccess
from cloud_server.services.batching_words import BatchingWords
from cloud_server.services.profile_meter import ProfileMeter
from cloud_server.services.splitpoint_service import SplitpointService
from protos.errors import BundleError
from protos.serving import inference
from protos.serving.drain import Drain
from protos.serving.health import HealthService, add_health
from protos.serving.inference import InferenceService
from protos.serving.message_guard import GuardedServer
from protos.triton.triton_service import TritonService

EXTENSIONS = ("model_configuration", "splitpoint_tails", "splitpoint_codecs")
"""What replicas offer beyond the protocol."""
_NO_STREAMS = 1


class TailServices:
    """The services of one replica; made and used in one event loop."""

    def __init__(self, options: ClusterOptions) -> None:
        self._options = options
        self._parts = parts = EngineParts.of(options)
        self._repository: Repository | None = None
        self._watching: asyncio.Task[None] | None = None
        self._methods = MethodTable(options.max_message_bytes)
        drain = Drain()
        self._health = HealthService((inference.SERVICE,), drain)
        oip = InferenceService(parts.store, parts.engine, drain, _NO_STREAMS, EXTENSIONS)
        triton = TritonService(parts.store, BatchingWords(parts.rules))
        splitpoint = SplitpointService(
            parts.store,
            ProfileMeter(drain),
            options.workers,
            options.max_message_bytes,
            parts.runtime,
            EdgeBook(),
            GreetingBook(),
            OpenAccess(),
        )
        guarded = GuardedServer(self._methods)  # type: ignore[arg-type]
        add_health(guarded, self._health)
        guarded.add_generic_rpc_handlers([oip.handlers(), triton.handlers(), splitpoint.handlers()])

    @property
    def store(self) -> ModelStore:
        """The models that are served."""
        return self._parts.store

    async def look(self) -> None:
        """Look at the folder of bundles now; from the first time on it is watched, and what it has served.

        Raises BundleError where there is nothing to serve, and UnknownNameError for what to load ahead.
        """
        if self._repository is not None:
            with suppress(BundleError):  # what was served goes on, and the log says so
                await self._repository.reload()
            return
        self._repository = await self._parts.offer(self._options.preload)
        watch = FolderWatch(Path(self._options.bundles), self._repository.reload)
        self._watching = asyncio.create_task(watch.run())
        await self._health.announce()

    async def answer(self, method: str, request: bytes, context: Any) -> Answer:
        """Answer a call of one request and one answer; `context`: what Serve says of it."""
        return await self._methods.answer(method, request, context)

    async def answers(self, method: str, request: bytes, context: Any) -> AsyncIterator[Answer]:
        """Answer a call of one request and many answers."""
        async for answer in self._methods.answers(method, request, context):
            yield answer

    def close(self) -> None:
        """Watch and compute nothing more."""
        if self._watching is not None:
            self._watching.cancel()
        self._parts.close()
