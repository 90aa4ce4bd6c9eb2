"""A replica of Ray Serve that computes tails: our services and our engine, called by Serve's proxies."""

import asyncio
from contextlib import suppress
from pathlib import Path
from typing import Any

from ray import serve

from cloud_server.cluster.method_table import Answer, MethodTable
from cloud_server.cluster.options import ClusterOptions
from cloud_server.cluster.proxy_methods import METHODS
from cloud_server.engine.engine_parts import EngineParts
from cloud_server.models.folder_watch import FolderWatch
from cloud_server.models.model_store import ModelStore
from cloud_server.models.repository import Repository
from cloud_server.services.batching_words import BatchingWords
from partitioner.common.memory import keep_freed_pages
from partitioner.settings.log_options import LogOptions
from partitioner.terminal import console
from protos.errors import SplitpointError
from protos.serving import inference
from protos.serving.drain import Drain
from protos.serving.health import HealthService, add_health
from protos.serving.inference import InferenceService
from protos.serving.message_guard import GuardedServer
from protos.triton.triton_service import TritonService

EXTENSIONS = ("model_configuration", "splitpoint_tails", "splitpoint_codecs")
"""What replicas offer beyond the protocol."""
_NO_STREAMS = 1


class TailReplica:
    """One process of a deployment; made in Serve's event loop, where its methods are called.

    Serve calls methods by the names that they have in gRPC; see proxy_methods. It lets a replica that is to
    go finish what it has.
    """

    def __init__(self, options: ClusterOptions, logs: LogOptions) -> None:
        console.set_up_logs(logs)
        keep_freed_pages()
        self._options = options
        self._parts = EngineParts.of(options)
        self._repository: Repository | None = None
        self._watching: asyncio.Task[None] | None = None
        self._methods = MethodTable(options.max_message_bytes)
        self._health = HealthService((inference.SERVICE,), drain := Drain())
        self._keep = _keeping(self._parts.store, options.max_sessions)
        guarded = GuardedServer(self._methods)  # type: ignore[arg-type]
        store, engine, rules = self._parts.store, self._parts.engine, self._parts.rules
        oip = InferenceService(store, engine, drain, _NO_STREAMS, EXTENSIONS)
        triton = TritonService(store, BatchingWords(rules))
        add_health(guarded, self._health)
        guarded.add_generic_rpc_handlers([oip.handlers(), triton.handlers()])

    async def reconfigure(self, told: object) -> None:
        """Look at the folder of bundles now; Serve calls this first of all, and when it is told more.

        Raises BundleError where there is nothing to serve, and UnknownNameError for what to load ahead: the
        replica is not there then.
        """
        del told
        if self._repository is not None:
            await self._repository.reload()
            return
        self._repository = await self._parts.offer(self._options.preload)
        watch = FolderWatch(Path(self._options.bundles), self._repository.reload)
        self._watching = asyncio.create_task(watch.run())
        await self._health.announce()

    async def infer(self, method: str, request: bytes, context: Any) -> Answer:
        """Answer a request, after the model is loaded that the caller has named to Serve's router."""
        if name := serve.get_multiplexed_model_id():
            with suppress(SplitpointError):  # the request itself says what is wrong with it
                self._parts.store.find(name)  # Serve would log each name that there is not
                await self._keep(name)
        return await self.answer(method, request, context)

    async def answer(self, method: str, request: bytes, context: Any) -> Answer:
        """Answer a call of any method."""
        return await self._methods.answer(method, request, context)


def _keeping(store: ModelStore, most: int) -> Any:
    """Return what loads a model by its name, and has Serve tell its routers which are here.

    They send more requests for these here. Of `most` Serve forgets the one not used for longest, as the store
    does.
    """

    async def load(name: str) -> str:
        await store.load(store.find(name))
        return name

    return serve.multiplexed(load, max_num_models_per_replica=most)


def _method(path: str, *, infers: bool) -> Any:
    """Return what Serve calls for a method of gRPC; it looks for the name of the last parameter."""

    async def call(self: TailReplica, request: bytes, grpc_context: Any) -> Answer:
        answer = self.infer if infers else self.answer
        return await answer(path, request, grpc_context)

    return call


for _service, _names in METHODS.items():
    for _name in _names:
        setattr(TailReplica, _name, _method(f"/{_service}/{_name}", infers=_name == "ModelInfer"))
