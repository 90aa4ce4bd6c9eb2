"""A replica of Ray Serve that computes tails: our services, called by Serve's proxies."""

from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

from ray import serve

from cloud_server.cluster.method_table import Answer
from cloud_server.cluster.options import ClusterOptions
from cloud_server.cluster.proxy_methods import METHODS, STREAMS
from cloud_server.cluster.tail_services import TailServices
from cloud_server.models.model_store import ModelStore
from partitioner.common.memory import keep_freed_pages
from partitioner.settings.log_options import LogOptions
from partitioner.terminal import console
from protos.errors import SplitpointError


class TailReplica:
    """One process of a deployment; made in Serve's event loop, where its methods are called.

    Serve calls methods by the names that they have in gRPC; see proxy_methods. It lets a replica that is to
    go finish what it has.
    """

    def __init__(self, options: ClusterOptions, logs: LogOptions) -> None:
        console.set_up_logs(logs)
        keep_freed_pages()
        self.services = TailServices(options)
        self._keep = _keeping(self.services.store, options.max_sessions)

    async def reconfigure(self, told: object) -> None:
        """Look at the folder of bundles now; Serve calls this first of all, and when it is told more.

        Raises what `look` does: the replica is not there then.
        """
        del told
        await self.services.look()

    async def load_named(self) -> None:
        """Load the model that the caller has named to Serve's router, if any."""
        if name := serve.get_multiplexed_model_id():
            with suppress(SplitpointError):  # the request itself says what is wrong with it
                self.services.store.find(name)  # Serve would log each name that there is not
                await self._keep(name)


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
    """Return what Serve calls for a method of one answer; it looks for the name of the last parameter."""

    async def call(self: TailReplica, request: bytes, grpc_context: Any) -> Answer:
        if infers:
            await self.load_named()
        return await self.services.answer(path, request, grpc_context)

    return call


def _stream(path: str) -> Any:
    """Return what Serve calls for a method of many answers."""

    async def call(self: TailReplica, request: bytes, grpc_context: Any) -> AsyncIterator[Answer]:
        async for answer in self.services.answers(path, request, grpc_context):
            yield answer

    return call


for _service, _names in METHODS.items():
    for _name in _names:
        setattr(TailReplica, _name, _method(f"/{_service}/{_name}", infers=_name == "ModelInfer"))
for _service, _names in STREAMS.items():
    for _name in _names:
        setattr(TailReplica, _name, _stream(f"/{_service}/{_name}"))
